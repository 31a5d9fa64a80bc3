//! What the registry keeps of a store: the only truth about who is primary (PROTOCOL 2).

use foretoken_types::{EndpointId, Epoch, Position};
use serde::{Deserialize, Serialize};

/// The registry's record of one store. It is replaced as a whole, by compare-and-swap, and is on disk before it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The epoch in force.
    pub epoch: Epoch,
    /// Its primary.
    pub primary: EndpointId,
    /// The primary of the epoch before, when it was another one.
    pub previous: Option<EndpointId>,
    /// Name of the history that the primary's data belongs to.
    pub history: String,
    /// Name of the history before, when it was another one: what the data of a mirror that missed the change belongs to.
    pub descends: Option<String>,
    /// How far the primary's data went when it became the primary.
    pub position: Position,
    /// Why the epoch began.
    pub cause: Cause,
    /// Whether this sidecar was in charge then. Only who was in charge last may promote anybody.
    pub owned: bool,
    /// The switchover that is under way.
    pub intent: Option<Intent>,
}

/// Why an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The sidecar started, or found the roles as they are.
    Found,
    /// A planned switchover.
    Switchover,
    /// A reactive failover.
    Failover,
}

/// A planned switchover that has begun to change something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The primary that gives up the role.
    pub from: EndpointId,
    /// The mirror that takes it.
    pub to: EndpointId,
}
