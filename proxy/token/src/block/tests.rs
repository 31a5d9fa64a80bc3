use proptest::prelude::*;

use super::*;

fn block(text: &str) -> Block {
    text.parse().expect("a block")
}

#[test]
fn a_block_covers_its_own_keys_and_no_others() {
    let rows: [(&str, &[u8], bool); 9] = [
        ("*", b"", true),
        ("*", b"\xff\x00", true),
        ("user:", b"user:", true),
        ("user:", b"user:\xff1", true),
        ("user:", b"user", false),
        ("user:", b"", false),
        ("user:", b"users:1", false),
        ("user:", b"xuser:1", false),
        ("user:*", b"user:1", false),
    ];
    for (name, key, covered) in rows {
        assert_eq!(block(name).covers_key(key), covered, "{name} and {key:?}");
    }
}

#[test]
fn a_block_covers_narrower_ones_only() {
    let rows = [
        ("*", "*", true),
        ("*", "a", true),
        ("a", "*", false),
        ("a", "a", true),
        ("a", "ab", true),
        ("ab", "a", false),
        ("ab", "ba", false),
    ];
    for (outer, inner, covered) in rows {
        assert_eq!(block(outer).covers(&block(inner)), covered, "{outer} and {inner}");
    }
}

#[test]
fn text_that_names_no_block_is_refused() {
    let longest = "p".repeat(MAX_PREFIX);
    assert_eq!(block(&longest).prefix(), Some(longest.as_str()));
    for wrong in ["", "a\nb", "\0", "a\u{85}", &format!("{longest}p")] {
        assert_eq!(wrong.parse::<Block>(), Err(BadBlock), "{wrong:?}");
    }
}

proptest! {
    /// `covers` must not promise more than `covers_key` keeps.
    #[test]
    fn a_key_of_a_covered_block_is_covered(outer in "[ab*]{1,3}", inner in "[ab*]{1,3}", rest in "[ab]{0,2}") {
        let (outer, inner) = (block(&outer), block(&inner));
        let key = format!("{}{rest}", inner.prefix().unwrap_or(""));
        prop_assert!(inner.covers_key(key.as_bytes()));
        if outer.covers(&inner) {
            prop_assert!(outer.covers_key(key.as_bytes()));
        }
    }

    #[test]
    fn a_block_survives_text(text in "\\PC{1,64}") {
        prop_assert_eq!(block(&text).to_string(), text);
    }
}
