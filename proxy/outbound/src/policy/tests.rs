use super::*;

const S: Duration = Duration::from_secs(1);

const fn policy(stale_reads: Option<Duration>, queue_writes: bool) -> Policy {
    Policy { stale_reads, queue_writes, ..Policy::PRIMARY }
}

#[test]
fn several_blocks_allow_what_each_of_them_allows() {
    let rest = policy(Some(S), false);
    let (old, older, waits) = (policy(Some(S), true), policy(Some(S * 2), true), policy(None, true));
    let policies = Policies { rest, named: vec![old, older, waits] };
    let [a, b, c] = [0, 1, 2].map(Blocks::named);
    for (blocks, expected) in [
        (Blocks::NONE, rest),
        (Blocks::REST, rest),
        (a, old),
        (b, older),
        (a | b, old),
        (b | c, waits),
        (Blocks::REST | b, rest),
        (Blocks::REST | c, policy(None, false)),
        (Blocks::ALL, policy(None, false)),
    ] {
        assert_eq!(policies.of(blocks), expected, "{blocks:?}");
    }
    assert_eq!(policies.stalest(), Some(S * 2));
    assert_eq!(Policies { rest: waits, named: vec![waits] }.stalest(), None);
    let bare = Policies { rest: old, named: Vec::new() };
    for blocks in [Blocks::NONE, Blocks::REST, Blocks::ALL, Blocks::named(7)] {
        assert_eq!(bare.of(blocks), old, "{blocks:?}");
    }
}

proptest::proptest! {
    #[test]
    fn another_block_never_allows_more(bits in 0_u64..32, more in 0_usize..5, modes in proptest::collection::vec(0_u8..8, 6)) {
        let of = |mode: u8| policy((mode & 3 > 0).then(|| S * u32::from(mode & 3)), mode & 4 > 0);
        let policies = Policies { rest: of(modes[0]), named: modes[1..].iter().map(|mode| of(*mode)).collect() };
        let blocks = (0..5).filter(|place| bits >> place & 1 > 0).fold(Blocks::REST, |all, place| all | Blocks::named(place));
        let (few, many) = (policies.of(blocks), policies.of(blocks | Blocks::named(more)));
        proptest::prop_assert!(few.queue_writes || !many.queue_writes);
        proptest::prop_assert!(many.stale_reads.is_none_or(|limit| few.stale_reads.is_some_and(|of_few| limit <= of_few)));
    }
}
