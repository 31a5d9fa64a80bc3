//! What travels through the stack.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use foretoken_protocol::{Batch, ChunkReceiver, Protocol, Reply, Session, Upstream};
use foretoken_types::{BootInstant, Epoch, Fault};

use crate::own_writes::OwnWrites;

pub(crate) type Key<P> = <<P as Protocol>::Session as Session>::Key;

/// One client, as the layers see it.
pub(crate) struct Client<P: Protocol> {
    /// Codec and replay state.
    pub(crate) session: RefCell<P::Session>,
    /// The upstream connection that serves this client alone, if it has one.
    pub(crate) own: RefCell<Option<Own<P::Upstream>>>,
    /// The shared connection that it used last, to save the look-up.
    pub(crate) shared: RefCell<Option<Handle<P>>>,
    /// What it has written, for its reads from mirrors.
    pub(crate) own_writes: Rc<OwnWrites>,
    /// Since when a request of it waits at a server.
    pub(crate) blocked_since: Cell<Option<BootInstant>>,
}

/// A connection of the client's own.
pub(crate) struct Own<U: Upstream> {
    pub(crate) upstream: U,
    pub(crate) epoch: Epoch,
    pub(crate) endpoint: usize,
    /// The session holds no state on it and is in the state that any shared one has.
    pub(crate) surplus: Cell<bool>,
    /// It was left to the shared ones, or closed by them.
    pub(crate) given: Cell<bool>,
}

impl<U: Upstream> Drop for Own<U> {
    fn drop(&mut self) {
        if !self.given.get() {
            self.upstream.close();
        }
    }
}

/// A shared connection and what it is good for.
pub(crate) struct Handle<P: Protocol> {
    pub(crate) upstream: P::Upstream,
    pub(crate) key: Key<P>,
    pub(crate) epoch: Epoch,
    pub(crate) endpoint: usize,
}

impl<P: Protocol> Client<P> {
    pub(crate) fn new(session: P::Session) -> Rc<Self> {
        Rc::new(Self {
            session: RefCell::new(session),
            own: RefCell::default(),
            shared: RefCell::default(),
            own_writes: Rc::default(),
            blocked_since: Cell::default(),
        })
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Not decided yet.
    Open,
    /// To the primary (endpoint number), with the right of this epoch.
    Primary(usize, Epoch),
    /// To a mirror (endpoint number), whose data may be stale.
    Mirror(usize),
}

pub(crate) struct Request<P: Protocol> {
    pub(crate) batch: Batch,
    pub(crate) client: Rc<Client<P>>,
    pub(crate) target: Target,
    /// When it came.
    pub(crate) since: BootInstant,
    /// Since when it is held or tried again, the time at the store left out: a blocked pop may be older than any hold.
    pub(crate) waiting: Option<BootInstant>,
    /// The rest of a request that is too long to be collected.
    pub(crate) body: Option<Rc<Cell<Option<ChunkReceiver>>>>,
    /// It was sent with others and has ended so: only the words for it are missing.
    pub(crate) ended: Option<Fault>,
}

impl<P: Protocol> Clone for Request<P> {
    fn clone(&self) -> Self {
        Self {
            batch: self.batch.clone(),
            client: Rc::clone(&self.client),
            target: self.target,
            since: self.since,
            waiting: self.waiting,
            body: self.body.clone(),
            ended: self.ended,
        }
    }
}

impl<P: Protocol> Request<P> {
    /// Who asks, as far as that decides who may answer.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            pinned: self.client.session.borrow().is_pinned(),
            again: self.waiting.is_some(),
            own_writes: Rc::clone(&self.client.own_writes),
        }
    }
}

/// Who asks, as far as that decides who may answer.
pub(crate) struct Reader {
    /// The session can't be served by a mirror.
    pub(crate) pinned: bool,
    /// It was tried before: if that was at a mirror, the primary is the better choice.
    pub(crate) again: bool,
    /// What it has written.
    pub(crate) own_writes: Rc<OwnWrites>,
}

/// What comes back up.
pub(crate) struct Response {
    /// The bytes for the client; `None`: there are no words for what happened, cut its connection.
    pub(crate) reply: Option<Reply>,
    /// The epoch that the reply needs to be current while it is forwarded; `None` for what we say ourselves, for a
    /// mirror's reply, and for one that the session has taken over and that is true whoever is the primary.
    pub(crate) epoch: Option<Epoch>,
    /// The request waited at the server until its time ended, and had no effect.
    pub(crate) in_vain: bool,
    /// Requests that may or may not have been executed.
    pub(crate) in_doubt: u32,
    /// Requests that certainly were not executed.
    pub(crate) not_executed: u32,
    /// Nothing is answered yet: the requests go again in pieces.
    pub(crate) apart: Option<Apart>,
}

/// The requests of a batch, taken apart.
pub(crate) struct Apart {
    /// In order, each of one kind.
    pub(crate) pieces: Vec<Batch>,
    /// How the writes among them ended: they are only told. `None`: nothing was sent, so they go again too.
    pub(crate) ended: Option<Fault>,
}

impl Response {
    pub(crate) fn of(reply: Reply, epoch: Option<Epoch>) -> Self {
        Self { epoch, ..Self::ours(Some(reply)) }
    }

    /// What we say ourselves.
    pub(crate) const fn ours(reply: Option<Reply>) -> Self {
        Self { reply, epoch: None, in_vain: false, in_doubt: 0, not_executed: 0, apart: None }
    }
}
