//! Where a server lives on its machine.

use std::path::PathBuf;
use std::time::Duration;

/// What a server says of its own process, to find it on the machine, and of where it keeps its data.
///
/// It is only a claim: the process may be in another container or on another machine than its address suggests, and a number
/// of a process says nothing by itself. Whoever uses it compares the rest (`foretoken-health`, `process`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Number of its process, as it sees it.
    pub process: Option<u32>,
    /// File name of its program, without the directory.
    pub program: Option<String>,
    /// Time since it started, in whole seconds.
    pub uptime: Option<Duration>,
    /// CPU time of all its threads since it started.
    pub cpu_time: Option<Duration>,
    /// Directory that it writes to, as it sees it.
    pub directory: Option<PathBuf>,
}
