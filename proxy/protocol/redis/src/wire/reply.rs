//! Where replies end.

use super::Malformed;
use super::number::{self, Line};
use super::request::skip_bulk;

mod error;
#[cfg(test)]
mod tests;

pub(crate) use error::is_turned_away;
pub use error::{certainly_not_executed, error_class};

/// Bytes of an error's text that are kept for [`error_class`]. An error inside of a script names its code behind the
/// script's hash (`ERR Error running script (call to f_<40 digits>): ... -READONLY`), about 100 bytes in.
pub const ERROR_PREFIX_MAX: usize = 128;

/// Longest header line of a reply after its type byte; the longest number has 20.
const HEADER_MAX: usize = 32;

/// What one call consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to replies (and pushes) up to here, whether or not the last of them is complete.
    pub consumed: usize,
    /// Replies that ended in them.
    pub complete: u32,
    /// RESP3 pushes that ended in them. A push is no reply.
    pub pushes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A type byte is next.
    #[default]
    Type,
    /// Inside of the line of this type.
    Line(u8),
    /// Inside of a body with its CRLF, of which so many bytes are to come; whether it is the text of an error.
    Body(u64, bool),
}

/// What is being read at the top level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Top {
    /// Nothing: a frame begins with the next byte.
    #[default]
    Idle,
    /// An attribute came: what follows it is the frame.
    Announced,
    /// The elements of a reply.
    Reply,
    /// The elements of an attribute.
    Attribute,
    /// The elements of a push.
    Push,
}

/// Resumable scan of a stream of replies, RESP2 and RESP3.
///
/// It consumes all that it is given, so bytes can be passed on at any cut. Nesting costs nothing: elements that are still
/// to come are one number, whatever their depth.
#[derive(Clone, Debug)]
pub struct ReplyScanner {
    state: State,
    top: Top,
    /// Elements of the present top-level frame that have not ended.
    left: u64,
    /// Beginning of a line (or of an error's text) that was cut.
    kept: [u8; ERROR_PREFIX_MAX],
    kept_len: usize,
    /// The last byte of the line so far is its CR.
    cr: bool,
}

impl Default for ReplyScanner {
    fn default() -> Self {
        Self {
            state: State::default(),
            top: Top::default(),
            left: 0,
            kept: [0; ERROR_PREFIX_MAX],
            kept_len: 0,
            cr: false,
        }
    }
}

impl ReplyScanner {
    /// Scans on: `input` follows directly on what earlier calls consumed.
    ///
    /// Stops behind the reply with which `want` are complete. With `want` 0 only a frame that has begun and pushes are
    /// consumed: bytes that are left over then are a reply to no request.
    ///
    /// `on_error` gets the text of each top-level error reply, without its type byte and line end, cut to
    /// [`ERROR_PREFIX_MAX`] bytes. Errors inside of arrays (of `EXEC`) are data.
    ///
    /// # Errors
    /// [`Malformed`], the same for every way to cut the bytes; then neither scanner nor connection can be used further.
    #[inline]
    pub fn scan(
        &mut self,
        input: &[u8],
        want: u32,
        on_error: impl FnMut(&[u8]),
    ) -> Result<Progress, Malformed> {
        let enough = |progress: &Progress, next: u8| {
            (want > 0 && progress.complete >= want) || (want == 0 && next != b'>')
        };
        self.scan_until(input, enough, on_error)
    }

    /// The same, up to the end of one frame, be it a reply or a push.
    ///
    /// # Errors
    /// As [`ReplyScanner::scan`].
    pub fn scan_frame(&mut self, input: &[u8]) -> Result<Progress, Malformed> {
        self.scan_until(input, |progress, _| progress.complete + progress.pushes > 0, |_| {})
    }

    /// Scans until, between two frames, `enough` says so of what was consumed and of the byte that is next.
    #[inline]
    fn scan_until(
        &mut self,
        input: &[u8],
        enough: impl Fn(&Progress, u8) -> bool,
        mut on_error: impl FnMut(&[u8]),
    ) -> Result<Progress, Malformed> {
        let mut progress = Progress::default();
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Type => {
                    if self.top == Top::Idle && enough(&progress, rest[0]) {
                        break;
                    }
                    if self.top == Top::Idle
                        && let Some(length) = whole_bulk(rest)
                    {
                        at += length;
                        progress.complete += 1;
                        continue;
                    }
                    let known = match rest[0] {
                        b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'(' => true,
                        b'!' | b'=' | b'%' | b'~' | b'|' => true,
                        // Redis 7.0 also tells a client inside of an `EXEC` what it has published to itself there.
                        b'>' => self.top != Top::Announced,
                        _ => false,
                    };
                    if !known {
                        return Err(Malformed::UnknownType(rest[0]));
                    }
                    self.state = State::Line(rest[0]);
                    at += 1;
                }
                State::Line(kind) => {
                    let Some(end) = self.line_end(kind, rest)? else {
                        self.keep_line(rest);
                        at = input.len();
                        break;
                    };
                    at += end;
                    if self.kept_len == 0 && !self.cr {
                        let text = &rest[..end - 2];
                        self.line(kind, text, &mut progress, &mut on_error)?;
                    } else {
                        let text = &rest[..end.saturating_sub(2)];
                        self.keep(text);
                        let (kept, len) = (self.kept, self.kept_len);
                        self.forget();
                        self.line(kind, &kept[..len], &mut progress, &mut on_error)?;
                    }
                }
                State::Body(left, is_error) => {
                    let (taken, left_now) = skip_bulk(rest, left).ok_or(Malformed::BulkEnd)?;
                    if is_error {
                        let text = usize::try_from(left.saturating_sub(2)).unwrap_or(usize::MAX);
                        self.keep(&rest[..taken.min(text)]);
                    }
                    at += taken;
                    self.state = State::Body(left_now, is_error);
                    if left_now == 0 {
                        if is_error {
                            on_error(&self.kept[..self.kept_len]);
                            self.forget();
                        }
                        self.element(&mut progress);
                    }
                }
            }
        }
        progress.consumed = at;
        Ok(progress)
    }

    /// Whether a reply or push has begun and not ended.
    #[must_use]
    pub fn mid_reply(&self) -> bool {
        self.top != Top::Idle || self.state != State::Type
    }

    /// Where the line that goes on in `rest` ends, behind its LF; `None` if not in `rest`.
    #[inline]
    fn line_end(&self, kind: u8, rest: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.cr {
            return if rest[0] == b'\n' { Ok(Some(1)) } else { Err(Malformed::ReplyLineEnd) };
        }
        // A header has a bound. Other lines may have any length: nothing of them is kept beyond the prefix.
        let is_header = !matches!(kind, b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(');
        let bound = if is_header { (HEADER_MAX + 1).saturating_sub(self.kept_len) } else { rest.len() };
        let head = &rest[..bound.min(rest.len())];
        // Clients differ in what they take for the end of a line with a stray CR or LF in it, so none may pass.
        match head.iter().position(|&b| b == b'\r' || b == b'\n') {
            Some(end) => match (rest[end], rest.get(end + 1)) {
                (b'\r', Some(b'\n')) => Ok(Some(end + 2)),
                (b'\r', None) => Ok(None),
                _ => Err(Malformed::ReplyLineEnd),
            },
            None if is_header && head.len() == bound => Err(Malformed::InvalidReplyLength),
            None => Ok(None),
        }
    }

    /// Keeps the beginning of a line that is cut.
    #[cold]
    fn keep_line(&mut self, rest: &[u8]) {
        match rest {
            [text @ .., b'\r'] => {
                self.keep(text);
                self.cr = true;
            }
            text => self.keep(text),
        }
    }

    fn keep(&mut self, text: &[u8]) {
        let n = text.len().min(ERROR_PREFIX_MAX - self.kept_len);
        self.kept[self.kept_len..self.kept_len + n].copy_from_slice(&text[..n]);
        self.kept_len += n;
    }

    fn forget(&mut self) {
        self.kept_len = 0;
        self.cr = false;
    }

    /// A line has ended. `text` is what is between its type byte and its CRLF; of a cut line, the beginning.
    #[inline]
    fn line(
        &mut self,
        kind: u8,
        text: &[u8],
        progress: &mut Progress,
        on_error: &mut impl FnMut(&[u8]),
    ) -> Result<(), Malformed> {
        let at_top = matches!(self.top, Top::Idle | Top::Announced);
        match kind {
            b'+' | b':' | b'_' | b'#' | b',' | b'(' => self.element(progress),
            b'-' => {
                if at_top {
                    on_error(&text[..text.len().min(ERROR_PREFIX_MAX)]);
                }
                self.element(progress);
            }
            b'$' | b'=' | b'!' => match length(text)? {
                // Only the plain bulk string has a null.
                None if kind != b'$' => return Err(Malformed::InvalidReplyLength),
                None => self.element(progress),
                Some(length) => self.state = State::Body(length + 2, kind == b'!' && at_top),
            },
            b'*' | b'~' => match length(text)? {
                None if kind != b'*' => return Err(Malformed::InvalidReplyLength),
                None => self.element(progress),
                Some(count) => self.aggregate(Top::Reply, count, progress)?,
            },
            b'%' | b'|' => {
                let pairs = length(text)?.ok_or(Malformed::InvalidReplyLength)?;
                let count = pairs.checked_mul(2).ok_or(Malformed::InvalidReplyLength)?;
                let top = if kind == b'%' { Top::Reply } else { Top::Attribute };
                self.aggregate(top, count, progress)?;
            }
            b'>' => {
                let count = length(text)?.ok_or(Malformed::InvalidReplyLength)?;
                self.aggregate(Top::Push, count, progress)?;
            }
            other => return Err(Malformed::UnknownType(other)),
        }
        Ok(())
    }

    /// An aggregate of `count` elements begins; `top` is what it is if it stands at the top level.
    fn aggregate(&mut self, top: Top, count: u64, progress: &mut Progress) -> Result<(), Malformed> {
        self.state = State::Type;
        if matches!(self.top, Top::Idle | Top::Announced) {
            self.top = top;
            self.left = count;
        } else {
            // An attribute or a push is no element itself: the element that it stands before is still to come.
            let own = u64::from(!matches!(top, Top::Attribute | Top::Push));
            self.left = self
                .left
                .checked_sub(own)
                .and_then(|left| left.checked_add(count))
                .ok_or(Malformed::InvalidReplyLength)?;
        }
        if self.left == 0 {
            self.end(progress);
        }
        Ok(())
    }

    /// An element that is no aggregate has ended.
    #[inline]
    fn element(&mut self, progress: &mut Progress) {
        self.state = State::Type;
        // At the top level the element is the whole frame, and `left` is 0.
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.end(progress);
        }
    }

    /// A top-level frame has ended.
    #[inline]
    fn end(&mut self, progress: &mut Progress) {
        self.top = match self.top {
            Top::Attribute => Top::Announced,
            Top::Push => {
                progress.pushes += 1;
                Top::Idle
            }
            Top::Idle | Top::Announced | Top::Reply => {
                progress.complete += 1;
                Top::Idle
            }
        };
    }
}

/// The length of the bulk string that `bytes` begin with, from its type byte to its last, if it is there as a whole.
#[inline]
fn whole_bulk(bytes: &[u8]) -> Option<usize> {
    let [b'$', header @ ..] = bytes else { return None };
    let Line::Number(length, line) = number::line(header, 0) else { return None };
    let body = 1 + line;
    let end = body.checked_add(usize::try_from(length).ok()?)?.checked_add(2)?;
    (bytes.get(end - 2..end)? == b"\r\n").then_some(end)
}

/// A length or count; `None` is RESP2's null (-1).
#[inline]
fn length(text: &[u8]) -> Result<Option<u64>, Malformed> {
    let value = match text {
        [digit @ b'0'..=b'9'] => i64::from(digit - b'0'),
        text => number::number(text).ok_or(Malformed::InvalidReplyLength)?,
    };
    match u64::try_from(value) {
        Ok(length) => Ok(Some(length)),
        Err(_) if value == -1 => Ok(None),
        Err(_) => Err(Malformed::InvalidReplyLength),
    }
}
