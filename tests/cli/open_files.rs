//! How many files the sidecar may have open is the system's word, and each connection is one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::running::{LOG, Sidecar};
use super::unserved::logged;
use super::{config, foretoken, out};
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

/// From now on the process may open `files` files; returns how many it might.
fn allow(process: u32, files: Option<u64>) -> Option<u64> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = prlimit(Some(process), Resource::Nofile, Rlimit { current: files, maximum });
    before.expect("it is ours").current
}

/// Closes every connection to the server but those of its mirrors.
fn close_connections(server: &RedisServer) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    stream.write_all(b"CLIENT KILL TYPE normal\r\n").expect("it reads");
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b":", "how many there were");
}

#[test]
fn a_sidecar_that_may_open_no_more_files_blames_no_server() {
    // A server that does not answer is down after 1.3 s.
    const LONG_ENOUGH: Duration = Duration::from_secs(3);
    let dir = TempDir::new().expect("a directory");
    let servers = [RedisServer::start(&LOG), RedisServer::start(&LOG)];
    let mut sidecar = Sidecar::start(config(dir.path(), &[servers[0].port, servers[1].port], ""));
    let whole = |stores: &Value| is_ready(stores) && stores[0]["automatic_failover"] == true;
    let before = sidecar.wait("both servers are whole", whole);
    let well = sidecar.logged("health changed");

    let allowed = allow(sidecar.process(), Some(3));
    servers.iter().for_each(close_connections);
    let waiting = client(dir.path());
    let since = Instant::now();
    let told = logged(&sidecar, "an endpoint can't be looked at");
    assert!(told[0].contains("Too many open files") && told[0].contains("LimitNOFILE="), "{told:?}");
    assert!(!told[0].contains("address is right"), "{told:?}");
    while since.elapsed() < LONG_ENOUGH {
        assert_eq!(sidecar.logged("health changed"), well, "no server is at fault");
        std::thread::sleep(Duration::from_millis(20));
    }

    // It was tried some twenty times meanwhile.
    let told = logged(&sidecar, "a client could not be accepted");
    let cause = "accept a client: Too many open files (os error 24)";
    assert!(told.len() <= 2 && told[0].contains(cause) && told[0].contains("LimitNOFILE="), "{told:?}");

    allow(sidecar.process(), allowed);
    let after = sidecar.wait("all is well again", whole);
    assert_eq!(sidecar.logged("health changed"), well, "no server was at fault");
    let told = |stores: &Value| ["primary", "epoch"].map(|what| stores[0][what].clone());
    assert_eq!(told(&after), told(&before), "nobody was replaced");
    assert_eq!(ask(&waiting, "PING"), "+PONG\r\n", "who waited is let in");
}

/// A client of the sidecar in `dir`, with whom nobody has spoken yet.
fn client(dir: &Path) -> UnixStream {
    let client = UnixStream::connect(dir.join("redis.sock")).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    client
}

/// Asks, and returns the line that comes.
fn ask(mut client: &UnixStream, what: &str) -> String {
    client.write_all(format!("{what}\r\n").as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).expect("it answers");
    line
}

#[test]
fn clients_for_whom_there_are_no_files_are_refused_and_the_others_are_served_as_if_nothing_were() {
    let dir = TempDir::new().expect("a directory");
    let servers = [RedisServer::start(&LOG), RedisServer::start(&LOG)];
    let file = config(dir.path(), &[servers[0].port, servers[1].port], "");
    let mut sidecar = under("-n 256", file.clone());
    let whole = |stores: &Value| is_ready(stores) && stores[0]["automatic_failover"] == true;
    let stores = sidecar.wait("both servers are whole", whole);
    let well = sidecar.logged("health changed");

    // 216 are kept for what is no client's, and each client may take two.
    let warning = stores[0]["warnings"][0].as_str().unwrap_or_default();
    assert!(
        warning.starts_with("at most 20 clients are let in, and not data.max_connections = 10000"),
        "{warning}"
    );
    assert!(out(&foretoken(&["status", "--config", &file])).contains(warning));
    let told = sidecar.logged("the limit of open files is low");
    assert!(told.len() == 1 && told[0].contains(warning), "{told:?}");

    let clients: Vec<_> = (0..20).map(|_| client(dir.path())).collect();
    for client in &clients {
        assert_eq!(ask(client, "PING"), "+PONG\r\n");
    }
    let refused: Vec<_> = (0..200).map(|_| client(dir.path())).collect();
    for mut client in refused {
        let mut words = String::new();
        client.read_to_string(&mut words).expect("it is told");
        assert_eq!(words, "-ERR max number of clients reached\r\n");
    }
    // Each of those that are in gets a connection of its own.
    for client in &clients {
        assert_eq!(ask(client, "WATCH key"), "+OK\r\n");
    }
    sidecar.wait("all is well", |stores| whole(stores) && stores[0]["connections"] == 20);
    assert_eq!(sidecar.logged("health changed"), well, "no server is at fault");
    assert_eq!(sidecar.logged("Too many open files"), [""; 0], "nobody lacks a file");

    drop(clients);
    sidecar.wait("they are gone", |stores| stores[0]["connections"] == 0);
    assert_eq!(ask(&client(dir.path()), "PING"), "+PONG\r\n");
}
