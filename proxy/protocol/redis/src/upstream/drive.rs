//! The task of a connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use foretoken_protocol::{LET_GO_GRACE, Reply, chunks};
use foretoken_transport::Stream;
use foretoken_types::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{COLLECT_BYTES, Connection, PIPE_BYTES, RETIRED_MOST, STALL_MOST, Slot, State, sleep_until};
use crate::reply::not_executed;
use crate::wire::{ReplyScanner, error_class, is_turned_away};

/// One read.
const READ_BYTES: usize = 32 * 1024;
/// Reads and writes in one go before other tasks get a turn.
const TURNS: usize = 8;

/// Bytes that were read.
#[derive(Default)]
struct Incoming {
    buffer: BytesMut,
    /// How many bytes at its front have been scanned: the beginning of the first slot's reply.
    scanned: usize,
    scanner: ReplyScanner,
    /// Something came before anything was asked: it waits for the first request.
    early: bool,
    /// Since when the first slot's client takes nothing.
    stalled: Option<Instant>,
}

/// What the socket is good for after a turn.
enum Turn {
    Idle,
    Progress,
    Gone(FaultKind),
    Done,
    /// The socket belongs to another from here on.
    Left,
}

/// Why the task ends.
enum End {
    Lost(FaultKind),
    Left,
}

pub(super) async fn drive(connection: Rc<Connection>, mut stream: Stream) {
    let mut incoming = Incoming::default();
    let mut retired: Option<Instant> = None;
    loop {
        if connection.state.get() == State::Retired && retired.is_none() {
            retired = Some(Instant::now());
        }
        let deadline = deadline(&connection, &incoming, retired);
        let work = poll_fn(|cx| {
            match &mut *connection.task.borrow_mut() {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            for _ in 0..TURNS {
                match turn(&connection, &mut stream, &mut incoming, cx) {
                    Turn::Progress => {}
                    Turn::Idle if connection.state.get() == State::Retired && retired.is_none() => {
                        // The deadlines have changed.
                        return Poll::Ready(None);
                    }
                    Turn::Idle if incoming.stalled.is_some() != deadline.is_some() && retired.is_none() => {
                        return Poll::Ready(None);
                    }
                    Turn::Idle => return Poll::Pending,
                    Turn::Gone(kind) => return Poll::Ready(Some(End::Lost(kind))),
                    Turn::Done => return Poll::Ready(Some(End::Lost(FaultKind::Reset))),
                    Turn::Left => return Poll::Ready(Some(End::Left)),
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let mut timer = pin!(sleep_until(deadline));
        let mut work = pin!(work);
        let ended = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match ended {
            Some(End::Lost(kind)) => return connection.lose(kind),
            Some(End::Left) => return connection.hand_over(stream),
            None => {}
        }
        if expire(&connection, &mut incoming, retired) {
            connection.lose(FaultKind::EpochMoved);
            return;
        }
    }
}

/// When something has to happen without the socket.
fn deadline(connection: &Connection, incoming: &Incoming, retired: Option<Instant>) -> Option<Instant> {
    match (retired, connection.grace_until.get()) {
        (Some(_), Some(grace)) => Some(grace),
        (Some(retired), None) => Some(retired + RETIRED_MOST),
        (None, _) => incoming.stalled.map(|since| since + STALL_MOST),
    }
}

/// Does what a deadline asks for. `true`: the connection has been read for long enough.
fn expire(connection: &Connection, incoming: &mut Incoming, retired: Option<Instant>) -> bool {
    let now = Instant::now();
    if let Some(retired) = retired {
        if connection.grace_until.get().is_some_and(|grace| grace <= now) {
            connection.grace_until.set(None);
            for slot in connection.slots.borrow_mut().iter_mut() {
                slot.fail(Fault::unknown(FaultKind::EpochMoved), &*connection.meter);
            }
        }
        return now >= retired + RETIRED_MOST - LET_GO_GRACE;
    }
    if incoming.stalled.is_some_and(|since| now >= since + STALL_MOST) {
        incoming.stalled = None;
        if let Some(slot) = connection.slots.borrow_mut().front_mut() {
            // This client is cut so that the others go on; the rest of its reply is read and dropped.
            slot.fail(Fault::unknown(FaultKind::Reset), &*connection.meter);
        }
    }
    false
}

fn turn(connection: &Connection, stream: &mut Stream, incoming: &mut Incoming, cx: &mut Context<'_>) -> Turn {
    let mut progress = false;
    {
        let mut out = connection.out.borrow_mut();
        let flush = !out.is_empty();
        while !out.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &out) {
                Poll::Ready(Ok(0) | Err(_)) => return Turn::Gone(FaultKind::Reset),
                Poll::Ready(Ok(written)) => {
                    out.advance(written);
                    connection.written.set(connection.written.get() + written as u64);
                    progress = true;
                }
                Poll::Pending => break,
            }
        }
        if flush {
            if out.capacity() > 1024 * 1024 && out.is_empty() {
                *out = BytesMut::new();
            }
            connection.room.notify_waiters();
        }
        if stream.is_tls()
            && let Poll::Ready(Err(_)) = Pin::new(&mut *stream).poll_flush(cx)
        {
            return Turn::Gone(FaultKind::Reset);
        }
    }
    // A client that left a blocked pop behind must not receive an element any more.
    let only_blocked = connection.slots.borrow().iter().all(|slot| slot.blocking);
    if connection.state.get() == State::Closing && only_blocked && connection.out.borrow().is_empty() {
        return Turn::Done;
    }
    if !incoming.has_room(connection, cx) || (incoming.early && connection.is_untouched()) {
        return if progress { Turn::Progress } else { Turn::Idle };
    }
    if std::mem::take(&mut incoming.early) {
        return match incoming.split(connection) {
            Ok(()) => Turn::Progress,
            Err(kind) => Turn::Gone(kind),
        };
    }
    let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
    let mut buf = ReadBuf::uninit(&mut space);
    match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
        // Only now is it known that the server has neither said more nor gone.
        Poll::Pending if connection.may_leave() && !incoming.scanner.mid_reply() => return Turn::Left,
        Poll::Pending => return if progress { Turn::Progress } else { Turn::Idle },
        Poll::Ready(Err(_)) => return Turn::Gone(FaultKind::Reset),
        Poll::Ready(Ok(())) if buf.filled().is_empty() => return Turn::Gone(FaultKind::Reset),
        Poll::Ready(Ok(())) => incoming.buffer.extend_from_slice(buf.filled()),
    }
    if connection.is_untouched() {
        // What a server says on its own on a new connection, as one that has no more of them, answers the first request.
        incoming.early = true;
        return Turn::Progress;
    }
    match incoming.split(connection) {
        Ok(()) => Turn::Progress,
        Err(kind) => Turn::Gone(kind),
    }
}

impl Incoming {
    /// Whether the client whose long reply is on its way takes more of it.
    fn has_room(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let slots = connection.slots.borrow();
        let room = match slots.front().and_then(|slot| slot.pipe.as_ref()) {
            Some(pipe) => pipe.poll_room(cx).is_ready(),
            None => true,
        };
        if room {
            self.stalled = None;
        } else if connection.shared.get() && slots.len() > 1 && self.stalled.is_none() {
            // With nobody behind it a client may be as slow as with a server of its own.
            self.stalled = Some(Instant::now());
        }
        room
    }

    /// Gives what was read to the slots that it belongs to.
    fn split(&mut self, connection: &Connection) -> Result<(), FaultKind> {
        let mut slots = connection.slots.borrow_mut();
        // What one read brought came at one moment.
        let came = connection.meter.now();
        while self.scanned < self.buffer.len() {
            let fresh = &self.buffer[self.scanned..];
            let Some(slot) = slots.front_mut() else {
                let pushes = self.scanner.scan(fresh, 0, |_| {}).map_err(|_| FaultKind::Malformed)?;
                if pushes.consumed == 0 {
                    // A reply to nothing: this connection can't be trusted to match replies any more.
                    return Err(FaultKind::Malformed);
                }
                self.buffer.advance(self.scanned + pushes.consumed);
                self.scanned = 0;
                continue;
            };
            slot.first_byte.get_or_insert(came);
            let turned_away = &mut slot.turned_away;
            let progress = self
                .scanner
                .scan(fresh, slot.left, |line| {
                    connection.meter.error(error_class(line));
                    *turned_away += u32::from(is_turned_away(line));
                })
                .map_err(|_| FaultKind::Malformed)?;
            self.scanned += progress.consumed;
            slot.left -= progress.complete;
            if slot.waiting.is_none() && slot.pipe.is_none() {
                // Nobody waits any more: the epoch has moved, or the client was cut.
                if connection.state.get() == State::Retired {
                    connection.meter.late(progress.complete);
                }
                self.buffer.advance(self.scanned);
                self.scanned = 0;
                if slot.left == 0 {
                    slots.pop_front();
                    connection.streaming.set(false);
                }
            } else if slot.left == 0 {
                let reply = self.buffer.split_to(self.scanned).freeze();
                self.scanned = 0;
                if let Some(slot) = slots.pop_front() {
                    connection.finish(slot, reply);
                }
            } else if self.scanned >= COLLECT_BYTES {
                let piece = self.buffer.split_to(self.scanned).freeze();
                self.scanned = 0;
                connection.stream(slot, piece);
            }
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * READ_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }
}

impl Connection {
    /// Whether nothing was ever asked, and may still be.
    fn is_untouched(&self) -> bool {
        self.state.get() == State::Open && self.written.get() == 0 && self.slots.borrow().is_empty()
    }

    /// Whether somebody waits for the socket, and everything that was submitted is sent and answered.
    fn may_leave(&self) -> bool {
        let idle = self.slots.borrow().is_empty() && self.out.borrow().is_empty();
        self.state.get() == State::Leaving && idle
    }

    /// The last byte of a slot's reply is here.
    fn finish(&self, mut slot: Slot, reply: Bytes) {
        if let Some(pipe) = slot.pipe.take() {
            self.streaming.set(false);
            pipe.send(reply);
            pipe.end(Ok(()));
            return;
        }
        let Some(waiting) = slot.waiting.take() else { return };
        self.meter.settled(slot.requests, slot.sent);
        self.meter.answered(slot.requests, slot.first_byte.unwrap_or(slot.sent).since(slot.sent));
        waiting.deliver(match slot.turned_away {
            0 => Ok(Reply::whole(reply)),
            all if all == slot.requests => Err(Fault::safe(FaultKind::NotServing)),
            // Others of the same batch were executed: it can't go again as a whole.
            _ => Ok(Reply::whole(in_our_words(&reply))),
        });
    }

    /// A part of a long reply.
    fn stream(&self, slot: &mut Slot, piece: Bytes) {
        if let Some(pipe) = &slot.pipe {
            pipe.send(piece);
            return;
        }
        let Some(waiting) = slot.waiting.take() else { return };
        let (pipe, rest) = chunks(PIPE_BYTES);
        slot.pipe = Some(pipe);
        self.streaming.set(true);
        self.meter.settled(slot.requests, slot.sent);
        self.meter.answered(slot.requests, slot.first_byte.unwrap_or(slot.sent).since(slot.sent));
        waiting.deliver(Ok(Reply { first: piece, rest: Some(rest) }));
    }
}

/// `replies` with our refusal in the place of each that turned its request away: that a server has another role now is no
/// news for who talks to us.
fn in_our_words(replies: &Bytes) -> Bytes {
    let mut told = BytesMut::with_capacity(replies.len());
    let mut rest = &replies[..];
    while !rest.is_empty() {
        let length = ReplyScanner::default().scan_frame(rest).map_or(0, |progress| progress.consumed);
        // They were scanned before, so that this does not happen; if it did, the server's own words are still true.
        if length == 0 {
            return replies.clone();
        }
        let (frame, behind) = rest.split_at(length);
        match frame.split_first() {
            Some((b'-', line)) if is_turned_away(line) => {
                told.extend_from_slice(&not_executed(FaultKind::NotServing));
            }
            _ => told.extend_from_slice(frame),
        }
        rest = behind;
    }
    told.freeze()
}

#[cfg(test)]
mod tests;
