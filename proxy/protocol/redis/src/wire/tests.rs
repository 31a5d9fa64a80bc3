//! Input for the tests of both directions.

use proptest::prelude::*;

/// Bytes that look enough like RESP to come past the first check.
pub(super) fn resp_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&b"*$+-:_#,(!=%~>|\r\n0123 x\"'\\\0"[..]).prop_map(|b| vec![b]),
        4 => Just(b"\r\n".to_vec()),
        4 => ("[*$!=%~>|]", -1_i64..4).prop_map(|(kind, n)| format!("{kind}{n}\r\n").into_bytes()),
        2 => "[-+:,#(_][a-z0-9]{0,3}\r\n".prop_map(String::into_bytes),
        2 => "[$!=]3\r\nabc\r\n".prop_map(String::into_bytes),
        1 => any::<u64>().prop_map(|n| format!("*{n}\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
