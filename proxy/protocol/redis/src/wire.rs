//! RESP framing: where a request or a reply ends. Sans-IO; works on any cut of the byte stream and copies nothing.
//!
//! Sources: the Redis documentation, "Redis serialization protocol specification" (RESP2 and RESP3), and
//! `networking.c` of Redis 7.0 (`processInlineBuffer`, `processMultibulkBuffer`) for limits and error words.
//!
//! Where Redis is lenient (any byte passes for the `\n` after a `\r`, and for the two bytes after a bulk string) this
//! module refuses: what we and the server could read differently must never reach the server.

use std::fmt;

use bytes::Bytes;

mod encode;
mod inline;
mod number;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use encode::{append_bulk, append_request};
pub use inline::inline_to_multibulk;
pub(crate) use reply::is_turned_away;
pub use reply::{ERROR_PREFIX_MAX, Progress, ReplyScanner, certainly_not_executed, error_class};
pub use request::{Args, Frame, FrameKind, RequestScanner, Scan, args};

/// Longest inline request and longest header line, in bytes (`PROTO_INLINE_MAX_SIZE`).
pub const LINE_MAX: usize = 64 * 1024;

/// Longest argument of a request, in bytes (default of `proto-max-bulk-len`).
pub const BULK_MAX: u64 = 512 * 1024 * 1024;

/// Bytes that RESP does not allow, or that Redis and we might read differently. The connection can't be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// An inline request longer than [`LINE_MAX`].
    InlineTooLong,
    /// An inline request with a nul byte, for whose end Redis would wait until the line is too long.
    InlineNul,
    /// An inline request whose quotes don't match.
    UnbalancedQuotes,
    /// The line with the number of arguments is longer than [`LINE_MAX`].
    CountTooLong,
    /// The number of arguments is not a number, is too large, or its line does not end in CRLF.
    InvalidCount,
    /// The line with an argument's length is longer than [`LINE_MAX`].
    LengthTooLong,
    /// An argument's header begins with this byte.
    ExpectedDollar(u8),
    /// An argument's length is not a number, is negative or too large, or its line does not end in CRLF.
    InvalidLength,
    /// A bulk string is not followed by CRLF.
    BulkEnd,
    /// A reply begins with a byte that is no type of RESP, or a push stands behind an attribute.
    UnknownType(u8),
    /// A length or count in a reply is not a number or not possible.
    InvalidReplyLength,
    /// A line of a reply has a CR or LF that is not part of the CRLF at its end.
    ReplyLineEnd,
}

impl Malformed {
    /// The error reply that Redis gives before it closes the connection.
    #[must_use]
    pub fn reply(self) -> Bytes {
        format!("-ERR Protocol error: {self}\r\n").into()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InlineTooLong => "too big inline request",
            Self::InlineNul => "nul byte in inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::CountTooLong => "too big mbulk count string",
            Self::InvalidCount => "invalid multibulk length",
            Self::LengthTooLong => "too big bulk count string",
            Self::ExpectedDollar(got) => {
                // The byte goes into an error line: line ends become spaces, as Redis does it; what is not ASCII would
                // not be UTF-8 by itself.
                let got = match got {
                    0x20..=0x7e => char::from(*got),
                    b'\r' | b'\n' => ' ',
                    _ => '?',
                };
                return write!(f, "expected '$', got '{got}'");
            }
            Self::InvalidLength => "invalid bulk length",
            Self::BulkEnd => "bulk string without CRLF at its end",
            Self::UnknownType(_) => "unknown reply type",
            Self::InvalidReplyLength => "invalid length in reply",
            Self::ReplyLineEnd => "stray CR or LF in a line of a reply",
        })
    }
}

impl std::error::Error for Malformed {}
