//! How many files the sidecar may have open is the system's word, and each connection is one.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::config;
use super::running::{LOG, Sidecar};
use crate::support::servers::RedisServer;

/// A sidecar that a shell has started after `ulimit`.
fn under(ulimit: &str, file: String) -> Sidecar {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {ulimit} && exec \"$0\" run --config \"$1\"")]);
    shell.args([env!("CARGO_BIN_EXE_foretoken"), &file]);
    Sidecar::start_by(shell, file)
}

/// What is in force for the process: the soft limit and the hard one.
fn limits(process: u32) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.expect("Linux tells it").split_whitespace().map(str::to_owned);
    [words.next().expect("the soft limit"), words.next().expect("the hard limit")]
}

fn is_ready(stores: &Value) -> bool {
    stores[0]["ready"] == true
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let dir = TempDir::new().expect("a directory");
    let server = RedisServer::start(&LOG);
    let file = config(dir.path(), &[server.port], "");
    let mut sidecar = under("-Sn 256", file);
    sidecar.wait("it serves", is_ready);
    let [soft, hard] = limits(sidecar.process());
    let ours = limits(std::process::id());
    assert_eq!(hard, ours[1], "the hard limit is nobody's to raise");
    assert_eq!(soft, hard, "it began with 256");
}
