//! One client's session: the state that another upstream needs to serve it.
//!
//! It keeps what it takes to replay: credentials, protocol version, database, names, and the commands queued since `MULTI`.
//! How its requests become batches is in `batching.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use foretoken_protocol::{Batch, BlockMap, Blocks, Refusal, Restore, Retirement, Session, Step};
use foretoken_types::{Access, Epoch, Fault, FaultKind, Resend};

use crate::classify::{Kind, Reach, classify, keys, with_less_time};
use crate::relay::{Begun, RedisRelay};
use crate::reply;
use crate::scripts::Scripts;
use crate::wire::{RequestScanner, Scan, args, is_turned_away};

mod batching;
mod key;
#[cfg(test)]
mod tests;
mod transaction;

use batching::Lane;
pub use key::SessionKey;
use key::may_have_set;
use transaction::Transaction;
pub(crate) use transaction::ends_transaction;

/// Something harmless.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// What was sent last over the session's own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    One(Kind),
    Run,
}

/// Codec and state of one client.
#[derive(Debug)]
pub struct RedisSession {
    scanner: RequestScanner,
    /// A long request is being streamed.
    long: bool,
    /// The session relays bytes; see [`foretoken_protocol::Carriage::Relay`].
    relaying: bool,
    key: SessionKey,
    /// The key of a new session.
    fresh: SessionKey,
    /// Its own connection holds state that can't be moved to another one.
    pinned: bool,
    /// The client has been told which connection it has, and may have told others.
    identified: bool,
    watching: bool,
    /// Watched keys lie on a primary that the session has left: the next transaction must fail.
    dirty: bool,
    /// Boxed, because most clients are idle and have none.
    transaction: Option<Box<Transaction>>,
    /// A `WAIT` that stands at the front of the input has been prepared.
    primed: bool,
    /// It could not be prepared, and is not executed for the same reason.
    unprimed: Option<FaultKind>,
    sent: Sent,
    /// `None`: the store has no named blocks, and nobody looks at keys.
    blocks: Option<Arc<BlockMap>>,
    scripts: Arc<Scripts>,
}

impl Default for RedisSession {
    /// In a store without named blocks, with nothing to tell to others.
    fn default() -> Self {
        Self::new(SessionKey::default(), None, Arc::default())
    }
}

impl RedisSession {
    /// A new client that is served as `fresh` until it says who it is, in a store with these blocks and scripts.
    #[must_use]
    pub fn new(fresh: SessionKey, blocks: Option<Arc<BlockMap>>, scripts: Arc<Scripts>) -> Self {
        Self {
            scanner: RequestScanner::default(),
            long: false,
            relaying: false,
            key: fresh.clone(),
            fresh,
            pinned: false,
            identified: false,
            watching: false,
            dirty: false,
            transaction: None,
            primed: false,
            unprimed: None,
            sent: Sent::Nothing,
            blocks,
            scripts,
        }
    }

    /// The blocks that a request, or the beginning of one, touches.
    #[inline]
    fn touched(&self, frame: &[u8]) -> Blocks {
        let Some(map) = &self.blocks else { return Blocks::NONE };
        let mut blocks = Blocks::NONE;
        match keys(frame, |key| blocks |= map.block_of(key)) {
            Reach::Any => Blocks::ALL,
            Reach::Told if blocks == Blocks::NONE => Blocks::REST,
            Reach::Told => blocks,
        }
    }

    /// What a request is answered without a server.
    fn answer(&mut self, kind: Kind) -> Bytes {
        match (kind, &mut self.transaction) {
            (Kind::Quit, _) | (Kind::Watch, None) => reply::ok(),
            (Kind::Foreign, _) => Bytes::new(),
            (Kind::Multi, transaction @ None) => {
                *transaction = Some(Box::new(Transaction::lost_watch()));
                reply::ok()
            }
            (Kind::Exec, Some(transaction)) => {
                let reply = transaction.exec(self.key.is_resp3());
                self.end_transaction();
                reply
            }
            (Kind::Discard, Some(_)) => {
                self.end_transaction();
                reply::ok()
            }
            (Kind::Reset, Some(_)) => {
                self.reset();
                reply::reset()
            }
            _ => reply::queued(),
        }
    }

    /// Whether the server speaks otherwise once the open transaction is executed.
    fn begins_a_relay(&self) -> bool {
        self.transaction.as_deref().is_some_and(Transaction::begins_a_relay)
    }

    /// Goes on as a relay, over the connection that the session has.
    pub(crate) fn relay(&self) -> Option<RedisRelay> {
        let begun = Begun { matched: !self.begins_a_relay(), fixed: self.pinned, watched: self.watching };
        (!self.dirty).then(|| RedisRelay::new(self.key.is_resp3(), begun, Arc::clone(&self.scripts)))
    }

    /// Whether it can't be served over another connection.
    fn is_fixed(&self) -> bool {
        self.pinned || self.identified
    }

    fn reset(&mut self) {
        self.end_transaction();
        (self.pinned, self.identified) = (false, false);
        self.key = self.fresh.clone();
    }

    /// Whether nothing of the open transaction goes to a server any more.
    fn is_lost(&self) -> bool {
        self.transaction.as_deref().is_some_and(Transaction::is_lost)
    }

    fn end_transaction(&mut self) {
        self.transaction = None;
        self.watching = false;
        self.dirty = false;
    }
}

impl Session for RedisSession {
    type Key = SessionKey;

    fn step(&mut self, input: &mut BytesMut) -> Step {
        self.next(input)
    }

    fn key(&self) -> &SessionKey {
        &self.key
    }

    fn replied(&mut self, batch: &Batch, reply: &[u8]) -> Retirement {
        let succeeded = reply.first() != Some(&b'-');
        let kind = match self.sent {
            Sent::One(kind) => kind,
            Sent::Run | Sent::Nothing => Kind::Plain,
        };
        match kind {
            Kind::Multi if succeeded && self.transaction.is_none() => {
                self.transaction = Some(Box::new(Transaction::new(&batch.frames)));
            }
            kind if ends_transaction(kind, reply) => {
                // What was set in it is known to its connection only.
                let executed = self.transaction.as_deref().filter(|_| kind == Kind::Exec && succeeded);
                self.pinned |= executed.is_some_and(Transaction::sets);
                if let Some(transaction) = executed {
                    transaction.scripts(reply, |frame| self.scripts.executed(frame));
                }
                self.end_transaction();
            }
            Kind::Reset if succeeded => {
                self.reset();
                // It is the server's default user's now, which a new session need not be.
                let as_new = self.key == SessionKey::default();
                return if as_new { Retirement::Surplus } else { Retirement::Spent };
            }
            _ if self.transaction.is_some() => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.queue(batch, kind, reply);
                }
            }
            kind if kind.is_setup() => {
                if succeeded {
                    self.key.apply(kind, args(&batch.frames));
                } else if kind == Kind::Hello && may_have_set(&batch.frames, reply) {
                    // The connection may be another user's than the key says, or have another name: nobody else may have it.
                    self.pinned = true;
                }
                if !self.is_pinned() {
                    return Retirement::Surplus;
                }
            }
            Kind::Scripts if succeeded => self.scripts.executed(&batch.frames),
            Kind::Watch => self.watching |= succeeded,
            Kind::Unwatch if succeeded => {
                self.watching = false;
                self.dirty = false;
            }
            Kind::Identity => self.identified = true,
            // Drivers try commands that not every server knows: one that it doesn't know leaves nothing.
            Kind::Sticky if reply::is_of_no_command(reply) => {}
            Kind::Sticky | Kind::Relay(_) => self.pinned = true,
            _ => {}
        }
        let is_told = succeeded && (matches!(kind, Kind::Discard | Kind::Unwatch) || kind.is_setup());
        if is_told || self.transaction.is_some() {
            Retirement::Told
        } else if self.is_pinned() {
            Retirement::Keep
        } else {
            Retirement::Spare
        }
    }

    fn is_pinned(&self) -> bool {
        self.is_fixed() || self.watching || self.transaction.is_some() || self.primed
    }

    fn restore(&self) -> Restore {
        if self.is_fixed() {
            return Restore::Pinned;
        }
        match &self.transaction {
            // It was prepared on the connection that is lost.
            None if self.sent == Sent::One(Kind::Wait) => {
                Restore::Replay { frames: Bytes::from_static(PING), requests: 1 }
            }
            None => Restore::Replay { frames: Bytes::new(), requests: 0 },
            Some(transaction) if transaction.is_lost() => {
                Restore::Replay { frames: Bytes::new(), requests: 0 }
            }
            Some(transaction) => transaction.replay(),
        }
    }

    fn moved(&mut self, batch: &Batch) -> Option<Bytes> {
        if !self.watching {
            return None;
        }
        self.watching = false;
        match &mut self.transaction {
            None => {
                self.dirty = true;
                // As if the move had been known before it came.
                let Sent::One(kind) = self.sent else { return None };
                (self.lane(kind, &batch.frames) == Lane::Here).then(|| self.answer(kind))
            }
            Some(transaction) => {
                transaction.lose_watch();
                let mut words = BytesMut::new();
                let mut input = BytesMut::from(&batch.frames[..]);
                for _ in 0..batch.requests {
                    let mut scanner = RequestScanner::default();
                    let Ok(Scan::Complete(frame)) = scanner.scan(&input) else { break };
                    let kind = classify(&input[..frame.len]).kind;
                    input.advance(frame.len);
                    words.extend_from_slice(&self.answer(kind));
                }
                Some(words.freeze())
            }
        }
    }

    fn with_less_time(&self, batch: &Batch, waited: Duration) -> Option<Bytes> {
        with_less_time(&batch.frames, waited)
    }

    fn waited_in_vain(&self, batch: &Batch, reply: &[u8]) -> bool {
        // Who waits without end is told so by `CLIENT UNBLOCK`, and would wait without end again.
        reply::is_null(reply) && with_less_time(&batch.frames, Duration::ZERO).is_some()
    }

    fn restored(&self, reply: &[u8]) -> Result<(), FaultKind> {
        // `+OK` for MULTI, and for each command in it `+QUEUED`, or an error where it was refused before.
        let mut refused = 0;
        for line in reply.split_inclusive(|byte| *byte == b'\n') {
            match line {
                [b'+', ..] => {}
                [b'-', text @ ..] if is_turned_away(text) => return Err(FaultKind::NotServing),
                _ => refused += 1,
            }
        }
        let before = self.transaction.as_deref().map_or(0, Transaction::refused);
        if refused == before { Ok(()) } else { Err(FaultKind::Pinned) }
    }

    fn turned_away(&self, reply: &[u8]) -> bool {
        let ends = matches!(self.sent, Sent::One(Kind::Exec | Kind::Discard | Kind::Reset));
        let mut lines = reply.split(|byte| *byte == b'\n');
        self.transaction.is_some()
            && !ends
            && lines.any(|line| line.first() == Some(&b'-') && is_turned_away(&line[1..]))
    }

    fn apart(&self, batch: &Batch) -> Vec<Batch> {
        let mut pieces: Vec<Batch> = Vec::new();
        let nothing =
            Batch { frames: Bytes::new(), requests: 0, access: Access::Read, blocks: Blocks::NONE, ..*batch };
        // A request, or a transaction that came whole and stays whole.
        let (mut unit, mut in_transaction) = (nothing.clone(), false);
        let (mut begin, mut at) = (0, 0);
        for _ in 0..batch.requests {
            let rest = &batch.frames[at..];
            let Ok(Scan::Complete(frame)) = RequestScanner::default().scan(rest) else { return Vec::new() };
            let bytes = &rest[..frame.len];
            let class = classify(bytes);
            let whole = in_transaction || class.kind == Kind::Multi;
            in_transaction = whole && !matches!(class.kind, Kind::Exec | Kind::Discard);
            at += frame.len;
            unit.requests += 1;
            if whole || class.access == Access::Write {
                unit.access = Access::Write;
            }
            if class.kind == Kind::Plain {
                unit.blocks |= self.touched(bytes);
            }
            if in_transaction {
                continue;
            }
            match pieces.last_mut() {
                Some(piece) if (piece.access, piece.blocks) == (unit.access, unit.blocks) => {
                    piece.requests += unit.requests;
                    piece.frames = batch.frames.slice(begin - piece.frames.len()..at);
                }
                _ => pieces.push(Batch { frames: batch.frames.slice(begin..at), ..unit }),
            }
            (unit, begin) = (nothing.clone(), at);
        }
        if pieces.len() > 1 { pieces } else { Vec::new() }
    }

    fn refuse(&mut self, batch: &Batch, fault: Fault, epoch: Epoch) -> Refusal {
        let queued = self.transaction.is_some();
        let mut refusal = Refusal { words: None, in_doubt: 0, not_executed: 0 };
        let mut words = BytesMut::new();
        let mut rest = &batch.frames[..];
        let mut in_transaction = false;
        for _ in 0..batch.requests {
            let class = match RequestScanner::default().scan(rest) {
                Ok(Scan::Complete(frame)) => {
                    let class = classify(&rest[..frame.len]);
                    rest = &rest[frame.len..];
                    class
                }
                // The beginning of a long request.
                _ => classify(rest),
            };
            // Of a transaction only its EXEC does anything.
            let idle = (queued || in_transaction) && class.kind != Kind::Exec;
            in_transaction = (in_transaction || class.kind == Kind::Multi)
                && !matches!(class.kind, Kind::Exec | Kind::Discard);
            let unknown = fault.resend == Resend::Unknown && class.access == Access::Write && !idle;
            if unknown {
                refusal.in_doubt += 1;
                words.extend_from_slice(&reply::in_doubt(epoch));
            } else {
                refusal.not_executed += 1;
                let exec = class.kind == Kind::Exec && (queued || in_transaction);
                let reply =
                    if exec { reply::exec_aborted(fault.kind) } else { reply::not_executed(fault.kind) };
                words.extend_from_slice(&reply);
            }
            if queued && matches!(class.kind, Kind::Exec | Kind::Discard) {
                self.end_transaction();
            }
        }
        if let Some(transaction) = &mut self.transaction {
            // The client hears that a command was not queued: its EXEC must fail.
            transaction.abort(fault.kind);
        }
        self.primed = false;
        if batch.quiet {
            self.unprimed = Some(fault.kind);
        }
        let ended = matches!(fault.kind, FaultKind::Pinned | FaultKind::Malformed)
            || self.is_fixed()
            || self.watching;
        refusal.words = (!ended).then(|| words.freeze());
        refusal
    }
}
