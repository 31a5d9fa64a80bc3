//! The gate's side of the protocol, and the sidecar's side of the same: the first words of a connection (PROTOCOL 7.5).
//!
//! A connection to a gate begins with one `AUTH ft-token <token>`, as an array of three bulk strings. The gate takes it off,
//! answers it, and from then on understands nothing: what follows passes as it comes. So the session's own `AUTH` or `HELLO`
//! reaches the store as if there were no gate.

mod attach;

pub use attach::{Attach, NoPass, Pass};

/// The user name that no user has: what is behind it is a token.
pub const TOKEN_USER: &str = "ft-token";

/// The longest first frame: a compact token has 1024 bytes at most, one in the outside form perhaps twice that.
pub const FIRST_FRAME_MAX: usize = 4096;

/// What stands behind the code of each error of a gate's, to be told from those of a server.
pub const SAYS: &str = "foretoken gate:";

/// What a gate says to a token that it takes.
pub const WELCOME: &[u8] = b"+OK\r\n";

/// What a gate says when nobody listens behind it. [`Attach`] tells it from a refusal, so that a store that died is seen to
/// be dead through its gate.
pub const NOBODY_BEHIND: &[u8] = b"-MASTERDOWN foretoken gate: nobody listens at the store's address\r\n";

const HEAD: &[u8] = b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$";

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing speaks against it, and its end has not come.
    Incomplete,
    /// A token: where it lies, and where the frame ends.
    Token {
        /// Its place in the bytes.
        token: std::ops::Range<usize>,
        /// How many bytes the gate takes off.
        frame: usize,
    },
    /// Anything else.
    Strange,
    /// A token that is longer than any.
    TooLong,
}

/// Looks at the first bytes of a connection. Never waits for more bytes than it needs to say no.
///
/// Strict on purpose: what is said here is said by [`Attach`], and a parser that takes less has less to be fooled by.
#[must_use]
pub fn first(bytes: &[u8]) -> First {
    let head = bytes.len().min(HEAD.len());
    // The command's name may be written in either case, as everywhere in Redis.
    if !bytes[..head].eq_ignore_ascii_case(&HEAD[..head]) {
        return First::Strange;
    }
    let Some(rest) = bytes.get(HEAD.len()..) else { return First::Incomplete };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // No leading zero and no sign: one length has one spelling. Before its size, so that no later digit changes the answer.
    if digits > 0 && rest[0] == b'0' || digits == 0 && !rest.is_empty() {
        return First::Strange;
    }
    if digits > 4 {
        return First::TooLong;
    }
    let (number, rest) = rest.split_at(digits);
    if !b"\r\n".starts_with(&rest[..rest.len().min(2)]) {
        return First::Strange;
    }
    if rest.len() < 2 {
        return First::Incomplete;
    }
    let length = number.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let start = HEAD.len() + digits + 2;
    let (end, frame) = (start + length, start + length + 2);
    if frame > FIRST_FRAME_MAX {
        return First::TooLong;
    }
    let tail = bytes.get(end..).unwrap_or_default();
    if !b"\r\n".starts_with(&tail[..tail.len().min(2)]) {
        return First::Strange;
    }
    if bytes.len() < frame { First::Incomplete } else { First::Token { token: start..end, frame } }
}

/// The frame that presents a token.
#[must_use]
pub fn present(token: &[u8]) -> Vec<u8> {
    [HEAD, format!("{}\r\n", token.len()).as_bytes(), token, b"\r\n"].concat()
}

/// What a gate says to somebody who began with something else than a token.
#[must_use]
pub fn no_token(why: &str) -> Vec<u8> {
    error("NOAUTH", why)
}

/// What a gate says to a token that it does not take.
#[must_use]
pub fn refused(why: &str) -> Vec<u8> {
    error("WRONGPASS", why)
}

/// What a gate says when it lets nobody in.
#[must_use]
pub fn closed(why: &str) -> Vec<u8> {
    error("MASTERDOWN", why)
}

fn error(code: &str, why: &str) -> Vec<u8> {
    // One line, whatever was quoted in the reason.
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("-{code} {SAYS} {why}\r\n").into_bytes()
}

#[cfg(test)]
mod tests;
