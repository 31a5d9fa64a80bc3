//! A sidecar in front of one node of a Redis Cluster: everything passes, and nothing is managed.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::running::Sidecar;
use super::{config, err, foretoken, out, status};
use crate::support::servers::RedisServer;

const PATIENCE: Duration = Duration::from_secs(30);

/// Two nodes, each with half of the slots.
fn cluster() -> [RedisServer; 2] {
    let nodes = [(); 2].map(|()| node());
    let _: () = ask(&nodes[0], &["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    let _: () = ask(&nodes[1], &["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    let [port, bus] = [nodes[1].port, bus(&nodes[1])].map(|port| port.to_string());
    let _: () = ask(&nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    let deadline = Instant::now() + PATIENCE;
    for node in &nodes {
        loop {
            let told: String = ask(node, &["CLUSTER", "INFO"]);
            if told.contains("cluster_state:ok") && told.contains("cluster_slots_ok:16384") {
                break;
            }
            assert!(Instant::now() < deadline, "{told}");
        }
    }
    nodes
}

fn node() -> RedisServer {
    let (bus, held) = super::dead_port();
    drop(held);
    let bus = bus.to_string();
    RedisServer::start(&["--appendonly", "yes", "--cluster-enabled", "yes", "--cluster-port", &bus])
}

/// The port over which a node speaks with others: `<id> <ip>:<port>@<bus> myself,…`.
fn bus(node: &RedisServer) -> u16 {
    let told: String = ask(node, &["CLUSTER", "NODES"]);
    let bus = told.split('@').nth(1).and_then(|rest| rest.split(' ').next());
    bus.and_then(|bus| bus.parse().ok()).expect("every node has one")
}

fn ask<T: redis::FromRedisValue>(node: &RedisServer, words: &[&str]) -> T {
    redis::cmd(words[0]).arg(&words[1..]).query(&mut node.connection()).expect("answers")
}

/// What these requests are answered, byte for byte: `replies` lines.
fn bytes(
    mut connection: impl std::io::Read + std::io::Write,
    requests: &[&[&str]],
    replies: usize,
) -> String {
    for words in requests {
        let mut frame = format!("*{}\r\n", words.len());
        for word in *words {
            frame.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        connection.write_all(frame.as_bytes()).expect("it is open");
    }
    let mut told = Vec::new();
    let mut piece = [0; 1024];
    while told.iter().filter(|byte| **byte == b'\n').count() < replies {
        let length = connection.read(&mut piece).expect("it answers in time");
        assert!(length > 0, "it has closed: {}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(told).expect("it is text")
}

fn directly(node: &RedisServer) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", node.port)).expect("it runs");
    connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
    connection
}

fn through(dir: &TempDir) -> UnixStream {
    let connection = UnixStream::connect(dir.path().join("redis.sock")).expect("it listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
    connection
}

#[test]
fn commands_and_redirects_of_a_cluster_pass_byte_for_byte_and_nothing_is_managed() {
    let nodes = cluster();
    let dir = TempDir::new().expect("a directory");
    let mut sidecar = Sidecar::start(config(dir.path(), &[nodes[0].port], ""));
    let told = sidecar.wait("service", |stores| stores[0]["ready"] == true);
    assert_eq!(told[0]["authority"]["role"], "follower", "{told:#}");
    assert!(told[0]["reason"].as_str().is_some_and(|why| why.contains("cluster")), "{told:#}");

    // Slots 5061 and 12182 (`CLUSTER KEYSLOT`): the first is of the node behind the sidecar, the other is not.
    let (here, elsewhere) = ("bar", "foo");
    assert_eq!(bytes(through(&dir), &[&["SET", here, "1"], &["GET", here]], 3), "+OK\r\n$1\r\n1\r\n");
    let moved = format!("-MOVED 12182 127.0.0.1:{}\r\n", nodes[1].port);
    for requests in [&[&["SET", elsewhere, "1"][..]][..], &[&["GET", elsewhere]]] {
        assert_eq!(bytes(directly(&nodes[0]), requests, 1), moved);
        assert_eq!(bytes(through(&dir), requests, 1), moved);
    }
    let mixed: &[&[&str]] = &[&["GET", here], &["SET", elsewhere, "1"], &["SET", here, "2"]];
    assert_eq!(bytes(through(&dir), mixed, 4), format!("$1\r\n1\r\n{moved}+OK\r\n"));

    // A slot on its way to the other node.
    let [first, second]: [String; 2] = [&nodes[0], &nodes[1]].map(|node| ask(node, &["CLUSTER", "MYID"]));
    let _: () = ask(&nodes[1], &["CLUSTER", "SETSLOT", "5061", "IMPORTING", &first]);
    let _: () = ask(&nodes[0], &["CLUSTER", "SETSLOT", "5061", "MIGRATING", &second]);
    let absent: &[&[&str]] = &[&["GET", "{bar}absent"]];
    let told = format!("-ASK 5061 127.0.0.1:{}\r\n", nodes[1].port);
    assert_eq!(bytes(directly(&nodes[0]), absent, 1), told);
    assert_eq!(bytes(through(&dir), absent, 1), told);

    // The other way round: what a client does that was told to ask.
    let other = TempDir::new().expect("a directory");
    let mut second = Sidecar::start(config(other.path(), &[nodes[1].port], ""));
    second.wait("service", |stores| stores[0]["ready"] == true);
    let asking: &[&[&str]] = &[&["ASKING"], &["SET", "{bar}absent", "1"]];
    assert_eq!(bytes(through(&other), asking, 2), "+OK\r\n+OK\r\n");

    for node in &nodes {
        let left: Vec<String> = ask(node, &["KEYS", "__ft:*"]);
        assert!(left.is_empty(), "nothing is left in a cluster: {left:?}");
    }
}

#[test]
fn a_check_says_what_is_not_managed_in_a_cluster() {
    let nodes = cluster();
    let dir = TempDir::new().expect("a directory");
    let output = foretoken(&["check", "--config", &config(dir.path(), &[nodes[0].port], "")]);
    let told = out(&output);
    assert_eq!(status(&output), Some(1), "{told}{}", err(&output));
    for line in [
        "BLOCK management               it runs in cluster mode, which moves roles and slots by itself",
        "no    planned switchover       the cluster moves roles and slots by itself",
        "no    automatic failover       for the same reason; when this node fails",
        "no    one primary at a time    replies pass as they are, MOVED and ASK among them",
        "this store is not ready to be managed:",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("a write would be refused"), "that is no trouble of a cluster:\n{told}");
}
