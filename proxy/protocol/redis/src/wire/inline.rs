//! Inline requests: words on a line, as one types them into telnet.

use bytes::Bytes;

use super::Malformed;

/// Splits a line (with or without its line end) into words as `sdssplitargs` of Redis does; returns their number.
///
/// `sink` gets each byte of a word, then `None` at the word's end.
///
/// # Errors
/// [`Malformed::UnbalancedQuotes`], and [`Malformed::InlineNul`] because Redis would stop there.
pub(super) fn split(line: &[u8], mut sink: impl FnMut(Option<u8>)) -> Result<u32, Malformed> {
    if line.contains(&0) {
        return Err(Malformed::InlineNul);
    }
    let at = |i: usize| line.get(i).copied().unwrap_or(0);
    // C's isspace. Between words all six count, inside of an unquoted word only four do: so it is in Redis.
    let is_space = |b: u8| matches!(b, b' ' | b'\t'..=b'\r');
    let (mut i, mut words) = (0, 0);
    loop {
        while is_space(at(i)) {
            i += 1;
        }
        if at(i) == 0 {
            return Ok(words);
        }
        let mut quote = 0;
        loop {
            match (quote, at(i)) {
                (0, 0 | b' ' | b'\n' | b'\r' | b'\t') => break,
                (0, open @ (b'"' | b'\'')) => quote = open,
                (0, byte) => sink(Some(byte)),
                (_, 0) => return Err(Malformed::UnbalancedQuotes),
                (open, close) if open == close => {
                    i += 1;
                    if at(i) != 0 && !is_space(at(i)) {
                        return Err(Malformed::UnbalancedQuotes);
                    }
                    break;
                }
                (b'"', b'\\') => match (at(i + 1), hex(at(i + 2)), hex(at(i + 3))) {
                    (b'x', Some(high), Some(low)) => {
                        sink(Some(high << 4 | low));
                        i += 3;
                    }
                    (0, ..) => sink(Some(b'\\')),
                    (escaped, ..) => {
                        sink(Some(match escaped {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            b'b' => 8,
                            b'a' => 7,
                            other => other,
                        }));
                        i += 1;
                    }
                },
                (_, b'\\') if at(i + 1) == b'\'' => {
                    sink(Some(b'\''));
                    i += 1;
                }
                (_, byte) => sink(Some(byte)),
            }
            i += 1;
        }
        sink(None);
        words += 1;
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The same request in the form that every other request has, so that nothing behind the scanner meets two forms.
///
/// `line` is a frame of kind [`super::FrameKind::Inline`]. Allocates: a person types these.
///
/// # Errors
/// What Redis would not read as a request.
pub fn inline_to_multibulk(line: &[u8]) -> Result<Bytes, Malformed> {
    let (mut body, mut word) = (Vec::with_capacity(line.len() + 64), Vec::new());
    let count = split(line, |byte| match byte {
        Some(byte) => word.push(byte),
        None => {
            body.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            body.append(&mut word);
            body.extend_from_slice(b"\r\n");
        }
    })?;
    let mut whole = format!("*{count}\r\n").into_bytes();
    whole.append(&mut body);
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_redis_splits_them() {
        let join = |line: &str| {
            let mut words = vec![Vec::new()];
            split(line.as_bytes(), |byte| match byte {
                Some(byte) => words.last_mut().expect("begins with one").push(byte),
                None => words.push(Vec::new()),
            })
            .map(|count| {
                words.pop();
                assert_eq!(words.len(), count as usize, "{line}");
                words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect::<Vec<_>>().join("|")
            })
        };
        for (line, words) in [
            ("PING\r\n", "PING"),
            ("  set  k\tv \r\n", "set|k|v"),
            ("\x0b\x0cget k", "get|k"),
            ("get k\x0bx", "get|k\x0bx"),
            (r#"set "a b" 'c d'"#, "set|a b|c d"),
            (r#""\x53ET" k "\n\r\t\b\a\q\"""#, "SET|k|\n\r\t\x08\x07q\""),
            (r"'it\'s' 'a\nb'", r"it's|a\nb"),
            (r#"fo"o b"  x"#, "foo b|x"),
            (r#""""#, ""),
            ("", ""),
            (" \r\n", ""),
        ] {
            assert_eq!(join(line).as_deref(), Ok(words), "{line:?}");
        }
        for line in ["\"a", "'a", r#""a"b"#, "'a'b", r#""a\"#, r#"""""#, "\"a\r\n"] {
            assert_eq!(join(line), Err(Malformed::UnbalancedQuotes), "{line:?}");
        }
        assert_eq!(join("a\0b"), Err(Malformed::InlineNul));
    }

    #[test]
    fn an_inline_request_becomes_a_multibulk_one() {
        let bytes = inline_to_multibulk(b"set \"k\\r\\n\" ''\r\n").expect("well formed");
        assert_eq!(&bytes[..], b"*3\r\n$3\r\nset\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
    }
}
