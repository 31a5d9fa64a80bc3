//! What a row holds: the Rust side of `models/features.toml`.
//!
//! The file is the contract, and the table here is held to it by a test, so that code can name a feature and the compiler
//! can check the name.

use std::fmt::Write as _;

use crate::headroom::Resource;

/// The contract as written, byte for byte: its digest stands in the metadata of every model.
pub const TEXT: &str = include_str!("../../../models/features.toml");
/// Rows that a window holds.
pub const WINDOW: usize = 60;
/// Values of a row.
pub const FEATURES: usize = 20;
/// Horizons of a risk, in steps; minutes at the usual step of one minute.
pub const HORIZONS: [u16; 3] = [5, 15, 30];
/// What a model reads where a value is not known. No feature is ever negative.
pub const MISSING: f32 = -1.0;

/// A value of a row. The order is the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// Requests per second.
    RequestRate,
    /// Replies that say the store can't serve, among all.
    ErrorRatio,
    /// Requests without an answer in time, among all.
    TimeoutRatio,
    /// Failed attempts to connect, among all requests.
    ConnectFailureRatio,
    /// Median time to the first byte of a reply.
    LatencyP50,
    /// 99th percentile of the same.
    LatencyP99,
    /// Requests outstanding.
    InFlight,
    /// CPU used of what may be used.
    CpuRatio,
    /// Time in which the store was kept from running.
    CpuThrottledRatio,
    /// Memory used of the store's limit.
    MemoryRatio,
    /// Whether the store evicts keys at its limit.
    MemoryEvicts,
    /// Keys evicted per second.
    EvictionRate,
    /// Memory of the machine that is taken.
    HostMemoryRatio,
    /// Time in which tasks waited for memory.
    MemoryPressureRatio,
    /// Connections used of the limit.
    ConnectionsRatio,
    /// Connections refused for want of room, per second.
    RejectedRate,
    /// Disk used of its size.
    DiskRatio,
    /// Writes to disk that wait.
    DiskPending,
    /// Time in which tasks waited for a disk.
    IoPressureRatio,
    /// How far mirrors are behind, in seconds.
    ReplicationLag,
}

/// What the contract says of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Its name in logs, in the interface and in records.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Least value; what is below is clipped.
    pub low: f32,
    /// Greatest value; what is above is clipped.
    pub high: f32,
    /// The resource of which it is the used share, with the share at which that is exhausted.
    pub resource: Option<(Resource, f32)>,
}

const fn plain(name: &'static str, unit: &'static str, high: f32) -> Spec {
    Spec { name, unit, low: 0.0, high, resource: None }
}

const fn headroom(name: &'static str, resource: Resource) -> Spec {
    Spec { name, unit: "ratio", low: 0.0, high: 2.0, resource: Some((resource, 1.0)) }
}

const SPECS: [Spec; FEATURES] = [
    plain("request_rate", "1/s", 1_000_000.0),
    plain("error_ratio", "ratio", 1.0),
    plain("timeout_ratio", "ratio", 1.0),
    plain("connect_failure_ratio", "ratio", 1.0),
    plain("latency_p50", "ms", 60_000.0),
    plain("latency_p99", "ms", 60_000.0),
    plain("in_flight", "count", 100_000.0),
    headroom("cpu_ratio", Resource::Cpu),
    plain("cpu_throttled_ratio", "ratio", 1.0),
    headroom("memory_ratio", Resource::Memory),
    plain("memory_evicts", "flag", 1.0),
    plain("eviction_rate", "1/s", 1_000_000.0),
    headroom("host_memory_ratio", Resource::HostMemory),
    plain("memory_pressure_ratio", "ratio", 1.0),
    headroom("connections_ratio", Resource::Connections),
    plain("rejected_rate", "1/s", 10_000.0),
    headroom("disk_ratio", Resource::Disk),
    plain("disk_pending", "count", 10_000.0),
    plain("io_pressure_ratio", "ratio", 1.0),
    plain("replication_lag", "s", 86_400.0),
];

impl Feature {
    /// Every feature, in the order of the contract.
    pub const ALL: [Self; FEATURES] = [
        Self::RequestRate,
        Self::ErrorRatio,
        Self::TimeoutRatio,
        Self::ConnectFailureRatio,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::InFlight,
        Self::CpuRatio,
        Self::CpuThrottledRatio,
        Self::MemoryRatio,
        Self::MemoryEvicts,
        Self::EvictionRate,
        Self::HostMemoryRatio,
        Self::MemoryPressureRatio,
        Self::ConnectionsRatio,
        Self::RejectedRate,
        Self::DiskRatio,
        Self::DiskPending,
        Self::IoPressureRatio,
        Self::ReplicationLag,
    ];

    /// Its place in a row.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What the contract says of it.
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }
}

/// SHA-256 of [`TEXT`], in lower-case hexadecimal digits.
#[must_use]
pub fn digest() -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, TEXT.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests;
