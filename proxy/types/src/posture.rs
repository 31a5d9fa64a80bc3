//! What to do now for one store: ONE value in ONE `watch`, so that route, epoch and access flip together.

use crate::{BootInstant, Durability, EndpointId, Epoch, Lease, Operation, StoreId, StoreState};

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// It changes nothing.
    Read,
    /// It may change something; unknown commands count as this.
    Write,
}

/// What a hold keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldScope {
    /// Writes only; reads go on (planned switchover).
    Writes,
    /// Everything (the primary is suspected or down).
    All,
}

/// An order to let requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Names the order; each data thread answers it once, when it has drained.
    pub operation: Operation,
    /// What waits.
    pub scope: HoldScope,
    /// Whether outstanding requests are declared in doubt at once (the fence of a failover) instead of awaited (drain).
    pub fence: bool,
}

impl Hold {
    /// Whether requests with `access` wait.
    #[must_use]
    pub fn keeps(&self, access: Access) -> bool {
        self.scope == HoldScope::All || access == Access::Write
    }
}

/// A mirror that may serve stale reads now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRoute {
    /// Which one.
    pub endpoint: EndpointId,
    /// How old its data was when last looked at, at most: the least of the store's limits that it keeps.
    pub staleness: std::time::Duration,
}

/// The order of the control plane to the data plane, for one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// Which store.
    pub store: StoreId,
    /// The epoch in force.
    pub epoch: Epoch,
    /// For status and metrics; the data path decides by the fields below.
    pub state: StoreState,
    /// Where requests go; `None` until a primary is known.
    pub primary: Option<EndpointId>,
    /// The right to use the primary; `None` after a revocation.
    pub lease: Option<Lease>,
    /// What waits, if anything.
    pub hold: Option<Hold>,
    /// Mirrors that may serve stale reads, best first.
    pub mirrors: Vec<MirrorRoute>,
    /// Until when they may, with nobody left to ask (T1 of PROTOCOL 3.2). `None`: they may not.
    pub temporary_until: Option<BootInstant>,
    /// When a write counts as acknowledged.
    pub durability: Durability,
}

impl Posture {
    /// A posture that lets nothing through: the one before the first observation.
    #[must_use]
    pub fn closed(store: StoreId) -> Self {
        Self {
            store,
            epoch: Epoch::default(),
            state: StoreState::Unavailable,
            primary: None,
            lease: None,
            hold: None,
            mirrors: Vec::new(),
            temporary_until: None,
            durability: Durability::Asynchronous,
        }
    }

    /// Whether a request with `access` may be sent to the primary at `now`.
    #[must_use]
    pub fn admits(&self, access: Access, now: BootInstant) -> bool {
        self.primary.is_some()
            && self.lease.is_some_and(|lease| lease.may_send(self.epoch, now))
            && !self.hold.is_some_and(|hold| hold.keeps(access))
    }

    /// Whether a mirror may serve a read at `now`.
    #[must_use]
    pub fn admits_stale(&self, now: BootInstant) -> bool {
        self.temporary_until.is_some_and(|until| now < until)
    }

    /// Whether a reply to a request that was sent under `epoch` may be acknowledged at `now` (PROTOCOL 3.4, rule 5).
    #[must_use]
    pub fn acknowledges(&self, epoch: Epoch, now: BootInstant) -> bool {
        self.epoch == epoch && self.lease.is_some_and(|lease| lease.may_acknowledge(epoch, now))
    }
}
