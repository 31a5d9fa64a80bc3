//! One connection to one server: batches go out in one contiguous buffer, replies come back in order.
//!
//! A task of its own drives the socket. Whoever sends a batch appends to the write buffer and queues a slot; the task
//! writes all that has come together in one call, and splits what it reads into the slots' replies without copying.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_protocol::{Batch, Carriage, ChunkSender, LET_GO_GRACE, Meter, Reply, Retire, Upstream};
use foretoken_transport::Stream;
use foretoken_types::{BootInstant, Fault, FaultKind};
use tokio::sync::oneshot;

mod drive;
mod preamble;
#[cfg(test)]
mod tests;

pub(crate) use preamble::connect;

/// A reply is collected up to this size, and streamed beyond it.
const COLLECT_BYTES: usize = 256 * 1024;
/// Bytes of a streamed reply that wait for a slow client.
const PIPE_BYTES: usize = 256 * 1024;
/// Unsent bytes from which a connection takes no more sessions, and a long request waits.
const OUT_BYTES: usize = 4 * 1024 * 1024;
/// How long one client that does not take a long reply may keep the others of a shared connection waiting.
const STALL_MOST: Duration = Duration::from_secs(1);
/// A retired connection is read for this long, so that late replies are counted.
const RETIRED_MOST: Duration = Duration::from_secs(300);

/// Handle of a connection.
#[derive(Clone)]
pub struct RedisUpstream(Rc<Connection>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// No more batches; closes when the outstanding replies are in.
    Closing,
    /// No more batches; the socket goes to its heir when nothing is under way.
    Leaving,
    /// Its epoch has ended: what still comes is counted and dropped.
    Retired,
    Closed,
}

struct Connection {
    meter: Rc<dyn Meter>,
    state: Cell<State>,
    shared: Cell<bool>,
    /// A long reply is being streamed.
    streaming: Cell<bool>,
    out: RefCell<BytesMut>,
    /// Bytes handed to the kernel since the start; with those in `out`, all that was ever submitted.
    written: Cell<u64>,
    slots: RefCell<VecDeque<Slot>>,
    task: RefCell<Option<Waker>>,
    /// Those who wait for room in `out`.
    room: tokio::sync::Notify,
    grace_until: Cell<Option<tokio::time::Instant>>,
    /// Who waits for the socket itself.
    heir: RefCell<Option<oneshot::Sender<Stream>>>,
}

/// One batch under way.
struct Slot {
    /// Replies that have not ended.
    left: u32,
    requests: u32,
    sent: BootInstant,
    first_byte: Option<BootInstant>,
    /// Where its bytes lie in all that was ever submitted.
    start: u64,
    end: u64,
    blocking: bool,
    /// Replies that say: not executed, ask again or elsewhere.
    turned_away: u32,
    /// Who waits; `None` once it was told that the epoch moved.
    waiting: Option<Rc<Mailbox>>,
    /// Where a long reply goes.
    pipe: Option<ChunkSender>,
}

#[derive(Default)]
struct Mailbox {
    result: RefCell<Option<Result<Reply, Fault>>>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    fn deliver(&self, result: Result<Reply, Fault>) {
        *self.result.borrow_mut() = Some(result);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A batch under way: resolves with its replies.
pub struct Pending(Rc<Mailbox>);

impl Future for Pending {
    type Output = Result<Reply, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.0.result.borrow_mut().take() {
            return Poll::Ready(result);
        }
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Slot {
    /// Ends the slot for whoever waits; the slot itself stays, to count the replies that still come.
    fn fail(&mut self, fault: Fault, meter: &dyn Meter) {
        if let Some(pipe) = self.pipe.take() {
            pipe.end(Err(fault));
        }
        if let Some(waiting) = self.waiting.take() {
            meter.settled(self.requests, self.sent);
            waiting.deliver(Err(fault));
        }
    }
}

impl RedisUpstream {
    /// Takes over a connected socket; a local task drives it from here on.
    fn start(stream: Stream, shared: bool, meter: Rc<dyn Meter>) -> Self {
        let connection = Rc::new(Connection {
            meter,
            state: Cell::new(State::Open),
            shared: Cell::new(shared),
            streaming: Cell::new(false),
            out: RefCell::default(),
            written: Cell::new(0),
            slots: RefCell::default(),
            task: RefCell::default(),
            room: tokio::sync::Notify::new(),
            grace_until: Cell::new(None),
            heir: RefCell::default(),
        });
        tokio::task::spawn_local(drive::drive(Rc::clone(&connection), stream));
        Self(connection)
    }
}

impl Connection {
    fn wake_task(&self) {
        if let Some(waker) = self.task.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Ends everything that is under way, because the connection is gone.
    fn lose(&self, kind: FaultKind) {
        self.state.set(State::Closed);
        let mut slots = self.slots.borrow_mut();
        let written = self.written.get();
        if slots.iter().any(|slot| slot.waiting.is_some()) {
            self.meter.reset();
        }
        for mut slot in slots.drain(..) {
            let unsent = slot.start >= written;
            slot.fail(
                if unsent { Fault::safe(FaultKind::Connect) } else { Fault::unknown(kind) },
                &*self.meter,
            );
        }
        self.out.borrow_mut().clear();
        self.heir.borrow_mut().take();
        self.room.notify_waiters();
    }

    /// Gives the socket to its heir; without one, or if that has gone, it is closed.
    fn hand_over(&self, stream: Stream) {
        self.state.set(State::Closed);
        if let Some(heir) = self.heir.borrow_mut().take() {
            heir.send(stream).ok();
        }
    }
}

impl Upstream for RedisUpstream {
    type Pending = Pending;

    fn send(&self, batch: &Batch) -> Pending {
        let connection = &self.0;
        let mailbox = Rc::new(Mailbox::default());
        if connection.state.get() != State::Open {
            mailbox.deliver(Err(Fault::safe(FaultKind::Connect)));
            return Pending(mailbox);
        }
        let mut out = connection.out.borrow_mut();
        let start = connection.written.get() + out.len() as u64;
        out.extend_from_slice(&batch.frames);
        // Whether this may be sent was asked a moment ago.
        let sent = connection.meter.just_now();
        connection.meter.sent(batch.requests, sent);
        connection.slots.borrow_mut().push_back(Slot {
            left: batch.requests,
            requests: batch.requests,
            sent,
            first_byte: None,
            start,
            end: start + batch.frames.len() as u64,
            blocking: batch.carriage == Carriage::Blocking,
            turned_away: 0,
            waiting: Some(Rc::clone(&mailbox)),
            pipe: None,
        });
        drop(out);
        connection.wake_task();
        Pending(mailbox)
    }

    async fn extend(&self, bytes: Bytes) -> Result<(), Fault> {
        let connection = &self.0;
        if connection.state.get() != State::Open {
            return Err(Fault::unknown(FaultKind::Reset));
        }
        if let Some(slot) = connection.slots.borrow_mut().back_mut() {
            slot.end += bytes.len() as u64;
        }
        connection.out.borrow_mut().extend_from_slice(&bytes);
        connection.wake_task();
        while connection.state.get() == State::Open && connection.out.borrow().len() > PIPE_BYTES {
            connection.room.notified().await;
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.0.state.get() == State::Open
    }

    fn is_shareable(&self) -> bool {
        !self.0.streaming.get() && self.0.out.borrow().len() < OUT_BYTES
    }

    fn share(&self) {
        self.0.shared.set(true);
    }

    fn retire(&self, how: Retire) {
        let connection = &self.0;
        if matches!(connection.state.get(), State::Retired | State::Closed) {
            return;
        }
        connection.state.set(State::Retired);
        connection.heir.borrow_mut().take();
        let written = connection.written.get();
        let mut slots = connection.slots.borrow_mut();
        // What the kernel has not been given is never sent.
        while slots.back().is_some_and(|slot| slot.start >= written)
            && let Some(mut slot) = slots.pop_back()
        {
            slot.fail(Fault::safe(FaultKind::EpochMoved), &*connection.meter);
        }
        connection.out.borrow_mut().clear();
        for slot in slots.iter_mut() {
            if !(slot.blocking && how == Retire::Planned) {
                if how == Retire::Fence && !slot.blocking && slot.waiting.is_some() {
                    connection.meter.timed_out(slot.left);
                }
                slot.fail(Fault::unknown(FaultKind::EpochMoved), &*connection.meter);
            }
        }
        connection.grace_until.set(Some(tokio::time::Instant::now() + LET_GO_GRACE));
        connection.room.notify_waiters();
        connection.wake_task();
    }

    async fn hand_over(&self) -> Option<Stream> {
        let connection = &self.0;
        if connection.state.get() != State::Open {
            return None;
        }
        let (heir, stream) = oneshot::channel();
        *connection.heir.borrow_mut() = Some(heir);
        connection.state.set(State::Leaving);
        connection.wake_task();
        stream.await.ok()
    }

    fn close(&self) {
        if self.0.state.get() == State::Open {
            self.0.state.set(State::Closing);
            self.0.wake_task();
        }
    }
}

/// Wakes the connection's task through a timer as well.
async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => poll_fn(|_| Poll::Pending).await,
    }
}
