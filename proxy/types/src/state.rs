//! States of a store and the declarations that govern it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a store (PROTOCOL 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// The primary serves and a mirror keeps up.
    Healthy,
    /// As healthy as before, and expected to become unavailable: stale reads are prepared, and writes wait for a mirror.
    AtRisk,
    /// A planned switchover holds writes and waits for the drain and for the mirror to be equal.
    Holding,
    /// Roles are being exchanged: demote, then promote, then the epoch grows.
    Flipping,
    /// A new primary serves; the old one has not come back as a mirror.
    FailedOver,
    /// The primary is down, or its state is not known yet (also at the start).
    #[default]
    Unavailable,
    /// A mirror is being promoted after the primary went down.
    FailingOver,
    /// The old primary is back as a mirror and catches up.
    Recovering,
}

impl StoreState {
    /// The name, as in `foretoken status`, in the API and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::AtRisk => "at_risk",
            Self::Holding => "holding",
            Self::Flipping => "flipping",
            Self::FailedOver => "failed_over",
            Self::Unavailable => "unavailable",
            Self::FailingOver => "failing_over",
            Self::Recovering => "recovering",
        }
    }
}

impl fmt::Display for StoreState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a write counts as acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When the primary has replied.
    #[default]
    Asynchronous,
    /// When a mirror has it, too.
    Synchronous,
}

/// When writes are to be acknowledged, as declared in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteConcern {
    /// When the primary has replied.
    #[default]
    Asynchronous,
    /// When a mirror has it too, as long as one keeps up.
    Synchronous,
    /// Never before a mirror has it.
    SynchronousStrict,
}

/// Who else writes to the store, as declared in the configuration (PROTOCOL 5.5 and 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writers {
    /// Somebody else may: only planned switchovers are automatic.
    #[default]
    Others,
    /// Nobody else does: a reactive failover may be automatic.
    ThisSidecar,
}

/// Whether this sidecar manages the store or follows somebody who does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "authority", content = "why")]
pub enum Authority {
    /// Holder of the owner record: sets up mirrors, promotes, raises the epoch.
    Owner,
    /// Changes nothing and follows the roles that it finds; the text says why.
    Follower(String),
    /// Not decided yet: no endpoint could be asked.
    #[default]
    Undecided,
}
