//! System calls of a target, counted by strace in a run of their own: they are slow when they are counted.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::time::Instant;

use crate::cells::Cell;
use crate::closed;
use crate::process::is_traced;
use crate::stage::Target;

const ATTACHED_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Calls per request of a target.
pub(crate) fn measure(cell: &Cell, target: &Target, requests: usize) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("strace of {}: {error}", target.name);
    let summary = NamedTempFile::new().map_err(failed)?;
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-p", &target.process.to_string(), "-o"])
        .arg(summary.path())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let ran = attached(target).and_then(|()| closed::measure(cell, target, requests));
    // It writes the summary when it is interrupted.
    let strace_id = i32::try_from(strace.id()).ok().and_then(rustix::process::Pid::from_raw);
    let interrupted = strace_id.map(|id| rustix::process::kill_process(id, rustix::process::Signal::INT));
    strace.wait().map_err(failed)?;
    ran?;
    interrupted.ok_or("strace has no number")?.map_err(|error| failed(error.into()))?;
    // "100.00    0.123456           5     12345        12 total": the fourth column is what was called.
    let text = std::fs::read_to_string(summary.path()).map_err(failed)?;
    let total = text.lines().find(|line| line.ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok());
    calls
        .map(|calls| calls / requests as f64)
        .ok_or_else(|| format!("strace of {} said {text:?}", target.name))
}

fn attached(target: &Target) -> Result<(), String> {
    let deadline = Instant::now() + ATTACHED_MAX;
    while !is_traced(target.process)? {
        if Instant::now() > deadline {
            return Err(format!("strace can't trace {}", target.name));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
