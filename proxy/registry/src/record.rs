//! What is kept of a store.

use foretoken_types::{EndpointId, Epoch, Operation, Position};
use serde::{Deserialize, Serialize};

/// The format in which records are written. Higher ones are refused, lower ones are read.
pub const FORMAT: u32 = 1;

/// The truth about who is primary (PROTOCOL 2, `epoch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRecord {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// The epoch in force.
    pub epoch: Epoch,
    /// The primary of this epoch, when one is known.
    pub primary: Option<EndpointId>,
    /// The primary of the epoch before.
    pub previous: Option<EndpointId>,
    /// Which kind of change began the epoch; `None`: the roles were found so.
    pub begun_by: Option<IntentKind>,
    /// Name of the primary's history at the change: what a mirror must descend from to be promoted.
    pub history: Option<String>,
    /// Name of the history before, when it was another one.
    pub descends: Option<String>,
    /// How far that history had gone at the change.
    pub position: Option<Position>,
    /// Whether the sidecar that wrote this was in charge of the store.
    #[serde(default)]
    pub owned: bool,
    /// Wall clock at the change, in milliseconds since 1970; for people, nothing is decided by it.
    pub since_unix_ms: u64,
}

impl StoreRecord {
    /// A record that says nothing but its epoch.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            format: FORMAT,
            epoch,
            primary: None,
            previous: None,
            begun_by: None,
            history: None,
            descends: None,
            position: None,
            owned: false,
            since_unix_ms: 0,
        }
    }
}

/// Which kind of change is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// A switchover.
    Planned,
    /// A failover.
    Reactive,
}

/// What is about to be done, written before the first step that cannot be undone by forgetting it (PROTOCOL 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Planned or not.
    pub kind: IntentKind,
    /// The primary that is left.
    pub from: EndpointId,
    /// The mirror that is to be primary.
    pub to: EndpointId,
    /// The epoch that is left.
    pub epoch: Epoch,
    /// Names the operation in logs and reports.
    pub operation: Operation,
    /// Wall clock at the start, in milliseconds since 1970; for people.
    pub started_unix_ms: u64,
}

/// What a change of epoch does to the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentChange {
    /// It stays. It then names an epoch that is no longer in force: how a restart under way looks to its successor.
    Keep,
    /// It has been carried out or undone, and goes.
    Clear,
}

/// One change of what is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The name, such as `token/8f3a`.
    pub name: String,
    /// What is kept from now on; `None`: nothing any more.
    pub bytes: Option<Vec<u8>>,
}

impl Keep {
    /// Keeps `bytes` under `name`.
    #[must_use]
    pub fn this(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes: Some(bytes) }
    }

    /// Forgets what is kept under `name`.
    #[must_use]
    pub fn nothing(name: impl Into<String>) -> Self {
        Self { name: name.into(), bytes: None }
    }
}
