//! Processes that are measured: what they use, by what the kernel says.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::address::Address;

/// What a process prints, in its directory, and how much of it is shown when it does not start.
const LOG: &str = "log";
const LAST_WORDS: usize = 10;
const READY_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A process in a directory of its own; both go with it.
pub(crate) struct Process {
    child: Child,
    home: TempDir,
}

impl Process {
    pub(crate) fn start(home: TempDir, command: &mut Command) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        let failed = |error: std::io::Error| format!("start {program}: {error}");
        let log = File::create(home.path().join(LOG)).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(failed)?;
        Ok(Self { child, home })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a command passes all the way.
    pub(crate) fn answers(&mut self, name: &str, address: &Address) -> Result<(), String> {
        let deadline = Instant::now() + READY_MAX;
        while !address.answers()? {
            let ended = self.child.try_wait().map_err(|error| format!("{name}: {error}"))?;
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(self.home.path().join(LOG)).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n");
                return Err(format!("{name} does not answer ({ended:?}); its last words:\n{last}"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// User and system time of a process so far, in microseconds, by ticks of 10 ms (`proc(5)`, fields 14 and 15 of `stat`).
pub(crate) fn cpu_us(process: u32) -> Result<u64, String> {
    let stat = read(process, "stat")?;
    // The name in front of the third field may have spaces in it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
    ticks.map(|ticks| ticks * 10_000).ok_or_else(|| format!("process {process} has odd times: {stat}"))
}

/// Memory of a process that is in RAM, in KiB.
pub(crate) fn rss_kib(process: u32) -> Result<u64, String> {
    status(process, "VmRSS:")?.parse().map_err(|error| format!("process {process}: VmRSS: {error}"))
}

/// Whether all threads of a process are traced.
pub(crate) fn is_traced(process: u32) -> Result<bool, String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
    for thread in threads {
        let thread = thread.map_err(|error| error.to_string())?.file_name();
        let thread = thread.to_string_lossy().parse().map_err(|_| "an odd thread".to_owned())?;
        if status(thread, "TracerPid:")? == "0" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first word of a line of `status`.
fn status(process: u32, key: &str) -> Result<String, String> {
    let text = read(process, "status")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    value.map(str::to_owned).ok_or_else(|| format!("process {process} has no {key}"))
}

fn read(process: u32, file: &str) -> Result<String, String> {
    let path = Path::new("/proc").join(process.to_string()).join(file);
    std::fs::read_to_string(&path).map_err(|error| format!("{} (has it ended?): {error}", path.display()))
}

/// The first line that a program says about itself. `None`: it is not installed.
pub(crate) fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
