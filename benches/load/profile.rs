//! Where our CPU goes, line by line: samples of perf, sorted by system call and by crate.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use crate::cells::Cell;
use crate::closed;
use crate::process::version;
use crate::stage::Target;
use crate::table::table;

/// Samples per second; a prime, so that nothing periodic hides from it.
const RATE: &str = "1999";
/// The names of data threads begin so.
const DATA_THREAD: &str = "data-";

/// Lines of the budget. Time in the kernel counts to the call that led there, time outside of it to the crate of the function.
/// What the compiler has put into a function of another crate counts there.
const CALLS: [(&str, &[&str]); 3] =
    [("kernel: send", &["send"]), ("kernel: recv", &["recv"]), ("kernel: epoll_wait", &["epoll_wait"])];
const CRATES: [(&str, &[&str]); 6] = [
    ("the clock", &["clock_gettime", "[vdso]"]),
    ("memory: allocated, freed, copied", &["malloc", "free", "alloc", "memmove", "memcpy", "bytes"]),
    ("Redis: requests and replies", &["foretoken_protocol_redis"]),
    ("the stack and the session", &["foretoken_outbound", "foretoken_stack", "foretoken_protocol", "tower"]),
    ("counting", &["foretoken_types", "metrics"]),
    ("the runtime", &["tokio", "mio", "core", "std"]),
];
const OTHER_CALLS: &str = "kernel: other";
const OTHER: &str = "other functions";
const OTHER_THREADS: &str = "other threads: control loop, risk, admin";

/// A table with the microseconds per request of each line, for each cell.
pub(crate) fn budget(
    cells: &[&Cell],
    target: &Target,
    requests: impl Fn(&Cell) -> usize,
) -> Result<String, String> {
    version("perf", "--version").ok_or("perf is not installed (apt-get install linux-perf)")?;
    let mut head = vec![target.name.to_owned()];
    let mut columns = Vec::new();
    for cell in cells {
        head.push(format!("{}, us/request", cell.name()));
        columns.push(sample(cell, target, requests(cell))?);
    }
    let names = CALLS.map(|call| call.0).into_iter().chain([OTHER_CALLS]);
    let names = names.chain(CRATES.map(|part| part.0)).chain([OTHER, OTHER_THREADS]);
    let rows = names.map(|name| {
        let figure =
            |column: &BTreeMap<&str, f64>| format!("{:.3}", column.get(name).copied().unwrap_or(0.0));
        std::iter::once(name.to_owned()).chain(columns.iter().map(figure)).collect()
    });
    let sum = std::iter::once("all".to_owned())
        .chain(columns.iter().map(|column| format!("{:.3}", column.values().sum::<f64>())));
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).chain([sum.collect()]).collect();
    Ok(table(&rows))
}

/// Microseconds per request of each line.
fn sample(cell: &Cell, target: &Target, requests: usize) -> Result<BTreeMap<&'static str, f64>, String> {
    closed::seed(cell, target)?;
    let failed = |error: std::io::Error| format!("perf of {}: {error}", target.name);
    let data = NamedTempFile::new().map_err(failed)?;
    let mut perf = Command::new("perf")
        .args(["record", "--quiet", "-g", "-F", RATE, "-p", &target.process.to_string(), "-o"])
        .arg(data.path())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let ran = closed::measure(cell, target, requests);
    let id =
        i32::try_from(perf.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or("perf has no number")?;
    rustix::process::kill_process(id, rustix::process::Signal::INT).map_err(|error| failed(error.into()))?;
    perf.wait().map_err(failed)?;
    let cpu_us = ran?.proxy_us;
    let script = Command::new("perf").args(["script", "-i"]).arg(data.path()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&script.stdout);
    let mut lines = BTreeMap::new();
    let mut samples = 0.0;
    for stack in text.split("\n\n").filter(|stack| !stack.trim().is_empty()) {
        *lines.entry(line(stack)).or_insert(0.0) += 1.0;
        samples += 1.0;
    }
    if samples == 0.0 {
        return Err(format!("perf saw nothing: {}", String::from_utf8_lossy(&script.stderr)));
    }
    Ok(lines.into_iter().map(|(line, count)| (line, count / samples * cpu_us)).collect())
}

/// The line that a sample counts to: the name of its thread, then its functions, the innermost first.
fn line(stack: &str) -> &'static str {
    let mut frames = stack.trim().lines();
    let thread = frames.next().unwrap_or_default();
    if !thread.trim_start().starts_with(DATA_THREAD) {
        return OTHER_THREADS;
    }
    let is_kernel = |frame: &&str| frame.contains("[kernel");
    let in_kernel = frames.clone().next().is_some_and(|frame| is_kernel(&frame));
    let outside = frames.find(|frame| !is_kernel(frame)).unwrap_or_default();
    let of = |parts: &[(&'static str, &[&str])]| {
        parts.iter().find(|part| part.1.iter().any(|name| outside.contains(name))).map(|part| part.0)
    };
    if in_kernel { of(&CALLS).unwrap_or(OTHER_CALLS) } else { of(&CRATES).unwrap_or(OTHER) }
}
