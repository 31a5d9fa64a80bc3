//! The data plane's half: client bytes to batches, batches to servers, replies back.

use std::future::Future;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_transport::Connector;
use foretoken_types::{Access, Epoch, ErrorClass, Fault};

/// Which kind of upstream connection a batch needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carriage {
    /// Any connection in the session's replay state: it leaves nothing behind.
    Shared,
    /// A connection that serves this session alone.
    Dedicated,
    /// A connection of its own, and its reply may take longer than any hold: it is not waited for by a drain.
    Blocking,
    /// From this batch on bytes flow both ways as they come, until one side closes (subscriptions, `MONITOR`).
    Relay,
}

/// A run of complete requests that travel together: the unit of work of the whole stack.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The requests, byte for byte as they came.
    pub frames: Bytes,
    /// How many requests it holds, and so how many replies it gets.
    pub requests: u32,
    /// The strictest access among them.
    pub access: Access,
    /// The connection that they need.
    pub carriage: Carriage,
}

/// Bounds that a session codec keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of complete requests in one batch; one longer request makes a batch of its own.
    pub batch_bytes: usize,
    /// Most requests in one batch.
    pub batch_requests: u32,
    /// A request longer than this is not collected but streamed, in bytes.
    pub collect_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 64 KiB is one read; a shared upstream's write must stay far below Redis' 1 GiB client-query-buffer-limit.
        Self { batch_bytes: 256 * 1024, batch_requests: 4096, collect_bytes: 1024 * 1024 }
    }
}

/// What a session's codec makes of the bytes that have come so far.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    Starved,
    /// Send this.
    Batch(Batch),
    /// A request that is too long to be collected begins: `batch.frames` is its beginning, `missing` bytes of it follow.
    Long {
        /// The beginning, counted as one request.
        batch: Batch,
        /// Bytes that are still to come from the client.
        missing: u64,
    },
    /// Answer this without asking a server; then, if `close`, end the session.
    Answer {
        /// The reply.
        reply: Bytes,
        /// Whether the session ends.
        close: bool,
    },
}

/// What becomes of a dedicated connection after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// The session holds state on it.
    Keep,
    /// The session holds no state on it: the next batch may use a shared one.
    Release,
}

/// One client's session: its codec and the state that another upstream needs to serve it. Sans-IO.
pub trait Session {
    /// Everything that tells apart two upstreams for sharing; see [`Protocol::connect`].
    type Key: Clone + Eq + Hash;

    /// Takes the next step off the front of `input`. Never waits, never panics, whatever the bytes are.
    fn step(&mut self, input: &mut BytesMut) -> Step;

    /// The replay state that the session is in.
    fn key(&self) -> Self::Key;

    /// Whether another upstream than the present dedicated one could serve the session now.
    ///
    /// `Some` is what that upstream must be sent first, over and above its key (an open transaction); `None` means that
    /// the session holds state which can't be moved.
    fn restore(&self) -> Option<Bytes>;

    /// Number of replies to [`Session::restore`].
    fn restore_replies(&self) -> u32;

    /// Told the reply to a batch that was not shared, once per batch and before any later batch is read.
    fn replied(&mut self, batch: &Batch, reply: &[u8]) -> Retirement;

    /// Told that the session moved to another upstream while it held state that makes its next commit fail (`WATCH`).
    fn moved(&mut self);

    /// Whether `batch` must now be answered without a server (a transaction that watched keys on another primary).
    fn answer_after_move(&mut self, batch: &Batch) -> Option<Bytes>;

    /// The refusal of `batch` in the store's own words, one reply for each request from number `answered` on.
    /// `None`: there are no words for it, cut the connection.
    fn refuse(&self, batch: &Batch, answered: u32, fault: Fault, epoch: Epoch) -> Option<Bytes>;
}

/// A request on its way down the stack.
pub struct Request<S> {
    /// What to send.
    pub batch: Batch,
    /// Whose it is: the session's own connection, its key.
    pub session: Rc<S>,
    /// The epoch that it was admitted under; set by Authorize, checked by Route.
    pub epoch: Epoch,
}

impl<S> Clone for Request<S> {
    fn clone(&self) -> Self {
        Self { batch: self.batch.clone(), session: Rc::clone(&self.session), epoch: self.epoch }
    }
}

/// A reply that did not fit in one piece could not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply was cut off")]
pub struct BodyTooSlow;

/// A reply's pieces after the first.
pub trait Body {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, Fault>>>;
}

/// The rest of a long reply.
pub type ReplyRest = tokio::sync::mpsc::Receiver<Result<Bytes, Fault>>;

/// The replies to a batch.
#[derive(Debug)]
pub struct Reply {
    /// All of it, or its beginning.
    pub first: Bytes,
    /// What follows, when it was too long to be collected.
    pub rest: Option<ReplyRest>,
    /// The epoch that the batch was sent under; `None` for a mirror's reply, which needs no right to write.
    pub epoch: Option<Epoch>,
}

/// What an upstream connection counts; one per endpoint and thread, plain cells inside.
pub trait Meter {
    /// `count` requests were answered, the first byte after `latency`.
    fn answered(&self, count: u32, latency: Duration);
    /// An error reply of this class passed.
    fn error(&self, class: ErrorClass);
    /// The connection was lost with requests outstanding.
    fn reset(&self);
    /// `count` replies came after their epoch had ended and were dropped.
    fn late(&self, count: u32);
    /// Requests outstanding changed by `by`.
    fn in_flight(&self, by: i64);
}

/// One connection to one server. Cloning gives another handle.
pub trait Upstream: Clone {
    /// Sends a batch behind those sent before, and resolves with its replies.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the reply; the batch stays sent, and later replies are matched correctly.
    fn send(&self, batch: &Batch) -> impl Future<Output = Result<Reply, Fault>> + use<Self>;
}

/// A store's protocol.
pub trait Protocol: 'static {
    /// Codec and state of one client.
    type Session: Session + 'static;
    /// One server connection.
    type Upstream: Upstream + 'static;

    /// The session of a new client.
    fn session(&self) -> Self::Session;

    /// Connects and brings the connection into the state `key`: what two sessions of equal key send over it can't be
    /// told apart by the server.
    fn connect(
        &self,
        connector: &Connector,
        key: &<Self::Session as Session>::Key,
        meter: Rc<dyn Meter>,
    ) -> impl Future<Output = Result<Self::Upstream, Fault>>;
}
