//! The numbers of RESP headers.

use super::LINE_MAX;

/// The first line in `bytes`, read as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The number, and the line's length with its CRLF.
    Number(i64, usize),
    /// The line does not end within `bytes`.
    Partial,
    /// It is no number, or the CR is not followed by LF.
    Bad,
    /// It has no CR within [`LINE_MAX`] bytes.
    TooLong,
}

/// Reads the line that begins at `bytes`, of whose bytes `seen` are known to hold no CR.
#[inline]
pub(super) fn line(bytes: &[u8], seen: usize) -> Line {
    let value = |digit: &u8| i64::from(digit - b'0');
    match bytes {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => Line::Number(value(one), 3),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Line::Number(10 * value(ten) + value(one), 4)
        }
        _ => longer_line(bytes, seen),
    }
}

fn longer_line(bytes: &[u8], seen: usize) -> Line {
    // Nearly all others have up to seven digits: one pass, no search for the line's end.
    let mut value = 0_i64;
    for (at, &byte) in bytes.iter().take(8).enumerate() {
        match byte {
            b'0'..=b'9' if at < 7 => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if at > 0 && (at == 1 || bytes[0] != b'0') => {
                return match bytes.get(at + 1) {
                    None => Line::Partial,
                    Some(b'\n') => Line::Number(value, at + 2),
                    Some(_) => Line::Bad,
                };
            }
            _ => break,
        }
    }
    let head = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = head.get(seen..).and_then(|rest| rest.iter().position(|&b| b == b'\r')) else {
        return if head.len() == LINE_MAX { Line::TooLong } else { Line::Partial };
    };
    let end = seen + end;
    match bytes.get(end + 1) {
        None => Line::Partial,
        Some(b'\n') => number(&bytes[..end]).map_or(Line::Bad, |n| Line::Number(n, end + 2)),
        Some(_) => Line::Bad,
    }
}

/// Reads a number as `string2ll` of Redis does: no sign but `-`, no leading zero, no `-0`, no space.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Negative, because i64::MIN has no positive counterpart.
    let mut value = 0_i64;
    for &digit in digits {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_redis_reads_them() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("1 ", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text:?}");
            let whole = format!("{text}\r\nrest");
            let expected = value.map_or(Line::Bad, |n| Line::Number(n, text.len() + 2));
            assert_eq!(line(whole.as_bytes(), 0), expected, "{text:?}");
            for cut in 0..text.len() + 2 {
                assert_eq!(line(&whole.as_bytes()[..cut], 0), Line::Partial, "{text:?} cut at {cut}");
            }
        }
        assert_eq!(line(b"1\rx", 0), Line::Bad);
        assert_eq!(line(b"123456789\rx", 0), Line::Bad);
        assert_eq!(line(b"12345678\r\n", 8), Line::Number(12_345_678, 10));
    }
}
