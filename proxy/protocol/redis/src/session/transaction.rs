//! What the session remembers between `MULTI` and `EXEC`.

use bytes::{Bytes, BytesMut};
use foretoken_protocol::{Batch, Blocks, Restore};
use foretoken_types::FaultKind;

use crate::classify::{Kind, classify};
use crate::reply;
use crate::wire::{ReplyScanner, RequestScanner, Scan};

/// Bytes of queued commands that are kept for a replay; a longer transaction can't be moved.
const REPLAY_BYTES: usize = 1024 * 1024;

/// Whether a command that was answered so has ended the transaction, if there was one.
///
/// An `EXEC` that is refused discards it all the same (`rejectCommand` in `server.c`). Of the general kind are only its refusals
/// where there is nothing to end; a `DISCARD` that is refused ends nothing.
pub(crate) fn ends_transaction(kind: Kind, reply: &[u8]) -> bool {
    match kind {
        Kind::Exec => !reply.starts_with(b"-ERR "),
        Kind::Discard => reply.first() != Some(&b'-'),
        _ => false,
    }
}

/// A transaction that has begun.
#[derive(Debug)]
pub(super) struct Transaction {
    /// `MULTI` and what was queued since.
    frames: BytesMut,
    requests: u32,
    /// How many of them the server refused to queue: they make its `EXEC` fail, there and after a replay.
    refused: usize,
    /// Too long, or holding something that another connection would not queue in the same way.
    fixed: bool,
    /// It holds something that loads scripts or forgets them.
    loads: bool,
    /// It holds something that changes its connection (`SELECT`, `AUTH`): that comes into force with its `EXEC`.
    sets: bool,
    /// After its `EXEC` the server speaks unasked, or in another version of the protocol.
    begins_a_relay: bool,
    /// What the queued commands touch, and so what its `EXEC` does.
    blocks: Blocks,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// Its watched keys lie on another primary: its `EXEC` finds them changed.
    WatchLost,
    /// A command was not queued: its `EXEC` is refused.
    Aborted(FaultKind),
}

impl Transaction {
    /// Begun by `multi`.
    pub(super) fn new(multi: &[u8]) -> Self {
        Self {
            frames: BytesMut::from(multi),
            requests: 1,
            refused: 0,
            fixed: false,
            loads: false,
            sets: false,
            begins_a_relay: false,
            blocks: Blocks::NONE,
            fate: Fate::Open,
        }
    }

    /// Begun after the watched keys were left behind: nothing of it reaches a server.
    pub(super) fn lost_watch() -> Self {
        Self { frames: BytesMut::new(), requests: 0, fixed: true, fate: Fate::WatchLost, ..Self::new(&[]) }
    }

    pub(super) fn lose_watch(&mut self) {
        if self.fate == Fate::Open {
            self.fate = Fate::WatchLost;
        }
    }

    pub(super) fn abort(&mut self, kind: FaultKind) {
        self.fate = Fate::Aborted(kind);
    }

    /// Whether nothing of it goes to a server any more.
    pub(super) fn is_lost(&self) -> bool {
        self.fate != Fate::Open
    }

    /// What its `EXEC` is answered when it is lost.
    pub(super) fn exec(&self, resp3: bool) -> Bytes {
        match self.fate {
            Fate::Aborted(kind) => reply::exec_aborted(kind),
            Fate::Open | Fate::WatchLost => reply::null_exec(resp3),
        }
    }

    pub(super) fn overflow(&mut self) {
        self.fixed = true;
        self.frames = BytesMut::new();
    }

    pub(super) fn sets(&self) -> bool {
        self.sets
    }

    pub(super) fn begins_a_relay(&self) -> bool {
        self.begins_a_relay
    }

    /// Tells of each request to load or forget scripts that succeeded, by the `reply` to its `EXEC`.
    pub(super) fn scripts(&self, reply: &[u8], mut tell: impl FnMut(&[u8])) {
        // `*2`, and then as many replies.
        let header = reply.iter().position(|byte| *byte == b'\n').map_or(reply.len(), |end| end + 1);
        let (mut requests, mut replies) = (&self.frames[..], &reply[header..]);
        let mut is_multi = true;
        while self.loads
            && let Some(request) = next(&mut requests, request_length)
        {
            // It was answered before.
            if std::mem::take(&mut is_multi) {
                continue;
            }
            let Some(reply) = next(&mut replies, reply_length) else { return };
            if !reply.starts_with(b"-") && classify(request).kind == Kind::Scripts {
                tell(request);
            }
        }
    }

    pub(super) fn blocks(&self) -> Blocks {
        self.blocks
    }

    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// A batch was sent inside of it.
    pub(super) fn queue(&mut self, batch: &Batch, kind: Kind, reply: &[u8]) {
        self.blocks |= batch.blocks;
        // Each line is a reply: what is queued has no longer ones.
        self.refused += reply.split_inclusive(|byte| *byte == b'\n').filter(|line| line[0] == b'-').count();
        let plain = matches!(kind, Kind::Plain | Kind::Blocking | Kind::Wait | Kind::Scripts);
        self.loads |= kind == Kind::Scripts;
        self.sets |= !plain && !matches!(kind, Kind::Multi | Kind::Watch | Kind::Unwatch);
        self.begins_a_relay |= matches!(kind, Kind::Relay(_) | Kind::Hello) && reply.first() == Some(&b'+');
        if self.fixed {
            return;
        }
        if !plain || self.frames.len() + batch.frames.len() > REPLAY_BYTES {
            self.overflow();
            return;
        }
        self.frames.extend_from_slice(&batch.frames);
        self.requests += batch.requests;
    }

    /// What another connection must be sent.
    pub(super) fn replay(&self) -> Restore {
        if self.fixed {
            return Restore::Pinned;
        }
        Restore::Replay { frames: Bytes::copy_from_slice(&self.frames), requests: self.requests }
    }
}

/// Takes what is that long off the front.
fn next<'a>(bytes: &mut &'a [u8], length: impl Fn(&[u8]) -> Option<usize>) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(length(bytes)?)?;
    *bytes = rest;
    Some(front)
}

fn request_length(bytes: &[u8]) -> Option<usize> {
    match RequestScanner::default().scan(bytes) {
        Ok(Scan::Complete(frame)) => Some(frame.len),
        _ => None,
    }
}

fn reply_length(bytes: &[u8]) -> Option<usize> {
    let progress = ReplyScanner::default().scan_frame(bytes).ok()?;
    (progress.complete > 0).then_some(progress.consumed)
}
