//! How much of its limits an endpoint uses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Capacity figures of one endpoint, as the store reports them. `None` where it reports nothing or has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Limit set for it (`maxmemory`), in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Whether it makes room at that limit by evicting keys; it refuses writes otherwise. `None` where that depends on the
    /// keys.
    pub memory_evicts: Option<bool>,
    /// CPU time of all its threads since it started.
    pub cpu_time: Option<Duration>,
    /// CPU time of the one thread that executes commands, where there is just one.
    pub cpu_time_commands: Option<Duration>,
    /// Writes to disk that wait now.
    pub disk_waiting: Option<u64>,
    /// Writes to disk that had to wait since it started.
    pub disk_delayed_total: Option<u64>,
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
