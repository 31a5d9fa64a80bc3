use proptest::prelude::*;

use super::*;

#[test]
fn a_token_is_found_however_it_was_cut_and_whatever_is_in_it() {
    let token: Vec<u8> = (0..=255).chain(*b"\r\n$3\r\n*1").collect();
    let frame = present(&token);
    let bytes = [&frame[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    for cut in 0..bytes.len() {
        match first(&bytes[..cut]) {
            First::Incomplete => assert!(cut < frame.len(), "cut at {cut}"),
            First::Token { token: place, frame: end } => {
                assert!(cut >= frame.len() && end == frame.len());
                assert_eq!(bytes[place], token);
            }
            other => panic!("{other:?}, cut at {cut}"),
        }
    }
}

#[test]
fn anything_else_is_refused_at_the_first_byte_that_tells() {
    for strange in [
        "PING\r\n",
        "\r\n",
        "AUTH ft-token x\r\n",
        "*1\r\n",
        "*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n",
        "*3\r\n$5\r\nHELLO",
        "*3\r\n$4\r\nAUTH\r\n$7\r\ndefault",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$-1\r\n",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$05\r\n",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$00000",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$2x",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$2\r\nabX",
        "*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$2\n",
        "GET / HTTP/1.1\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(first(strange.as_bytes()), First::Strange, "{strange:?}");
    }
    for (long, is) in [(4000, false), (4095, true), (9999, true), (99999, true)] {
        let frame = present(&vec![b'x'; long]);
        assert_eq!(first(&frame) == First::TooLong, is, "{long}");
        assert_eq!(
            first(&frame[..HEAD.len() + 7]) == First::TooLong,
            is,
            "{long}: said before the bytes come"
        );
    }
}

#[test]
fn a_reason_is_one_line_whatever_it_quotes() {
    let words = refused("given to service a\r\n+OK; ask");
    assert_eq!(words, b"-WRONGPASS foretoken gate: given to service a  +OK; ask\r\n");
}

proptest! {
    #[test]
    fn any_first_bytes_are_told_without_a_panic(
        begins in 0..=HEAD.len(),
        rest in proptest::collection::vec(any::<u8>(), 0..64),
        digits in "[0-9]{0,6}",
    ) {
        let bytes = [&HEAD[..begins], digits.as_bytes(), &rest].concat();
        // What is strange stays so, and what is a token keeps its place, whatever follows.
        let mut last = First::Incomplete;
        for end in 0..=bytes.len() {
            let found = first(&bytes[..end]);
            if last != First::Incomplete {
                prop_assert_eq!(&found, &last);
            }
            last = found;
        }
    }
}
