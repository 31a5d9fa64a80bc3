//! What one look at an endpoint found (active probe, role check and statistics on a connection of their own).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, Epoch, InstanceId, Position};

/// Role that an endpoint reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It copies another server.
    Mirror {
        /// The configured endpoint that it copies, or `None` when it copies a server that we don't know.
        of: Option<EndpointId>,
        /// State of the replication link.
        link: Link,
    },
}

/// A mirror's replication link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Connected, with the time since something last came over it.
    Up {
        /// `master_last_io_seconds_ago` of Redis: whole seconds.
        silent_for: Duration,
    },
    /// A full copy is being received; its data can't be used.
    Synchronizing,
    /// Not connected.
    Down,
}

/// What an endpoint keeps over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// Nothing: it comes back empty (PROTOCOL 7.4).
    #[default]
    None,
    /// Snapshots.
    Snapshot,
    /// A log of every write.
    Log,
}

/// The owner record as found on an endpoint (PROTOCOL 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerClaim {
    /// Who owns the store.
    pub instance: InstanceId,
}

/// One successful look at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Role.
    pub role: Role,
    /// Changes with every start of the server.
    pub run_id: String,
    /// Name of the history that its data belongs to.
    pub history: String,
    /// Name of the history before its last promotion, good up to the position beside it.
    pub previous_history: Option<(String, Position)>,
    /// How far its data goes.
    pub position: Position,
    /// Whether the write probe passed: it takes writes now.
    pub writable: bool,
    /// Why it takes no writes, in its own words and with what would mend it, if the write probe was refused.
    pub refuses_writes: Option<String>,
    /// It is loading its data and serves nothing.
    pub loading: bool,
    /// What it keeps over a restart.
    pub persistence: Persistence,
    /// Keys that it holds, in all databases.
    pub keys: u64,
    /// Replicas attached to it.
    pub replicas: u32,
    /// Epoch of the marker key, if there is one.
    pub marker: Option<Epoch>,
    /// The owner record, if there is one.
    pub owner: Option<OwnerClaim>,
    /// Other sidecars registered as followers.
    pub followers: u32,
    /// Managed by somebody else (Sentinel, cluster mode): the text says by whom.
    pub managed_by: Option<String>,
}

/// Why a look at an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Nobody listens there (refused or reset on a fresh connection).
    Refused,
    /// No answer in time.
    Timeout,
    /// It answers that it is not in a state to serve (`LOADING`, `MISCONF` …).
    NotServing,
    /// It answers that a script keeps it busy: the process that was there before, which shows nothing now.
    Busy,
    /// It refuses our credentials, or lacks a permission.
    Credentials,
    /// It could not be asked, because too many files are open here: this tells nothing of it.
    OpenFiles,
    /// Anything else that keeps us from knowing (name resolution, TLS, malformed reply).
    Other,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Timeout,
        Self::NotServing,
        Self::Busy,
        Self::Credentials,
        Self::OpenFiles,
        Self::Other,
    ];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::NotServing => "not_serving",
            Self::Busy => "busy",
            Self::Credentials => "credentials",
            Self::OpenFiles => "open_files",
            Self::Other => "other",
        }
    }

    /// Whether nobody answered, so that nothing vouches for the endpoint either.
    #[must_use]
    pub const fn is_silence(self) -> bool {
        matches!(self, Self::Refused | Self::Timeout | Self::OpenFiles)
    }
}
