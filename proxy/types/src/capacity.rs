//! How much of its limits an endpoint uses.

use serde::{Deserialize, Serialize};

/// Capacity figures of one endpoint, as the store reports them. `None` where it reports nothing or has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Limit set for it (`maxmemory`), in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Clients connected.
    pub clients: Option<u64>,
    /// Most clients that it accepts.
    pub clients_limit: Option<u64>,
    /// Clients waiting in a blocking command.
    pub clients_blocked: Option<u64>,
    /// Commands executed since it started.
    pub commands_total: Option<u64>,
    /// Keys evicted since it started.
    pub evicted_total: Option<u64>,
    /// Connections refused for want of room since it started.
    pub rejected_total: Option<u64>,
    /// Size of the backlog from which a mirror can resume, in bytes.
    pub backlog_bytes: Option<u64>,
    /// Whether its last write to disk succeeded.
    pub persisting: Option<bool>,
    /// Seconds since it started.
    pub uptime_seconds: Option<u64>,
}
