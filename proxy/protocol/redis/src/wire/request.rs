//! Where requests end.

use super::inline;
use super::number::{self, Line};
use super::{BULK_MAX, LINE_MAX, Malformed};

#[cfg(test)]
mod tests;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// An array of bulk strings; [`args`] reads it.
    Multibulk {
        /// How many arguments it has, the command's name included. At least 1.
        args: u32,
    },
    /// Words on a line, at least one; see [`super::inline_to_multibulk`].
    Inline,
    /// An empty line or an array of no elements: Redis answers nothing.
    Empty,
}

/// One whole request at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its length in the buffer, in bytes: what was [removed](RequestScanner::removed) does not count.
    pub len: usize,
    /// What it is.
    pub kind: FrameKind,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The request's end is not in the buffer.
    Incomplete {
        /// The first so many bytes belong to the request and are well formed: they may be forwarded (then say
        /// [`RequestScanner::removed`]). A header that is cut is not among them, neither is an inline request.
        scanned: usize,
    },
    /// A whole request; the scanner is ready for the next one.
    Complete(Frame),
}

/// Resumable scan of one request at the front of a growing buffer.
///
/// It looks at no byte twice, except that a cut header line is read again when its end has come, and keeps counters only:
/// its size does not depend on the request.
#[derive(Clone, Debug, Default)]
pub struct RequestScanner {
    /// Bytes at the buffer's front that are known to belong to this request.
    at: usize,
    /// Bytes behind `at` in which there is no line end.
    searched: usize,
    /// Bytes of the present argument and of its CRLF behind `at`; 0: a header is next.
    body: u64,
    /// Arguments that have not ended.
    left: u32,
    /// Arguments in all; 0: the request has not begun.
    args: u32,
}

impl RequestScanner {
    /// Scans on. `input` begins where the request begins (minus what was [removed](Self::removed)) and holds everything
    /// that earlier calls for this request were given.
    ///
    /// # Errors
    /// [`Malformed`], the same for every way to cut the bytes; then neither scanner nor connection can be used further.
    #[inline]
    pub fn scan(&mut self, input: &[u8]) -> Result<Scan, Malformed> {
        if self.args == 0 {
            match input.first() {
                None => return Ok(Scan::Incomplete { scanned: 0 }),
                Some(b'*') => {}
                Some(_) => return self.inline(input),
            }
            let header = &input[1..];
            let (count, len) = match number::line(header, self.searched) {
                Line::Number(count, len) => (count, len),
                Line::Bad => return Err(Malformed::InvalidCount),
                Line::TooLong => return Err(Malformed::CountTooLong),
                Line::Partial => return Ok(self.wait(header)),
            };
            self.searched = 0;
            if count <= 0 {
                return Ok(Scan::Complete(Frame { len: 1 + len, kind: FrameKind::Empty }));
            }
            self.args = i32::try_from(count).map_err(|_| Malformed::InvalidCount)?.unsigned_abs();
            self.left = self.args;
            self.at = 1 + len;
        }
        while self.left > 0 {
            if self.body == 0 {
                let header = match input.get(self.at..) {
                    Some([b'$', header @ ..]) => header,
                    Some([other, ..]) => return Err(Malformed::ExpectedDollar(*other)),
                    _ => return Ok(Scan::Incomplete { scanned: self.at }),
                };
                let (length, len) = match number::line(header, self.searched) {
                    Line::Number(length, len) => (length, len),
                    Line::Bad => return Err(Malformed::InvalidLength),
                    Line::TooLong => return Err(Malformed::LengthTooLong),
                    Line::Partial => return Ok(self.wait(header)),
                };
                self.searched = 0;
                let length = u64::try_from(length).map_err(|_| Malformed::InvalidLength)?;
                if length > BULK_MAX {
                    return Err(Malformed::InvalidLength);
                }
                self.at += 1 + len;
                self.body = length + 2;
            }
            let rest = input.get(self.at..).unwrap_or_default();
            let (taken, body) = skip_bulk(rest, self.body).ok_or(Malformed::BulkEnd)?;
            self.at += taken;
            self.body = body;
            if body > 0 {
                return Ok(Scan::Incomplete { scanned: self.at });
            }
            self.left -= 1;
        }
        let frame = Frame { len: self.at, kind: FrameKind::Multibulk { args: self.args } };
        *self = Self::default();
        Ok(Scan::Complete(frame))
    }

    /// The first `n` bytes, all of which an earlier scan had reported as scanned, were taken off the buffer's front.
    pub fn removed(&mut self, n: usize) {
        debug_assert!(n <= self.at, "only scanned bytes may be removed");
        self.at = self.at.saturating_sub(n);
    }

    /// Whether a multibulk request has begun and not ended.
    #[must_use]
    pub fn mid_request(&self) -> bool {
        self.args > 0
    }

    /// Arguments that the request has in all, once its first header was scanned; 0 before.
    #[must_use]
    pub fn arguments(&self) -> u32 {
        self.args
    }

    /// Bytes of the present argument, CRLF included, that are still to come, and whether the request ends with them.
    #[must_use]
    pub fn missing(&self) -> (u64, bool) {
        (self.body, self.left == 1 && self.body > 0)
    }

    /// A header's line end has not come.
    #[cold]
    fn wait(&mut self, header: &[u8]) -> Scan {
        // The CR may be here and only its LF missing: it must be found again.
        self.searched = header.len() - usize::from(header.last() == Some(&b'\r'));
        Scan::Incomplete { scanned: self.at }
    }

    #[cold]
    fn inline(&mut self, input: &[u8]) -> Result<Scan, Malformed> {
        let rest = input.get(self.searched..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            if input.len() > LINE_MAX {
                return Err(Malformed::InlineTooLong);
            }
            self.searched = input.len();
            return Ok(Scan::Incomplete { scanned: 0 });
        };
        let end = self.searched + end;
        if end > LINE_MAX {
            return Err(Malformed::InlineTooLong);
        }
        self.searched = 0;
        let words = inline::split(&input[..end], |_| ())?;
        let kind = if words == 0 { FrameKind::Empty } else { FrameKind::Inline };
        Ok(Scan::Complete(Frame { len: end + 1, kind }))
    }
}

/// Skips what `input` has of a bulk string of which `left` bytes are to come, its CRLF included.
///
/// Returns the bytes skipped and those that are then to come; `None` when the CRLF is something else.
#[inline]
pub(super) fn skip_bulk(input: &[u8], left: u64) -> Option<(usize, u64)> {
    match usize::try_from(left) {
        // The whole of it: `left` is at least 2 unless its CR was seen by an earlier call.
        Ok(all) if all <= input.len() => {
            let ends = match all {
                0 => true,
                1 => input[0] == b'\n',
                _ => input[all - 2] == b'\r' && input[all - 1] == b'\n',
            };
            ends.then_some((all, 0))
        }
        _ => {
            let rest = left - input.len() as u64;
            let bad_cr = rest == 1 && input.last().is_some_and(|&b| b != b'\r');
            (!bad_cr).then_some((input.len(), rest))
        }
    }
}

/// Arguments of a multibulk frame, without copying.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
    total: usize,
}

/// The arguments of a frame of kind [`FrameKind::Multibulk`], the command's name first; or the bulk strings at the beginning of
/// an array or push that a server sends.
///
/// Of the beginning of a frame it gives the arguments that are complete, of anything else none: nothing is trusted.
#[inline]
#[must_use]
pub fn args(frame: &[u8]) -> Args<'_> {
    let (rest, total) = match frame {
        [b'*' | b'>', header @ ..] => match number::line(header, 0) {
            Line::Number(count, len) => (header.get(len..).unwrap_or_default(), count),
            _ => (&[][..], 0),
        },
        _ => (&[][..], 0),
    };
    Args { rest, total: usize::try_from(total).unwrap_or(0) }
}

impl Args<'_> {
    /// How many arguments the request has in all, by its header: of a beginning fewer are there.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let [b'$', header @ ..] = self.rest else { return None };
        let Line::Number(length, len) = number::line(header, 0) else { return None };
        let body = header.get(len..)?;
        let length = usize::try_from(length).ok()?;
        let after = length.checked_add(2)?;
        self.rest = body.get(after..)?;
        body.get(..length)
    }
}

impl std::iter::FusedIterator for Args<'_> {}
