//! The machine under a store: from `/proc` when it is this one, from a node_exporter page otherwise.
//!
//! Every parser takes what it understands and leaves the rest: a line that is no figure is no error, so that a newer kernel or
//! exporter never breaks an older sidecar.

use std::path::Path;

/// Lines of a page that are looked at, at most: a page of node_exporter has about a thousand.
const LINES_MOST: usize = 100_000;

/// Figures of one machine; `None` where they are not known.
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
}

impl HostFigures {
    /// These figures, and where they know nothing those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory_available_bytes: self.memory_available_bytes.or(other.memory_available_bytes),
            memory_total_bytes: self.memory_total_bytes.or(other.memory_total_bytes),
            load1: self.load1.or(other.load1),
            memory_pressure_percent: self.memory_pressure_percent.or(other.memory_pressure_percent),
            io_pressure_percent: self.io_pressure_percent.or(other.io_pressure_percent),
            disk_available_bytes: self.disk_available_bytes.or(other.disk_available_bytes),
        }
    }
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
            "node_memory_MemAvailable_bytes" => figures.memory_available_bytes = bytes(value),
            "node_memory_MemTotal_bytes" => figures.memory_total_bytes = bytes(value),
            "node_load1" => figures.load1 = Some(value),
            "node_filesystem_avail_bytes" if holds_data(labels) => {
                let fullest = figures.disk_available_bytes.into_iter().chain(bytes(value)).min();
                figures.disk_available_bytes = fullest;
            }
            _ => {}
        }
    }
    figures
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
    reason = "finite and not negative; saturates"
)]
fn bytes(value: f64) -> Option<u64> {
    (value.is_finite() && value >= 0.0).then_some(value as u64)
}

fn holds_data(labels: &str) -> bool {
    const NOT_DISKS: [&str; 7] =
        ["tmpfs", "ramfs", "devtmpfs", "squashfs", "iso9660", "rootfs", "fuse.lxcfs"];
    let label = |name: &str| {
        let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
        labels.get(start..)?.split('"').next()
    };
    !label("fstype").is_some_and(|kind| NOT_DISKS.contains(&kind))
        && !label("mountpoint").is_some_and(|at| at.starts_with("/boot") || at.starts_with("/run"))
}

#[cfg(test)]
mod tests;
