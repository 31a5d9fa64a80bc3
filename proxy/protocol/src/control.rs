//! The control plane's half: look at an endpoint, change its role.

use std::time::Duration;

use async_trait::async_trait;
use foretoken_types::{Capacity, EndpointId, Epoch, Failure, Home, InstanceId, Observation, Position};

/// Why an endpoint did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// For deciding.
    pub failure: Failure,
    /// For people: what was asked and what came back. Never holds a credential.
    pub detail: String,
}

impl Refused {
    /// A failure with its story.
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }
}

/// Answer to a claim of a store (PROTOCOL 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The record is ours, and was renewed.
    Held,
    /// Somebody else holds it.
    HeldBy(InstanceId),
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, but a promise is weaker for it.
    Warning,
    /// The store is not managed as long as this is so.
    Blocker,
}

/// One thing that a preflight found at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at, in a word or two (`persistence`, `permissions`, `replica-serve-stale-data`).
    pub what: &'static str,
    /// What was found, and for anything but [`Severity::Good`] what follows and what to do about it.
    pub detail: String,
}

/// What an endpoint is and what can be done with it (PROTOCOL 7.3 and 7.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Product and version, such as `redis 7.0.15`.
    pub server: String,
    /// Version as numbers, for comparison: a mirror must not be older than its primary.
    pub version: Vec<u64>,
    /// What was found, in a fixed order.
    pub findings: Vec<Finding>,
}

/// How another endpoint reaches this one: the address that a mirror is told to copy from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Host name or address, as the *other endpoints* see it.
    pub host: String,
    /// Port, as the other endpoints see it.
    pub port: u16,
}

/// How far the data of an endpoint went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The history that its position counts in.
    pub history: String,
    /// Bytes of it.
    pub position: Position,
}

/// A control connection to one endpoint, for one store. It connects by itself, and again after a failure; a fresh
/// connection resolves the name anew.
///
/// Every call but [`Control::fence`] ends within the time limit that the connection was made with, as
/// [`Failure::Timeout`] at the latest.
///
/// # Cancel safety
/// No call is cancel safe in the sense that its effect is undone; dropping one drops the connection, and the next call
/// opens another.
#[async_trait]
pub trait Control: Send {
    /// Role, position, link, marker, owner; with `probe_writes`, whether it would take a write now
    /// ([`Observation::writable`], which is `false` without the probe). Never changes data and never moves the position.
    async fn observe(&mut self, probe_writes: bool) -> Result<Observation, Refused>;

    /// Whether it can be reached by a *fresh* connection, told apart from one that is merely slow: `Ok` means connected
    /// (not: serving). [`Failure::Refused`] means that nobody listens.
    async fn reach(&mut self) -> Result<(), Refused>;

    /// How much of its limits it uses.
    async fn capacity(&mut self) -> Result<Capacity, Refused>;

    /// Who it is on its machine and where it writes. What it doesn't tell, or we may not ask, is `None`.
    async fn home(&mut self) -> Result<Home, Refused>;

    /// How far its data goes, read as fast as can be.
    async fn position(&mut self) -> Result<Place, Refused>;

    /// Lets writes of everybody wait at the endpoint for `at_most` (Redis `CLIENT PAUSE … WRITE`).
    async fn pause_writes(&mut self, at_most: Duration) -> Result<(), Refused>;

    /// Ends a pause. Fine when there is none.
    async fn resume_writes(&mut self) -> Result<(), Refused>;

    /// Makes it a mirror of `of`, with whatever credentials its replication link needs.
    async fn demote(&mut self, of: &Dial) -> Result<(), Refused>;

    /// The same for a primary that was lost, with `patience` instead of the usual limit: it may stand still, and must obey
    /// before anything else when it goes on. Tells what it had at that moment; `None` when it was a mirror already.
    async fn fence(&mut self, of: &Dial, patience: Duration) -> Result<Option<Place>, Refused>;

    /// Makes it a primary. Fine when it is one.
    async fn promote(&mut self) -> Result<(), Refused>;

    /// Closes the connections of its ordinary clients, not those of its mirrors and not this one. Returns how many.
    async fn disconnect_clients(&mut self) -> Result<u64, Refused>;

    /// Writes the marker of `epoch`: the first write of each epoch.
    async fn mark(&mut self, epoch: Epoch) -> Result<(), Refused>;

    /// Takes or renews the owner record for `life`, if nobody else holds it.
    async fn claim(&mut self, instance: &InstanceId, life: Duration) -> Result<Claim, Refused>;

    /// Gives up the owner record if it is ours.
    async fn release(&mut self, instance: &InstanceId) -> Result<(), Refused>;

    /// Registers `instance` as a follower for `life`.
    async fn register_follower(&mut self, instance: &InstanceId, life: Duration) -> Result<(), Refused>;

    /// Everything that decides whether the store can be managed, for `foretoken check` and before taking charge.
    async fn preflight(&mut self) -> Result<Preflight, Refused>;
}
