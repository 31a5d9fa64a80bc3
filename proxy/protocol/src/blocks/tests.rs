use super::*;

#[test]
fn the_longest_prefix_wins_and_what_has_none_is_the_rest() {
    let map = BlockMap::new([&b"user:"[..], b"user:admin:", b"cart:"]).expect("there are blocks");
    for (key, block) in [
        ("user:1", Blocks::named(0)),
        ("user:admin", Blocks::named(0)),
        ("user:admin:", Blocks::named(1)),
        ("user:admin:1", Blocks::named(1)),
        ("cart:", Blocks::named(2)),
        ("cart", Blocks::REST),
        ("", Blocks::REST),
        ("CART:1", Blocks::REST),
    ] {
        assert_eq!(map.block_of(key.as_bytes()), block, "{key}");
    }
    assert!(BlockMap::new([]).is_none());
}

#[test]
fn every_block_has_a_bit_of_its_own_and_one_too_many_counts_as_all() {
    let mut all = Blocks::REST;
    for place in 0..Blocks::NAMED_MOST {
        let one = Blocks::named(place);
        assert!(!all.has_named(place) && !one.has_rest() && one.has_named(place), "{place}");
        all |= one;
    }
    assert_eq!(all, Blocks::ALL);
    assert_eq!(Blocks::named(Blocks::NAMED_MOST), Blocks::ALL);
    assert!(!Blocks::NONE.has_rest() && !Blocks::NONE.has_named(0));
    assert!(Blocks::ALL.has_rest() && Blocks::ALL.has_named(62));
}
