//! What the figures were measured on, and with what.
#![allow(dead_code, reason = "several benches use a part each")]

use std::path::Path;
use std::process::Command;

/// Date, commit, and the machine.
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) description: String,
    /// Version of redis-server.
    pub(crate) redis: String,
}

pub(crate) fn describe(program: &Path) -> Machine {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let redis = says("redis-server", &["--version"]);
    // "Redis server v=7.0.15 sha=...": the rest says how it was built.
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    // Cargo builds a profile into a directory of its name, and `dev` into `debug`.
    let profile = match program.parent().and_then(Path::file_name).and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => "unknown",
    };
    let description =
        format!("{cores} cores, {model}, Linux {}, load {load} before; profile {profile}", kernel.trim());
    Machine {
        date: says("date", &["-u", "+%F %T UTC"]),
        commit: says(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "describe",
                "--always",
                "--exclude=*",
                "--abbrev=12",
                "--dirty=+changes",
            ],
        ),
        description,
        redis,
    }
}

/// What a program prints, "unknown" when it can't tell.
fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
