//! A running sidecar, asked by the program itself.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::{config, err, foretoken, out, program, status};
use crate::support::servers::RedisServer;

const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const LOG: [&str; 2] = ["--appendonly", "yes"];

/// `foretoken run`, ended with its owner.
pub(super) struct Sidecar {
    child: Child,
    file: String,
}

impl Sidecar {
    pub(super) fn start(file: String) -> Self {
        Self::start_by(program(&["run", "--config", &file]), file)
    }

    /// Starts it by `command`, which runs the program with `file`.
    pub(super) fn start_by(mut command: Command, file: String) -> Self {
        let log = std::fs::File::create(format!("{file}.log")).expect("a directory of ours");
        let child =
            command.stdout(log.try_clone().expect("it is open")).stderr(log).spawn().expect("it was built");
        Self { child, file }
    }

    /// Lines of its log with `part` in them.
    pub(super) fn logged(&self, part: &str) -> Vec<String> {
        let log = std::fs::read_to_string(format!("{}.log", self.file)).expect("it was begun");
        log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Its number.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its memory that is in RAM.
    fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Asks until the answer satisfies `is`.
    pub(super) fn wait(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = foretoken(&["status", "--json", "--config", &self.file]);
            let stores = match status(&output) {
                Some(0) => serde_json::from_slice::<Value>(&output.stdout).expect("status --json is JSON"),
                other => {
                    // Only the time before it listens.
                    assert_eq!(other, Some(69), "{}", err(&output));
                    Value::Null
                }
            };
            if is(&stores) {
                return stores;
            }
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the sidecar has ended: {ended:?}");
            assert!(Instant::now() < deadline, "{what}: {stores:#}");
        }
    }

    /// Sends it SIGTERM, and tells how it ended.
    fn end(self) -> Option<i32> {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|sent| sent.success()));
        self.ended()
    }

    /// Waits until it has ended by itself, and tells how.
    fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(ended) = self.child.try_wait().expect("a child of ours") {
                return ended.code();
            }
            std::thread::yield_now();
        }
        panic!("it does not end");
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn two(dir: &Path) -> (Sidecar, [RedisServer; 2]) {
    let servers = [RedisServer::start(&LOG), RedisServer::start(&LOG)];
    let mut sidecar = Sidecar::start(config(dir, &[servers[0].port, servers[1].port], ""));
    sidecar.wait("both servers are whole", |stores| stores[0]["automatic_failover"] == true);
    (sidecar, servers)
}

#[test]
fn status_is_there_for_people_and_for_programs() {
    let dir = TempDir::new().expect("a directory");
    let (mut sidecar, _servers) = two(dir.path());
    let stores = sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    assert_eq!(stores.as_array().map(Vec::len), Some(1), "{stores:#}");
    let store = &stores[0];
    assert_eq!((&store["store"], &store["primary"]), (&Value::from("cart"), &Value::from("a")), "{store:#}");
    assert_eq!(store["authority"]["role"], "owner", "{store:#}");
    let names: Vec<_> = store["endpoints"].as_array().into_iter().flatten().map(|at| &at["name"]).collect();
    assert_eq!(names, ["a", "b"]);

    let output = foretoken(&["status", "--config", &sidecar.file]);
    assert_eq!(status(&output), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.starts_with("store cart\n") && text.contains("automatic"), "{text}");
    // The same, named by its socket.
    let socket = dir.path().join("state/admin.sock").display().to_string();
    assert_eq!(status(&foretoken(&["status", "--admin", &socket])), Some(0));
    // As one types it in the directory of the first try.
    for (socket, from) in [("state/admin.sock", "."), ("./admin.sock", "state"), ("unix:admin.sock", "state")]
    {
        let output = program(&["status", "--admin", socket]).current_dir(dir.path().join(from)).output();
        let output = output.expect("it was built");
        assert_eq!(status(&output), Some(0), "{socket}: {}", err(&output));
    }
    assert_eq!(sidecar.end(), Some(0), "SIGTERM is no failure");
    assert_eq!(status(&foretoken(&["status", "--admin", &socket])), Some(69), "it is gone");
}

#[test]
fn a_switchover_tells_by_its_status_what_became_of_it() {
    let dir = TempDir::new().expect("a directory");
    let (mut sidecar, _servers) = two(dir.path());
    let file = sidecar.file.clone();
    let ask = |more: &[&str]| foretoken(&[&["switchover"], more, &["--config", &file]].concat());
    let json = |output: &std::process::Output| {
        serde_json::from_slice::<Value>(&output.stdout).expect("switchover --json is JSON")
    };

    let dry = ask(&["cart", "--dry-run", "--json"]);
    assert_eq!(status(&dry), Some(0), "{}{}", out(&dry), err(&dry));
    assert_eq!((&json(&dry)["dry_run"], &json(&dry)["outcome"]), (&Value::from(true), &Value::from("done")));
    let unchanged = sidecar.wait("it answers", Value::is_array);
    assert_eq!(unchanged[0]["primary"], "a", "a dry run changes nothing");
    let told = sidecar.logged("dry run of a switchover ended");
    assert!(told.len() == 1 && told[0].contains("outcome=\"possible\""), "{told:?}");
    assert_eq!(sidecar.logged("change of primary ended"), [""; 0], "nothing was changed");

    for (arguments, code) in [
        (&["nosuch"][..], 64),
        (&["cart", "--to", "nosuch"], 64),
        // It is the primary already.
        (&["cart", "--to", "a"], 75),
    ] {
        let refused = ask(arguments);
        assert_eq!(status(&refused), Some(code), "{arguments:?}: {}{}", out(&refused), err(&refused));
    }

    let done = ask(&["cart", "--to", "b"]);
    assert_eq!(status(&done), Some(0), "{}{}", out(&done), err(&done));
    sidecar.wait("b is the primary", |stores| stores[0]["primary"] == "b" && stores[0]["ready"] == true);

    // What is refused or only checked stands beside the last change, and does not replace it.
    assert_eq!(status(&ask(&["cart", "--to", "b"])), Some(75));
    ask(&["cart", "--dry-run"]);
    let stores = sidecar.wait("the refusal is shown", |stores| !stores[0]["last_attempt"].is_null());
    let told = |what: &str| ["outcome", "from", "to"].map(|part| stores[0][what][part].clone());
    assert_eq!(told("last_switchover"), ["done", "a", "b"], "{stores:#}");
    assert_eq!(told("last_attempt")[0], "refused", "{stores:#}");
    let text = out(&foretoken(&["status", "--config", &file]));
    assert!(text.contains("  last change   switchover a -> b done, writes held "), "{text}");
    assert!(text.contains("b is the primary already"), "{text}");
}

#[test]
fn a_store_without_a_mirror_has_nowhere_to_go() {
    let dir = TempDir::new().expect("a directory");
    let server = RedisServer::start(&LOG);
    let mut sidecar = Sidecar::start(config(dir.path(), &[server.port], ""));
    sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    let refused = foretoken(&["switchover", "cart", "--config", &sidecar.file]);
    assert_eq!(status(&refused), Some(75), "{}{}", out(&refused), err(&refused));
}

#[test]
fn a_sidecar_that_can_not_listen_says_why_with_status_1() {
    let dir = TempDir::new().expect("a directory");
    let (server, other) = (RedisServer::start(&LOG), RedisServer::start(&LOG));
    let state = dir.path().join("state").display().to_string();
    // A port that is certainly taken.
    let (listen, primary) = (format!("127.0.0.1:{}", other.port), server.url());
    let output = foretoken(&["run", "--listen", &listen, "--primary", &primary, "--state-dir", &state]);
    assert_eq!(status(&output), Some(1), "{}", err(&output));
    assert!(err(&output).contains(&listen) && err(&output).contains("in use"), "{}", err(&output));
}

/// What a container that shares the socket's directory can send with any HTTP client.
pub(super) fn http(socket: &Path, what: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let head =
        format!("{what} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers before it ends");
    answer
}

#[test]
fn a_job_that_is_done_ends_its_sidecar_over_the_socket() {
    let dir = TempDir::new().expect("a directory");
    let (mut sidecar, servers) = two(dir.path());
    sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    // A connection with nothing under way, as a job's pool keeps them: it must not hold the end up.
    let mut idle = UnixStream::connect(dir.path().join("redis.sock")).expect("it listens");
    idle.write_all(b"*1\r\n$4\r\nPING\r\n").expect("it reads");
    let mut pong = [0; 7];
    idle.read_exact(&mut pong).expect("it answers");
    assert_eq!(&pong, b"+PONG\r\n");

    let answer = http(&dir.path().join("state/admin.sock"), "POST /v1/exit");
    assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("draining"), "{answer}");
    assert_eq!(sidecar.ended(), Some(0), "a Job counts any other status as a failure");
    assert_eq!(idle.read(&mut pong).ok(), Some(0), "its clients hear that it is gone");
    // As after SIGTERM the store is let go of: a sidecar of another identity need not wait for the 10 s that an owner
    // record lives without its owner.
    let begun = Instant::now();
    let other = TempDir::new().expect("a directory");
    let mut next = Sidecar::start(config(other.path(), &[servers[0].port, servers[1].port], ""));
    next.wait("the next one is in charge", |stores| stores[0]["authority"]["role"] == "owner");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_health_check_needs_no_other_program() {
    let dir = TempDir::new().expect("a directory");
    let (port, _held) = super::dead_port();
    let mut sidecar = Sidecar::start(config(dir.path(), &[port], ""));
    sidecar.wait("it answers", Value::is_array);
    let down = foretoken(&["status", "--ready", "--config", &sidecar.file]);
    assert_eq!(status(&down), Some(1), "{}", err(&down));
    assert!(out(&down).contains("store cart is not served"), "{}", out(&down));
    drop(sidecar);

    let (mut sidecar, _servers) = two(dir.path());
    sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    let ready = foretoken(&["status", "--ready", "--config", &sidecar.file]);
    assert_eq!((status(&ready), out(&ready).as_str()), (Some(0), "ready\n"));
}

#[test]
fn a_secret_that_is_missing_is_made_as_the_reference_says() {
    let dir = TempDir::new().expect("a directory");
    let (port, _held) = super::dead_port();
    let file = config(dir.path(), &[port], "");
    let text = std::fs::read_to_string(&file).expect("was written");
    let admin = "[admin]\nlisten = \"0.0.0.0:0\"\nbearer_file = \"bearer\"\n";
    std::fs::write(&file, format!("{admin}{text}")).expect("a directory of ours");
    let mut sidecar = Sidecar::start(file);
    sidecar.wait("it answers", Value::is_array);
    let made = std::fs::metadata(dir.path().join("bearer")).expect("it was made");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_million_requests_leave_nothing_in_memory() {
    const IN_ONE_GO: usize = 4000;
    let dir = TempDir::new().expect("a directory");
    let server = RedisServer::start(&LOG);
    let mut sidecar = Sidecar::start(config(dir.path(), &[server.port], ""));
    sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    let mut client = UnixStream::connect(dir.path().join("redis.sock")).expect("it listens");
    let requests = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(IN_ONE_GO);
    let mut replies = vec![0; b"$-1\r\n".len() * IN_ONE_GO];
    let mut ask = |times: usize| {
        for _ in 0..times {
            client.write_all(&requests).expect("is taken");
            client.read_exact(&mut replies).expect("is answered");
            assert!(replies.starts_with(b"$-1\r\n"), "{}", replies[..20].escape_ascii());
        }
    };
    ask(10);
    let before = sidecar.resident_kib();
    ask(250);
    let grown = sidecar.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "a million requests took {grown} KiB");
}
