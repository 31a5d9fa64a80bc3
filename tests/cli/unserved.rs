//! A store that can't be served: the log and the status say why and what to do, once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::running::{Sidecar, http};
use super::{config, dead_port, foretoken, out, status};
use crate::support::servers::RedisServer;

const PATIENCE: Duration = Duration::from_secs(30);
const LOG: [&str; 2] = ["--appendonly", "yes"];
const LOCKED: [&str; 4] = ["--appendonly", "yes", "--requirepass", "right"];

/// Waits until the log has a line with `part`, and returns all of them.
pub(super) fn logged(sidecar: &Sidecar, part: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = sidecar.logged(part);
        if !lines.is_empty() {
            return lines;
        }
        assert!(Instant::now() < deadline, "{part:?} is not in {:#?}", sidecar.logged(""));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until each endpoint was looked at that often.
fn looked(dir: &Path, looks: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = http(&dir.join("state/admin.sock"), "GET /metrics");
        let of_probes = metrics.lines().filter(|line| line.starts_with("foretoken_health_probes_total{"));
        let counts: Vec<u64> = of_probes.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        if !counts.is_empty() && counts.iter().all(|count| *count >= looks) {
            return;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn reason(stores: &Value) -> &str {
    stores[0]["reason"].as_str().unwrap_or_default()
}

#[test]
fn credentials_that_are_missing_or_wrong_are_told_with_what_to_do_and_logged_once() {
    let control = "[store.control]\npassword_file = \"redis.password\"\n";
    for (more, words) in [
        ("", "NOAUTH Authentication required: the server asks for a password and none is configured"),
        (control, "the configured user or password is wrong"),
    ] {
        let (dir, server) = (TempDir::new().expect("a directory"), RedisServer::start(&LOCKED));
        let password = dir.path().join("redis.password");
        std::fs::write(&password, "left\n").expect("a directory of ours");
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
        let file = config(dir.path(), &[server.port], more);
        let mut sidecar = Sidecar::start(file.clone());
        let stores = sidecar.wait("the reason", |stores| reason(stores).contains(words));
        assert!(reason(&stores).contains("[store.control]"), "{stores:#}");
        let endpoint = &stores[0]["endpoints"][0];
        assert_eq!(endpoint["health"], "unknown", "it answers, and does not say how it is");
        assert!(endpoint["evidence"].as_str().is_some_and(|why| why.contains(words)), "{endpoint:#}");
        let text = out(&foretoken(&["status", "--config", &file]));
        assert!(text.contains("a can't be looked at: ") && text.contains(words), "{text}");

        let unserved = logged(&sidecar, "the store is not served");
        assert!(unserved[0].contains(words) && unserved[0].contains("foretoken check"), "{unserved:?}");
        // Longer than any line is kept from being repeated.
        looked(dir.path(), 30);
        for line in ["an endpoint can't be looked at", "the store is not served"] {
            assert_eq!(sidecar.logged(line).len(), 1, "{:#?}", sidecar.logged(""));
        }
        assert_eq!(sidecar.logged("verdict=Up"), [""; 0], "nothing speaks for it");

        let url = format!("redis://:right@127.0.0.1:{}", server.port);
        let mut known = redis::Client::open(url).expect("a URL").get_connection().expect("it runs");
        let set = |known: &mut redis::Connection, to: &str| {
            let () = redis::cmd("CONFIG").arg(&["SET", "requirepass", to]).query(known).expect("is set");
        };
        set(&mut known, if more.is_empty() { "" } else { "left" });
        sidecar.wait("it serves", |stores| {
            stores[0]["ready"] == true && stores[0]["endpoints"][0]["health"] == "up"
        });
        assert_eq!(logged(&sidecar, "the store is served").len(), 1);
        assert_eq!(logged(&sidecar, "the endpoint can be looked at again").len(), 1);
    }
}

#[test]
fn servers_that_are_not_there_are_told_by_name_and_never_as_up() {
    let dir = TempDir::new().expect("a directory");
    let ((a, _a), (b, _b)) = (dead_port(), dead_port());
    let sidecar = Sidecar::start(config(dir.path(), &[a, b], ""));
    let told = logged(&sidecar, "the store is not served");
    for part in ["no endpoint that answers is a primary", "; a: ", "; b: ", "nobody listens there"] {
        assert!(told[0].contains(part), "{part:?} is not in {told:?}");
    }
    assert_eq!(logged(&sidecar, "verdict=Down").len(), 2);
    assert_eq!(sidecar.logged("verdict=Up"), [""; 0], "they never ran");
}

#[test]
fn two_primaries_are_told_at_the_start_again_when_the_reason_changes_and_when_they_are_none() {
    let dir = TempDir::new().expect("a directory");
    let (mut a, mut b) = (RedisServer::start(&LOG), RedisServer::start(&LOG));
    for server in [&a, &b] {
        let () = redis::cmd("SET").arg("mine").arg(1).query(&mut server.connection()).expect("writes");
    }
    let file = config(dir.path(), &[a.port, b.port], "");
    // What a sidecar would wait for is told before one runs.
    let checked = foretoken(&["check", "--config", &file]);
    assert_eq!(status(&checked), Some(1), "{}", out(&checked));
    let mut sidecar = Sidecar::start(file);
    let told = logged(&sidecar, "the store is not served");
    let reason = "a and b are primaries and nothing tells whose data counts: correct `role` or --primary if it names the wrong \
                  one, and make all but one mirrors of it (REPLICAOF), or empty them (FLUSHALL)";
    assert!(told[0].contains(reason), "{told:?}");
    assert!(
        out(&checked).contains(&format!("- {reason} (a has 1 key(s), b has 1 key(s))")),
        "{}",
        out(&checked)
    );
    a.kill();
    let told = logged(&sidecar, "b is a primary but not the configured one");
    assert!(told[0].contains("the store is not served") && told[0].contains("; a: "), "{told:?}");
    assert_eq!(sidecar.logged("the store is served"), [""; 0]);
    b.kill();
    drop(sidecar);

    let (a, b) = (RedisServer::start(&LOG), RedisServer::start(&LOG));
    for server in [&a, &b] {
        let () = redis::cmd("SET").arg("mine").arg(1).query(&mut server.connection()).expect("writes");
    }
    let dir = TempDir::new().expect("a directory");
    sidecar = Sidecar::start(config(dir.path(), &[a.port, b.port], ""));
    logged(&sidecar, "the store is not served");
    let of = ["127.0.0.1".to_owned(), a.port.to_string()];
    let () = redis::cmd("REPLICAOF").arg(&of).query(&mut b.connection()).expect("obeys");
    sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    assert_eq!(logged(&sidecar, "the store is served").len(), 1);
}
