//! The machine under a store: from `/proc` when it is this one, from a node_exporter page otherwise.
//!
//! Every parser takes what it understands and leaves the rest: a line that is no figure is no error, so that a newer kernel or
//! exporter never breaks an older sidecar.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::process::Quota;

/// Lines of a page that are looked at, at most: a page of node_exporter has about a thousand.
pub(crate) const LINES_MOST: usize = 100_000;

/// Figures of the machine under one endpoint, as that endpoint uses it; `None` where they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostFigures {
    /// Memory that programs could still get, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// Memory of the machine, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Load average of the last minute.
    pub load1: Option<f64>,
    /// Share of the last ten seconds in which some task waited for memory, in percent.
    pub memory_pressure_percent: Option<f64>,
    /// The same for disks.
    pub io_pressure_percent: Option<f64>,
    /// Room on the fullest writable disk, in bytes.
    pub disk_available_bytes: Option<u64>,
    /// The disk that the store writes to.
    pub disk: Option<Disk>,
    /// The limit on the store's CPU, when there is one.
    pub cpu_quota: Option<Quota>,
    /// Time for which the store's process was ready to run and did not. Only grows.
    pub cpu_waited: Option<Duration>,
    /// Time for which the store's process was stopped by a signal, since it is watched; by samples. Only grows.
    pub cpu_stopped: Option<Duration>,
    /// Which machine: endpoints that name the same one share its memory.
    pub machine: Option<u64>,
}

/// A file system, and how full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// In use, in bytes.
    pub used_bytes: u64,
    /// What it holds at most: in use, and what programs could still get.
    pub size_bytes: u64,
    /// Which one: whoever names the same one shares its room.
    pub device: u64,
}

/// A name for something that the page at `url` tells of, unlike those of this machine.
#[must_use]
pub fn elsewhere(url: &str, what: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (url, what).hash(&mut hasher);
    hasher.finish()
}

/// The file system that `directory` is on. Blocks for as long as the file system takes, which may be long over a network.
#[must_use]
pub fn disk(directory: &Path) -> Option<Disk> {
    let (room, about) = (rustix::fs::statvfs(directory).ok()?, std::fs::metadata(directory).ok()?);
    let used = room.f_blocks.checked_sub(room.f_bfree)?.checked_mul(room.f_frsize)?;
    let size = used.checked_add(room.f_bavail.checked_mul(room.f_frsize)?)?;
    Some(Disk { used_bytes: used, size_bytes: size, device: about.dev() })
}

/// The figures of this machine, from the proc file system at `root` (`/proc`). Files that are not there leave figures
/// unknown. Blocks for as long as reading four small files takes.
#[must_use]
pub fn local(root: &Path) -> HostFigures {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    HostFigures {
        load1: parse_loadavg(&read("loadavg")),
        memory_pressure_percent: parse_pressure(&read("pressure/memory")),
        io_pressure_percent: parse_pressure(&read("pressure/io")),
        ..parse_meminfo(&read("meminfo"))
    }
}

/// Reads `/proc/meminfo` (proc(5)).
#[must_use]
pub fn parse_meminfo(text: &str) -> HostFigures {
    let mut figures = HostFigures::default();
    for line in text.lines().take(LINES_MOST) {
        let mut words = line.split_ascii_whitespace();
        let slot = match words.next() {
            Some("MemAvailable:") => &mut figures.memory_available_bytes,
            Some("MemTotal:") => &mut figures.memory_total_bytes,
            _ => continue,
        };
        let kib = words.next().and_then(|number| number.parse::<u64>().ok());
        *slot = kib.and_then(|kib| kib.checked_mul(1024)).or(*slot);
    }
    figures
}

/// Reads the load of the last minute from `/proc/loadavg` (proc(5)).
#[must_use]
pub fn parse_loadavg(text: &str) -> Option<f64> {
    number(text.split_ascii_whitespace().next()?)
}

/// Reads the share of the last ten seconds, in percent, from a file of `/proc/pressure` (kernel documentation,
/// accounting/psi): the line `some avg10=...`.
#[must_use]
pub fn parse_pressure(text: &str) -> Option<f64> {
    let line = text.lines().take(LINES_MOST).find_map(|line| line.strip_prefix("some "))?;
    number(line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?)
}

/// Reads a page of node_exporter (Prometheus text format 0.0.4). Disks that are read-only, in memory or boot partitions do
/// not count.
#[must_use]
pub fn parse_node_exporter(text: &str) -> HostFigures {
    let mut figures = HostFigures::default();
    for line in text.lines().take(LINES_MOST) {
        let Some((name, labels, value)) = sample(line) else { continue };
        match name {
            "node_memory_MemAvailable_bytes" => figures.memory_available_bytes = Some(bytes(value)),
            "node_memory_MemTotal_bytes" => figures.memory_total_bytes = Some(bytes(value)),
            "node_load1" => figures.load1 = Some(value),
            "node_filesystem_avail_bytes" if holds_data(labels) => {
                let fullest = figures.disk_available_bytes.into_iter().chain([bytes(value)]).min();
                figures.disk_available_bytes = fullest;
            }
            _ => {}
        }
    }
    figures
}

/// The file system that `directory` is on, from the page of the node_exporter at `url`: the one with the longest mount point
/// above it.
#[must_use]
pub fn disk_of_exporter(text: &str, url: &str, directory: &Path) -> Option<Disk> {
    let mut found: HashMap<&str, [Option<u64>; 3]> = HashMap::new();
    for line in text.lines().take(LINES_MOST) {
        let Some((name, labels, value)) = sample(line) else { continue };
        let place = match name {
            "node_filesystem_size_bytes" => 0,
            "node_filesystem_free_bytes" => 1,
            "node_filesystem_avail_bytes" => 2,
            _ => continue,
        };
        if let Some(at) = label(labels, "mountpoint").filter(|at| directory.starts_with(at)) {
            found.entry(at).or_default()[place] = Some(bytes(value));
        }
    }
    let (at, [size, free, available]) = found.into_iter().max_by_key(|(at, _)| at.len())?;
    let used = size?.checked_sub(free.or(available)?)?;
    Some(Disk { used_bytes: used, size_bytes: used.checked_add(available?)?, device: elsewhere(url, at) })
}

/// Name, text between the braces, and value of one line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (name, rest) = line.split_at(line.find(['{', ' ', '\t'])?);
    // A label's value may hold a brace, so the last one of the line closes: values hold none.
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest),
    };
    Some((name, labels, number(rest.split_ascii_whitespace().next()?)?))
}

/// A finite number that is not negative.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of a page is finite and not negative; saturates"
)]
const fn bytes(value: f64) -> u64 {
    value as u64
}

fn holds_data(labels: &str) -> bool {
    const NOT_DISKS: [&str; 7] =
        ["tmpfs", "ramfs", "devtmpfs", "squashfs", "iso9660", "rootfs", "fuse.lxcfs"];
    !label(labels, "fstype").is_some_and(|kind| NOT_DISKS.contains(&kind))
        && !label(labels, "mountpoint").is_some_and(|at| at.starts_with("/boot") || at.starts_with("/run"))
}

/// The value of one label. A quote in it ends it, which no name of a file system holds.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
    labels.get(start..)?.split('"').next()
}

#[cfg(test)]
mod tests;
