//! From bytes to batches: which requests travel together, and over which kind of connection.
//!
//! Requests that leave nothing behind on a connection travel together and may share one with anybody's. A transaction that
//! arrives whole does too. Everything else gets a connection of the session's own.

use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use foretoken_protocol::{Batch, Blocks, Carriage, Session as _, Step};
use foretoken_types::Access;

use super::{PING, RedisSession, Sent};
use crate::classify::{Class, Kind, classify};
use crate::reply;
use crate::wire::{FrameKind, RequestScanner, Scan, args, inline_to_multibulk};

/// Most bytes of requests in one batch; a single longer one makes a batch of its own.
const BATCH_BYTES: usize = 256 * 1024;
/// Most requests in one batch.
const BATCH_REQUESTS: u32 = 4096;
/// A request that is longer is streamed instead of collected.
pub(super) const LONG_BYTES: usize = 1024 * 1024;

/// How a request travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// With its neighbours.
    Run(Carriage),
    /// By itself.
    Alone(Carriage),
    /// Not at all: it is answered here.
    Here,
}

impl RedisSession {
    /// The next step off the front of `input`; see [`foretoken_protocol::Session::step`].
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Step {
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
                    Lane::Here => self.answer_here(class.kind),
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
                Lane::Here => self.answer_here(class.kind),
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

    pub(super) fn lane(&self, kind: Kind, frame: &[u8]) -> Lane {
        if self.relaying {
            return Lane::Alone(Carriage::Relay);
        }
        if kind == Kind::Quit {
            return Lane::Here;
        }
        // What is reset is the connection, too, if there is one.
        if kind != Kind::Reset && self.is_lost() {
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
    fn answer_here(&mut self, kind: Kind) -> Step {
        Step::Answer { reply: self.answer(kind), close: matches!(kind, Kind::Quit | Kind::Foreign) }
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
