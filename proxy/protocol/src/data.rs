//! The data plane's half: client bytes to batches, batches to servers, replies back.

use std::future::Future;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_transport::{Connector, Stream};
use foretoken_types::{Access, BootInstant, Epoch, ErrorClass, Fault, FaultKind};

use crate::{Blocks, ChunkReceiver, Relay};

/// Which kind of upstream connection a batch needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carriage {
    /// Any connection in the session's replay state: it leaves nothing behind.
    Shared,
    /// A connection that serves this session alone.
    Dedicated,
    /// The same, for a session that tells who it is or where it works and asks for no data: whoever serves it next is told, too.
    Setup,
    /// A connection of its own, and its reply may take longer than any hold: a drain does not wait for it.
    Blocking,
    /// From this batch on the server speaks without being asked: see [`crate::Relay`].
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
    /// The data blocks that they touch; [`Blocks::NONE`] in a store without named ones.
    pub blocks: Blocks,
    /// Whether any server with the same data answers the same; of a read that is not, only the primary will do while it can serve.
    pub any_server: bool,
    /// Sent for the session's own sake: its replies are not for the client.
    pub quiet: bool,
}

/// What a session's codec makes of the bytes that have come so far.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    Starved,
    /// Send this.
    Batch(Batch),
    /// A request begins that is too long to be collected: `frames` is its beginning, and [`Step::Piece`]s follow.
    Long(Batch),
    /// More of the long request that has begun.
    Piece {
        /// Its next bytes.
        bytes: Bytes,
        /// Whether they end it.
        last: bool,
    },
    /// Answer this without asking a server; then, if `close`, end the session.
    Answer {
        /// The reply.
        reply: Bytes,
        /// Whether the session ends.
        close: bool,
    },
}

/// What becomes of the session's own connection after a batch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// The session holds state on it.
    Keep,
    /// No state; keep it at hand, the session is of the kind that will need one again (transactions).
    Spare,
    /// The session holds state on it, or has just let go of it, and the reply told of nothing else: it is true whoever is the primary.
    Told,
    /// No state, and it is in the session's replay state like any shared one (the session has logged in on it). As above, the
    /// reply told of nothing else.
    Surplus,
    /// No state, and nobody else can use it: close it. As above, the reply told of nothing else.
    Spent,
}

/// How a session gets from one connection of its own to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// Send this first, and expect so many replies that are no errors.
    Replay {
        /// The requests; may be empty.
        frames: Bytes,
        /// How many.
        requests: u32,
    },
    /// It holds state that can't be moved.
    Pinned,
}

/// The refusal of a batch in the store's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One reply for each request; `None`: there are no words for it, cut the connection.
    pub words: Option<Bytes>,
    /// Requests that may or may not have been executed.
    pub in_doubt: u32,
    /// Requests that certainly were not executed.
    pub not_executed: u32,
}

/// One client's session: its codec and the state that another upstream needs to serve it. Sans-IO.
pub trait Session {
    /// Everything that tells apart two upstreams for sharing; see [`Protocol::connect`].
    type Key: Clone + Eq + Hash;

    /// Takes the next step off the front of `input`. Never waits, never panics, whatever the bytes are.
    fn step(&mut self, input: &mut BytesMut) -> Step;

    /// The replay state that the session is in.
    fn key(&self) -> &Self::Key;

    /// Told the whole reply to a batch that was not shared, before any later batch is read.
    fn replied(&mut self, batch: &Batch, reply: &[u8]) -> Retirement;

    /// Whether the session must use its own connection even for a batch that could be shared.
    fn is_pinned(&self) -> bool;

    /// What another connection must be sent before `batch`, over and above the session's key, when the session's own
    /// connection is gone.
    fn restore(&self) -> Restore;

    /// Told that the own connection is gone and another one takes its place. `Some` answers `batch` without a server (the
    /// commit of a transaction that watched keys elsewhere).
    fn moved(&mut self, batch: &Batch) -> Option<Bytes>;

    /// A request that may wait at the server, as it is sent when it has waited for so long already: it waits for the rest of its
    /// time. `None`: as it came.
    fn with_less_time(&self, batch: &Batch, waited: Duration) -> Option<Bytes>;

    /// Whether `reply` says of a request that waited at the server that its time ended without effect: it can be asked again.
    fn waited_in_vain(&self, batch: &Batch, reply: &[u8]) -> bool;

    /// Whether `reply`, to the requests of [`Session::restore`], brought the other connection into the same state.
    ///
    /// # Errors
    /// [`FaultKind::NotServing`]: the server does not take them now, but may later, or another one may. Otherwise the state can't
    /// be brought back.
    fn restored(&self, reply: &[u8]) -> Result<(), FaultKind>;

    /// Whether `reply` says of something that was only to be noted for later that the server does not take it now: nothing of the
    /// batch has an effect, and it goes again.
    fn turned_away(&self, reply: &[u8]) -> bool;

    /// A batch that could be shared, taken apart into batches of one access and the same blocks, in order. Empty when it is of
    /// one kind. So the reads can go again when nobody knows what became of the writes among them, and a write that may not
    /// wait takes no others with it.
    fn apart(&self, batch: &Batch) -> Vec<Batch>;

    /// The words for a batch that did not end well. The session remembers what the client is about to hear.
    fn refuse(&mut self, batch: &Batch, fault: Fault, epoch: Epoch) -> Refusal;
}

/// The replies to a batch.
#[derive(Debug)]
pub struct Reply {
    /// All of it, or its beginning.
    pub first: Bytes,
    /// What follows, when it was too long to be collected.
    pub rest: Option<ChunkReceiver>,
}

impl Reply {
    /// A reply that is all there.
    #[must_use]
    pub const fn whole(bytes: Bytes) -> Self {
        Self { first: bytes, rest: None }
    }
}

/// What an upstream connection counts; one per endpoint and thread.
pub trait Meter {
    /// `count` requests were answered, the first byte after `latency`.
    fn answered(&self, count: u32, latency: Duration);
    /// An error reply of this class passed.
    fn error(&self, class: ErrorClass);
    /// The connection was lost with requests outstanding.
    fn reset(&self);
    /// `count` requests were given up without a reply, because the server was given up as primary.
    fn timed_out(&self, count: u32);
    /// `count` replies came after their epoch had ended and were dropped.
    fn late(&self, count: u32);
    /// The present instant.
    fn now(&self) -> BootInstant;
    /// The instant at which this thread last looked at the clock: after a check that was just made, it is as good.
    fn just_now(&self) -> BootInstant;
    /// `count` requests were sent at `at`.
    fn sent(&self, count: u32, at: BootInstant);
    /// `count` requests that were sent at `sent` are no longer waited for, answered or not.
    fn settled(&self, count: u32, sent: BootInstant);
}

/// After a planned switchover: how long the old primary may take to say that it has let a blocked client go.
pub const LET_GO_GRACE: Duration = Duration::from_millis(500);

/// How connections end when their epoch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retire {
    /// Outstanding requests fail at once; replies that still come are counted and dropped.
    Fence,
    /// The same, but blocking requests get a moment for the server to say that it has let them go unexecuted.
    Planned,
}

/// One connection to one server. Cloning gives another handle; the connection closes when the last one is dropped and
/// nothing is outstanding.
pub trait Upstream: Clone {
    /// A batch under way.
    type Pending: Future<Output = Result<Reply, Fault>>;

    /// Sends a batch behind those sent before, and resolves with its replies.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the reply; the batch stays sent, and later replies are matched correctly.
    fn send(&self, batch: &Batch) -> Self::Pending;

    /// Adds bytes to the long request that was sent last. Resolves when there is room for more.
    ///
    /// # Errors
    /// The connection is gone.
    ///
    /// # Cancel safety
    /// The bytes are taken at the first poll.
    fn extend(&self, bytes: Bytes) -> impl Future<Output = Result<(), Fault>>;

    /// Whether it takes another batch.
    fn is_open(&self) -> bool;

    /// Whether it may be given to other sessions: no long reply is on its way over it.
    fn is_shareable(&self) -> bool;

    /// From now on several sessions use it.
    fn share(&self);

    /// Lets nothing of what was sent be acknowledged any more. Idempotent.
    fn retire(&self, how: Retire);

    /// Takes no more batches and gives the socket itself away, once nothing is under way over it and the server has said nothing
    /// that was not taken. `None`: it is closed, or its epoch has ended first.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, as [`Upstream::close`] does.
    fn hand_over(&self) -> impl Future<Output = Option<Stream>>;

    /// Closes it when its outstanding replies are in.
    fn close(&self);
}

/// A store's protocol.
pub trait Protocol: 'static {
    /// Codec and state of one client.
    type Session: Session + 'static;
    /// One server connection.
    type Upstream: Upstream + 'static;
    /// One that is relayed.
    type Relay: Relay + 'static;

    /// The session of a new client. It knows the store's [`crate::BlockMap`], if there is one, from the protocol.
    fn session(&self) -> Self::Session;

    /// The relay of a session, over a connection that holds all that the session's own one does. `None`: the session holds
    /// what no connection knows of any more (keys that were watched elsewhere).
    fn relay(&self, session: &Self::Session) -> Option<Self::Relay>;

    /// Connects and brings the connection into the state `key`: what two sessions of equal key send over it can't be
    /// told apart by the server. `shared` connections guard the sessions against each other (a slow reader is cut).
    ///
    /// # Errors
    /// Always [`foretoken_types::Resend::Safe`]: nothing of a client's was sent.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    fn connect(
        &self,
        connector: &Connector,
        key: &<Self::Session as Session>::Key,
        shared: bool,
        meter: Rc<dyn Meter>,
    ) -> impl Future<Output = Result<Self::Upstream, Fault>>;

    /// What a client hears for which there is no room.
    fn too_many_clients(&self) -> Bytes;
}
