//! One client's session: requests to batches, and the state that another upstream needs to serve it.
//!
//! Requests that leave nothing behind on a connection travel together and may share one with anybody's. A transaction that
//! arrives whole does too. Everything else gets a connection of the session's own, and the session keeps what it takes to
//! replay: credentials, protocol version, database, names, and the commands queued since `MULTI`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use foretoken_protocol::{Batch, BlockMap, Blocks, Carriage, Refusal, Restore, Retirement, Session, Step};
use foretoken_types::{Access, Epoch, Fault, FaultKind, Resend};

use crate::classify::{Class, Kind, Reach, classify, keys, with_less_time};
use crate::relay::{Begun, RedisRelay};
use crate::reply;
use crate::scripts::Scripts;
use crate::wire::{FrameKind, RequestScanner, Scan, args, inline_to_multibulk, is_turned_away};

mod key;
#[cfg(test)]
mod tests;
mod transaction;

pub use key::SessionKey;
use key::may_have_set;
use transaction::Transaction;
pub(crate) use transaction::ends_transaction;

/// Most bytes of requests in one batch; a single longer one makes a batch of its own.
const BATCH_BYTES: usize = 256 * 1024;
/// Most requests in one batch.
const BATCH_REQUESTS: u32 = 4096;
/// A request that is longer is streamed instead of collected.
const LONG_BYTES: usize = 1024 * 1024;

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
    /// The session relays bytes; see [`Carriage::Relay`].
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

/// How a request travels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// With its neighbours.
    Run(Carriage),
    /// By itself.
    Alone(Carriage),
    /// Not at all: it is answered here.
    Here,
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

    fn lane(&self, kind: Kind, frame: &[u8]) -> Lane {
        if self.relaying {
            return Lane::Alone(Carriage::Relay);
        }
        if kind == Kind::Quit {
            return Lane::Here;
        }
        if self.transaction.as_deref().is_some_and(Transaction::is_lost) {
            return Lane::Here;
        }
        // What a server watches beside it would outlast a transaction that no server hears of.
        if self.dirty && (kind == Kind::Multi || kind == Kind::Watch && args(frame).total() > 1) {
            return Lane::Here;
        }
        match kind {
            Kind::Plain if self.is_pinned() => Lane::Run(Carriage::Dedicated),
            Kind::Plain => Lane::Run(Carriage::Shared),
            // Inside of a transaction it is queued like any other command.
            Kind::Blocking | Kind::Wait if self.transaction.is_some() => Lane::Run(Carriage::Dedicated),
            Kind::Blocking | Kind::Wait => Lane::Alone(Carriage::Blocking),
            Kind::Relay(_) if self.transaction.is_some() => Lane::Alone(Carriage::Dedicated),
            Kind::Exec if self.begins_a_relay() => Lane::Alone(Carriage::Relay),
            Kind::Relay(_) => Lane::Alone(Carriage::Relay),
            // Redis closes the connection too (`securityWarningCommand`): a browser that was made to post here must not get
            // the lines behind it executed.
            Kind::Foreign => Lane::Here,
            kind if kind.is_setup() && !self.is_pinned() => Lane::Alone(Carriage::Setup),
            _ => Lane::Alone(Carriage::Dedicated),
        }
    }

    /// Answers a request without a server.
    fn answer(&mut self, kind: Kind) -> Step {
        if kind == Kind::Quit {
            return Step::Answer { reply: reply::ok(), close: true };
        }
        if kind == Kind::Foreign {
            return Step::Answer { reply: Bytes::new(), close: true };
        }
        let reply = match (kind, &mut self.transaction) {
            (Kind::Multi, transaction @ None) => {
                *transaction = Some(Box::new(Transaction::lost_watch()));
                reply::ok()
            }
            (Kind::Watch, None) => reply::ok(),
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
                self.end_transaction();
                self.key = self.fresh.clone();
                reply::reset()
            }
            _ => reply::queued(),
        };
        Step::Answer { reply, close: false }
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

    fn end_transaction(&mut self) {
        self.transaction = None;
        self.watching = false;
        self.dirty = false;
    }

    /// What a request may change by itself: one that is queued changes nothing before its `EXEC`.
    fn access(&self, class: Class) -> Access {
        match class.kind {
            // What begins a relay is the end of its transaction.
            Kind::Plain | Kind::Blocking | Kind::Wait if self.transaction.is_some() && !self.relaying => {
                Access::Read
            }
            _ => class.access,
        }
    }

    /// Goes on with a request that is being streamed.
    fn piece(&mut self, input: &mut BytesMut) -> Step {
        match self.scanner.scan(input) {
            Ok(Scan::Incomplete { scanned: 0 }) => Step::Starved,
            Ok(Scan::Incomplete { scanned }) => {
                self.scanner.removed(scanned);
                Step::Piece { bytes: input.split_to(scanned).freeze(), last: false }
            }
            Ok(Scan::Complete(frame)) => {
                self.long = false;
                Step::Piece { bytes: input.split_to(frame.len).freeze(), last: true }
            }
            Err(malformed) => Step::Answer { reply: malformed.reply(), close: true },
        }
    }

    /// Begins to stream a request of which `scanned` bytes are there.
    fn begin_long(&mut self, input: &mut BytesMut, scanned: usize) -> Step {
        let class = classify(&input[..scanned]);
        let blocks = self.touched(&input[..scanned]);
        self.scanner.removed(scanned);
        self.long = true;
        let frames = input.split_to(scanned).freeze();
        if let Some(transaction) = &mut self.transaction {
            transaction.overflow();
        }
        let carriage = match class.kind {
            _ if self.relaying => Carriage::Relay,
            Kind::Relay(_) if self.transaction.is_none() => Carriage::Relay,
            _ => Carriage::Dedicated,
        };
        self.relaying |= carriage == Carriage::Relay;
        self.sent = Sent::One(match class.kind {
            Kind::Plain | Kind::Relay(_) => class.kind,
            // Others of this length don't occur; should one, the state that it leaves is not understood.
            _ => Kind::Sticky,
        });
        let (access, any_server) = (class.access, class.any_server);
        Step::Long(Batch { frames, requests: 1, access, carriage, blocks, any_server, quiet: false })
    }

    /// A request that travels alone.
    fn alone(&mut self, frames: Bytes, class: Class, carriage: Carriage) -> Step {
        if !class.known {
            log_unknown(&frames);
        }
        self.relaying |= carriage == Carriage::Relay;
        self.sent = Sent::One(class.kind);
        if class.kind == Kind::Wait {
            self.primed = false;
        }
        let blocks = match (&self.transaction, class.kind) {
            (Some(transaction), Kind::Exec) => transaction.blocks(),
            _ => self.touched(&frames),
        };
        let (access, any_server) = (self.access(class), class.any_server);
        Step::Batch(Batch { frames, requests: 1, access, carriage, blocks, any_server, quiet: false })
    }

    /// `WAIT` is about what its own connection has sent. The session's writes went over others, so the connection executes
    /// something harmless first: that sets its offset to the store's present one, which covers all of them
    /// (`processCommand` in `server.c` sets `woff` after each command).
    fn prime(&mut self) -> Step {
        self.primed = true;
        self.sent = Sent::One(Kind::Plain);
        let frames = Bytes::from_static(PING);
        Step::Batch(Batch {
            frames,
            requests: 1,
            access: Access::Read,
            carriage: Carriage::Dedicated,
            blocks: Blocks::NONE,
            any_server: false,
            quiet: true,
        })
    }

    /// Whether a whole transaction of plain commands stands at the front of `input`, behind its `MULTI` of `multi` bytes:
    /// then it leaves nothing behind. Gives its length, the number of its requests and what they touch.
    fn whole_transaction(&self, input: &[u8], multi: usize) -> Option<(usize, u32, Blocks)> {
        let mut scanner = RequestScanner::default();
        let (mut at, mut requests, mut blocks) = (multi, 1, Blocks::NONE);
        while at <= BATCH_BYTES && requests < BATCH_REQUESTS {
            let rest = input.get(at..)?;
            let Ok(Scan::Complete(frame)) = scanner.scan(rest) else { return None };
            let FrameKind::Multibulk { args } = frame.kind else { return None };
            let bytes = &rest[..frame.len];
            at += frame.len;
            requests += 1;
            match classify(bytes).kind {
                Kind::Plain => blocks |= self.touched(bytes),
                // With an argument too many it ends nothing.
                Kind::Exec | Kind::Discard if args == 1 => return Some((at, requests, blocks)),
                _ => return None,
            }
        }
        None
    }
}

impl Session for RedisSession {
    type Key = SessionKey;

    fn step(&mut self, input: &mut BytesMut) -> Step {
        if self.long {
            return self.piece(input);
        }
        let mut run = Batch {
            frames: Bytes::new(),
            requests: 0,
            access: Access::Read,
            carriage: Carriage::Shared,
            blocks: Blocks::NONE,
            any_server: true,
            quiet: false,
        };
        let mut at = 0;
        while at < BATCH_BYTES && run.requests < BATCH_REQUESTS {
            let rest = &input[at..];
            let frame = match self.scanner.scan(rest) {
                Ok(Scan::Complete(frame)) => frame,
                Ok(Scan::Incomplete { scanned }) => {
                    if run.requests == 0 && scanned > 0 && input.len() > LONG_BYTES {
                        return self.begin_long(input, scanned);
                    }
                    break;
                }
                Err(_) if run.requests > 0 => {
                    // First what came before it; the scanner begins anew and finds it again.
                    self.scanner = RequestScanner::default();
                    break;
                }
                Err(malformed) => return Step::Answer { reply: malformed.reply(), close: true },
            };
            let bytes = &rest[..frame.len];
            if !matches!(frame.kind, FrameKind::Multibulk { .. }) {
                if run.requests > 0 {
                    break;
                }
                if frame.kind == FrameKind::Empty {
                    input.advance(frame.len);
                    continue;
                }
                // One form for everything behind this place; the reply is the same.
                let line = input.split_to(frame.len);
                let whole = match inline_to_multibulk(&line) {
                    Ok(whole) => whole,
                    Err(malformed) => return Step::Answer { reply: malformed.reply(), close: true },
                };
                let class = classify(&whole);
                return match self.lane(class.kind, &whole) {
                    Lane::Here => self.answer(class.kind),
                    Lane::Run(carriage) | Lane::Alone(carriage) => self.alone(whole, class, carriage),
                };
            }
            let class = classify(bytes);
            let lane = self.lane(class.kind, bytes);
            match lane {
                Lane::Run(carriage) if run.requests == 0 || run.carriage == carriage => {
                    run.carriage = carriage;
                    run.requests += 1;
                    if self.access(class) == Access::Write {
                        run.access = Access::Write;
                    }
                    run.any_server &= class.any_server;
                    run.blocks |= self.touched(bytes);
                    at += frame.len;
                    continue;
                }
                _ => {}
            }
            if class.kind == Kind::Multi
                && !self.is_pinned()
                && !self.relaying
                && !self.dirty
                && run.carriage == Carriage::Shared
                && let Some((len, requests, blocks)) = self.whole_transaction(rest, frame.len)
            {
                run.requests += requests;
                run.blocks |= blocks;
                run.access = Access::Write;
                at += len;
                continue;
            }
            if run.requests > 0 {
                break;
            }
            if class.kind == Kind::Wait && !self.primed && self.transaction.is_none() && !self.relaying {
                let Some(why) = self.unprimed.take() else { return self.prime() };
                input.advance(frame.len);
                return Step::Answer { reply: reply::not_executed(why), close: false };
            }
            let frames = input.split_to(frame.len).freeze();
            return match lane {
                Lane::Here => self.answer(class.kind),
                Lane::Run(carriage) | Lane::Alone(carriage) => self.alone(frames, class, carriage),
            };
        }
        if run.requests == 0 {
            return Step::Starved;
        }
        run.frames = input.split_to(at).freeze();
        self.sent = Sent::Run;
        Step::Batch(run)
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
                self.end_transaction();
                (self.pinned, self.identified) = (false, false);
                self.key = self.fresh.clone();
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
                // One that begins here is lost from its beginning.
                (self.sent == Sent::One(Kind::Multi)).then(|| {
                    self.transaction = Some(Box::new(Transaction::lost_watch()));
                    reply::ok()
                })
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
                    if let Step::Answer { reply, .. } = self.answer(kind) {
                        words.extend_from_slice(&reply);
                    }
                }
                Some(words.freeze())
            }
        }
    }

    fn with_less_time(&self, batch: &Batch, waited: Duration) -> Option<Bytes> {
        with_less_time(&batch.frames, waited)
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

/// A line for each unknown command, once per thread and name, within a bound.
fn log_unknown(frame: &[u8]) {
    const NAMES_MOST: usize = 256;
    thread_local! {
        static SEEN: std::cell::RefCell<std::collections::HashSet<Rc<str>>> = std::cell::RefCell::default();
    }
    let Some(name) = args(frame).next() else { return };
    let name: String =
        name.iter().take(32).map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect();
    SEEN.with_borrow_mut(|seen| {
        if seen.len() < NAMES_MOST && seen.insert(name.to_ascii_uppercase().into()) {
            tracing::info!(command = %name, "unknown command: treated as a write on a connection of its own");
        }
    });
}
