//! A connection over which the server speaks without being asked: subscriptions, `MONITOR`, `CLIENT TRACKING`.
//!
//! What the client is subscribed to is known from the server's confirmations, so that another server can be asked for the
//! same. What was asked and not answered goes there again. What the old server said to nobody is lost: a client that has
//! subscribed to the channel [`RENEWED`] is told that there was a gap, and a client-side cache that it must be emptied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_protocol::{Batch, Passed, Relay};
use foretoken_types::{Epoch, Fault, FaultKind};

use crate::classify::{Kind, Relayed, classify, with_less_time};
use crate::scripts::Scripts;
use crate::wire::{ReplyScanner, args, is_turned_away};

mod frame;
mod standing;
#[cfg(test)]
mod tests;

use frame::Said;
use standing::Standing;

/// The channel over which a client hears that its subscriptions were renewed elsewhere, with the new epoch as the message.
const RENEWED: &[u8] = b"__ft:renewed";
/// A longer frame is passed on in pieces, and the relay can't be renewed in the middle of it.
const WHOLE_BYTES: usize = 256 * 1024;
/// Bytes of unanswered requests that are kept to be sent again.
const KEPT_BYTES: usize = 1024 * 1024;

/// What the connection held before it was relayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// Each request gets one answer.
    pub(crate) matched: bool,
    /// There is state that can't be moved.
    pub(crate) fixed: bool,
    /// Keys are watched.
    pub(crate) watched: bool,
}

/// Follows one relayed connection.
#[derive(Debug)]
pub struct RedisRelay {
    resp3: bool,
    scanner: ReplyScanner,
    /// Bytes at the front of the input that have been scanned.
    scanned: usize,
    /// A long frame is being passed on in pieces.
    torn: Option<Said>,
    /// Not answered, oldest first.
    asked: VecDeque<Asked>,
    kept: usize,
    standing: Standing,
    /// Of what was sent, the last `MULTI` has no `EXEC` yet.
    queuing: bool,
    /// It holds state that can't be moved.
    fixed: bool,
    /// The server has let the oldest request go, and says nothing more.
    let_go: bool,
    /// Nobody can tell which bytes answer what.
    opaque: bool,
    /// Another server is being told what the client wants; this is the epoch in which.
    renewing: Option<Epoch>,
    scripts: Arc<Scripts>,
}

/// One request.
#[derive(Debug)]
struct Asked {
    /// Its bytes; empty if they are not kept.
    frame: Bytes,
    kind: Kind,
    /// Confirmations that it still gets, if it changes subscriptions: one for each name. 0: it leaves all, and how many those
    /// are is known when it is its turn.
    confirmations: usize,
    /// Asked by us.
    quiet: bool,
}

impl Asked {
    fn new(frame: Bytes, kind: Kind, quiet: bool) -> Self {
        let confirmations = args(&frame).total().saturating_sub(1);
        Self { frame, kind, confirmations, quiet }
    }
}

impl RedisRelay {
    pub(crate) fn new(resp3: bool, begun: Begun, scripts: Arc<Scripts>) -> Self {
        Self {
            resp3,
            scanner: ReplyScanner::default(),
            scanned: 0,
            torn: None,
            asked: VecDeque::new(),
            kept: 0,
            standing: Standing::new(begun.watched),
            queuing: false,
            fixed: begun.fixed,
            let_go: false,
            opaque: !begun.matched,
            renewing: None,
            scripts,
        }
    }

    /// What the frame that begins with `head` is.
    fn sort(&self, head: &[u8]) -> Result<Said, Fault> {
        let said = frame::sort(head, self.resp3, &self.standing, self.asked.front().map(|asked| asked.kind));
        match said {
            Said::Answer if self.asked.is_empty() => Err(Fault::unknown(FaultKind::Malformed)),
            said => Ok(said),
        }
    }

    /// Takes over what a whole frame tells. `true`: it is for the client. `answered` counts what is answered with it.
    fn take(&mut self, said: Said, head: &[u8], answered: &mut u32) -> Result<bool, Fault> {
        match said {
            Said::Message => Ok(true),
            Said::Confirmed(confirmation) => {
                let change = confirmation.change;
                // If nobody asked, it is of the server's own accord: the channel's shard has moved.
                let asked = self.asked.front_mut().filter(|asked| asked.kind == Kind::Relay(change));
                let ended = asked.map(|asked| {
                    if let (0, Relayed::Unsubscribe(topic)) = (asked.confirmations, change) {
                        // One comes even when there is nothing to leave.
                        asked.confirmations = self.standing.count(topic).max(1);
                    }
                    asked.confirmations = asked.confirmations.saturating_sub(1);
                    (asked.confirmations == 0, asked.quiet)
                });
                self.standing.confirm(change, confirmation.name(head));
                if let Some((true, _)) = ended {
                    self.answered(answered);
                }
                Ok(!matches!(ended, Some((_, true))))
            }
            // It closes the connection behind that.
            Said::Answer if self.let_go => Err(Fault::unknown(FaultKind::Malformed)),
            Said::Answer if self.lets_go(head) => {
                self.let_go = true;
                Ok(false)
            }
            Said::Answer => {
                let Some(asked) = self.asked.front() else { return Ok(true) };
                let (quiet, refused) = (asked.quiet, head.first() == Some(&b'-'));
                if quiet && refused {
                    return Err(Fault::unknown(FaultKind::Pinned));
                }
                if asked.kind == Kind::Scripts && !refused && !self.standing.queues() {
                    self.scripts.executed(&asked.frame);
                }
                match asked.kind {
                    // In RESP3 it is answered with a map.
                    Kind::Hello if !refused => self.resp3 = head.first() == Some(&b'%'),
                    Kind::Reset if !refused => (self.resp3, self.standing) = (false, Standing::default()),
                    kind => self.standing.answered(kind, &asked.frame, head),
                }
                self.answered(answered);
                Ok(!quiet)
            }
        }
    }

    /// Whether the server has another role now, and so keeps nobody waiting any more (`disconnectAllBlockedClients` in `blocked.c`).
    fn lets_go(&self, head: &[u8]) -> bool {
        let waits = self.asked.front().is_some_and(|asked| asked.kind == Kind::Blocking);
        waits && head.starts_with(b"-UNBLOCKED ") && is_turned_away(&head[1..])
    }

    fn answered(&mut self, answered: &mut u32) {
        if let Some(asked) = self.asked.pop_front() {
            self.kept = self.kept.saturating_sub(asked.frame.len());
            *answered += u32::from(!asked.quiet);
        }
    }

    /// What the client hears once another server knows all that it wants.
    fn gap(&mut self) -> Bytes {
        if self.asked.front().is_some_and(|asked| asked.quiet) {
            return Bytes::new();
        }
        let Some(epoch) = self.renewing.take() else { return Bytes::new() };
        let mut told = BytesMut::new();
        if self.standing.tracks() {
            told.extend_from_slice(frame::INVALIDATE_ALL);
        }
        if self.standing.hears(RENEWED) {
            told.extend_from_slice(&frame::message(self.resp3, RENEWED, &epoch.to_string()));
        }
        told.freeze()
    }
}

/// Whether the request leaves nothing behind that is not followed here.
fn follows(kind: Kind, frame: &[u8]) -> bool {
    match kind {
        Kind::Plain | Kind::Blocking | Kind::Wait | Kind::Scripts | Kind::Identity => true,
        Kind::Multi | Kind::Exec | Kind::Discard | Kind::Watch | Kind::Unwatch => true,
        // Its answers to redirected keys go to a connection whose number will be another.
        Kind::Relay(Relayed::Tracking) => !args(frame).any(|arg| arg.eq_ignore_ascii_case(b"REDIRECT")),
        Kind::Relay(_) => true,
        _ => false,
    }
}

impl Relay for RedisRelay {
    fn sent(&mut self, batch: &Batch) -> bool {
        let frame = &batch.frames;
        let kind = classify(frame).kind;
        // The answer of an `EXEC` with such a command in it may have more elements than it says, and pushes between them.
        let queued = self.queuing && matches!(kind, Kind::Relay(_) | Kind::Hello);
        self.opaque |= queued || kind == Kind::Relay(Relayed::Opaque);
        if self.opaque {
            return true;
        }
        self.fixed |= !follows(kind, frame);
        self.queuing = kind == Kind::Multi
            || (self.queuing && !matches!(kind, Kind::Exec | Kind::Discard | Kind::Reset));
        // Of a long request this is only the beginning.
        let whole = args(frame).count() == args(frame).total();
        let keeps = whole && self.kept + frame.len() <= KEPT_BYTES;
        self.fixed |= !keeps;
        let mut asked = Asked::new(frame.clone(), kind, false);
        if keeps {
            self.kept += frame.len();
        } else {
            asked.frame = Bytes::new();
        }
        self.asked.push_back(asked);
        matches!(kind, Kind::Blocking | Kind::Wait)
    }

    fn is_matched(&self) -> bool {
        !self.opaque
    }

    fn received(&mut self, input: &mut BytesMut) -> Result<Passed, Fault> {
        if self.opaque {
            // Our own questions would be answered to the client.
            if self.asked.iter().any(|asked| asked.quiet) {
                return Err(Fault::unknown(FaultKind::Pinned));
            }
            return Ok(Passed { bytes: input.split().freeze(), ..Passed::default() });
        }
        let mut passed = BytesMut::new();
        let mut answered = 0;
        while self.scanned < input.len() {
            let progress = self
                .scanner
                .scan_frame(&input[self.scanned..])
                .map_err(|_| Fault::unknown(FaultKind::Malformed))?;
            self.scanned += progress.consumed;
            let ended = progress.complete + progress.pushes > 0;
            if !ended && self.scanned < WHOLE_BYTES {
                break;
            }
            let bytes = input.split_to(std::mem::take(&mut self.scanned));
            let said = match self.torn.take() {
                Some(said) => said,
                None => self.sort(&bytes)?,
            };
            if !ended {
                self.torn = Some(said);
                passed.unsplit(bytes);
            } else if self.take(said, &bytes, &mut answered)? {
                passed.unsplit(bytes);
            }
            if self.renewing.is_some() {
                passed.extend_from_slice(&self.gap());
            }
        }
        let partly = self.torn == Some(Said::Answer);
        Ok(Passed { bytes: passed.freeze(), answered, partly, let_go: self.let_go })
    }

    fn renew(&mut self, epoch: Epoch, waited: Duration) -> Option<Bytes> {
        self.asked.retain(|asked| !asked.quiet);
        if self.fixed || self.opaque || self.torn.is_some() || !self.standing.can_move() {
            return None;
        }
        if let Some(asked) = self.asked.front_mut() {
            asked.frame = match asked.kind {
                Kind::Blocking => with_less_time(&asked.frame, waited).unwrap_or(asked.frame.clone()),
                kind => frame::without_confirmed(&asked.frame, kind, asked.confirmations),
            };
        }
        self.let_go = false;
        (self.scanner, self.scanned) = (ReplyScanner::default(), 0);
        self.kept = self.asked.iter().map(|asked| asked.frame.len()).sum();
        for frame in self.standing.requests().into_iter().rev() {
            let kind = classify(&frame).kind;
            self.asked.push_front(Asked::new(frame, kind, true));
        }
        self.standing.unsettle();
        self.renewing = Some(epoch);
        Some(self.asked.iter().flat_map(|asked| &asked.frame[..]).copied().collect())
    }
}
