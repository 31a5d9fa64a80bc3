//! Replies to our own commands: the five kinds of RESP2, small and bounded.
//!
//! Control connections never ask for RESP3, so nothing else can come; what else comes is malformed.

/// Most bytes of all replies to one pipeline. The longest honest one is `INFO` with a few hundred replicas.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting of arrays. Our commands are answered with at most two levels.
pub(super) const MAX_DEPTH: usize = 8;
/// Longest line: an error text or a number.
const MAX_LINE: usize = 64 * 1024;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Value>),
}

impl Value {
    /// The text of a simple or bulk string.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Simple(text) => Some(text.clone()),
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// A number, be it sent as one or as text.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            other => other.text()?.parse().ok(),
        }
    }

    /// The elements of an array.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The text of an error reply.
    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// Bytes that RESP2 does not allow, or more of them than we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(&'static str);

impl Malformed {
    /// More replies than commands.
    pub(super) const UNASKED: Self = Self("there is a reply that nobody asked for");
    /// More bytes than [`MAX_BYTES`].
    pub(super) const TOO_MUCH: Self = Self("a reply is too long");
}

/// Finds where a reply ends, going on where it stopped: however small the pieces are in which a reply comes, each of its
/// bytes is looked at once, and nothing is allocated for it before it is complete.
#[derive(Debug, Default)]
struct Scanner {
    /// Up to here all elements are complete.
    at: usize,
    /// Elements still missing from each open array, outermost first.
    open: Vec<u64>,
}

impl Scanner {
    /// The end of the first reply in `input`, or `None` when it is not complete yet.
    fn end(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            let Some((kind, line, mut next)) = split_line(input, self.at)? else { return Ok(None) };
            match kind {
                b'+' | b'-' => {}
                b':' => {
                    integer(line)?;
                }
                b'$' => {
                    if let Some(length) = length(line)? {
                        let end = next + length;
                        let Some(tail) = input.get(end..end + 2) else { return Ok(None) };
                        if tail != b"\r\n" {
                            return Err(Malformed("a bulk string is longer than it said"));
                        }
                        next = end + 2;
                    }
                }
                b'*' => {
                    let count = length(line)?.unwrap_or(0);
                    if count > 0 {
                        if self.open.len() == MAX_DEPTH {
                            return Err(Malformed("a reply is nested too deeply"));
                        }
                        self.open.push(count as u64);
                        self.at = next;
                        continue;
                    }
                }
                _ => return Err(Malformed("a reply begins with a byte that RESP2 does not know")),
            }
            self.at = next;
            while let Some(missing) = self.open.last_mut() {
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                self.open.pop();
            }
            if self.open.is_empty() {
                return Ok(Some(std::mem::take(&mut self.at)));
            }
        }
    }
}

/// Takes replies off a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Parser {
    scanner: Scanner,
}

impl Parser {
    /// The first reply in `input`, which is the same bytes as last time and maybe more, and how many bytes it takes.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
        match self.scanner.end(input)? {
            Some(end) => {
                let mut at = 0;
                let value = build(&input[..end], &mut at)?;
                Ok(Some((value, end)))
            }
            None => Ok(None),
        }
    }
}

/// Builds the value of a complete reply. Its depth is bounded by the scanner.
fn build(input: &[u8], at: &mut usize) -> Result<Value, Malformed> {
    let cut = Malformed("a reply ends too early");
    let (kind, line, next) = split_line(input, *at)?.ok_or(cut)?;
    *at = next;
    let text = || String::from_utf8_lossy(line).into_owned();
    Ok(match kind {
        b'+' => Value::Simple(text()),
        b'-' => Value::Error(text()),
        b':' => Value::Integer(integer(line)?),
        b'$' => match length(line)? {
            Some(length) => {
                let bytes = input.get(next..next + length).ok_or(cut)?;
                *at = next + length + 2;
                Value::Bulk(bytes.to_vec())
            }
            None => Value::Nil,
        },
        _ => match length(line)? {
            Some(count) => {
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(build(input, at)?);
                }
                Value::Array(items)
            }
            None => Value::Nil,
        },
    })
}

/// Kind and text of a line, and where the next one begins.
type Line<'a> = (u8, &'a [u8], usize);

/// The line that begins at `at`.
fn split_line(input: &[u8], at: usize) -> Result<Option<Line<'_>>, Malformed> {
    let Some((kind, rest)) = input.get(at..).and_then(<[u8]>::split_first) else { return Ok(None) };
    if !b"+-:$*".contains(kind) {
        return Err(Malformed("a reply begins with a byte that RESP2 does not know"));
    }
    let within = &rest[..rest.len().min(MAX_LINE)];
    match within.iter().position(|byte| *byte == b'\r') {
        Some(end) => match rest.get(end + 1) {
            Some(b'\n') => Ok(Some((*kind, &rest[..end], at + 1 + end + 2))),
            Some(_) => Err(Malformed("a line ends without a line feed")),
            None => Ok(None),
        },
        None if rest.len() >= MAX_LINE => Err(Malformed("a line is too long")),
        None => Ok(None),
    }
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(Malformed("a number is none"))
}

/// A length or count; `None` for the null of RESP2.
fn length(line: &[u8]) -> Result<Option<usize>, Malformed> {
    match integer(line)? {
        -1 => Ok(None),
        number => match usize::try_from(number) {
            Ok(length) if length <= MAX_BYTES => Ok(Some(length)),
            _ => Err(Malformed("a length is out of bounds")),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(input: &[u8]) -> Result<Vec<Value>, Malformed> {
        let (mut parser, mut from, mut values) = (Parser::default(), 0, Vec::new());
        while let Some((value, used)) = parser.next(&input[from..])? {
            values.push(value);
            from += used;
        }
        Ok(values)
    }

    #[test]
    fn every_kind_is_read_whole_however_it_is_cut() {
        let input =
            b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$0\r\n\r\n";
        let expected = vec![
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Integer(-7),
            Value::Bulk(b"a\r\n".to_vec()),
            Value::Nil,
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![Value::Array(vec![Value::Integer(1)]), Value::Bulk(vec![])]),
        ];
        assert_eq!(all(input), Ok(expected.clone()));
        // Byte by byte with one parser: it must go on where it stopped.
        let (mut parser, mut from, mut values) = (Parser::default(), 0, Vec::new());
        for end in 1..=input.len() {
            while let Some((value, used)) = parser.next(&input[from..end]).unwrap() {
                values.push(value);
                from += used;
            }
        }
        assert_eq!(values, expected);
    }

    #[test]
    fn what_is_too_long_too_deep_or_not_resp2_is_refused() {
        assert!(all(b"$1048577\r\n").is_err());
        assert!(all(b"*9999999\r\n").is_err());
        assert!(all(b"$-2\r\n").is_err());
        assert!(all(b"%1\r\n").is_err());
        assert!(all(b"$1\r\nabc").is_err());
        assert!(all(&b"*1\r\n".repeat(MAX_DEPTH + 1)).is_err());
        assert_eq!(all(&b"*1\r\n".repeat(MAX_DEPTH)), Ok(vec![]));
        let mut long = vec![b'+'];
        long.resize(MAX_LINE + 2, b'a');
        assert!(all(&long).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            all(&input).ok();
        }

        #[test]
        fn bytes_that_look_like_resp_never_panic(input in "([*$:+-](-?[0-9]{1,3})?\r\n){0,40}") {
            all(input.as_bytes()).ok();
        }
    }
}
