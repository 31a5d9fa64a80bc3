//! Slow readers and huge replies stay inside their bounds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

const HUGE: usize = 64 * 1024 * 1024;

fn with_huge_value(server: &RedisServer) {
    let () = redis::cmd("SETRANGE")
        .arg("huge")
        .arg(HUGE - 1)
        .arg("x")
        .query(&mut server.connection())
        .expect("sets");
}

fn ask(port: u16, request: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    socket.write_all(request).expect("writes");
    socket
}

const GET_HUGE: &[u8] = b"*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n";
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

#[tokio::test]
async fn one_that_does_not_take_a_long_reply_keeps_the_others_waiting_for_a_bounded_time_only() {
    let store = RedisServer::start(&[]);
    with_huge_value(&store);
    let path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    tokio::task::spawn_blocking(move || {
        let mut others: Vec<_> = (0..4).map(|_| ask(port, PING)).collect();
        let mut pong = [0; 7];
        for other in &mut others {
            other.read_exact(&mut pong).expect("answers");
        }
        // Its request goes over the connection that the others use, and nobody reads the reply.
        let mut slow = ask(port, GET_HUGE);
        let mut first = [0; 1];
        slow.read_exact(&mut first).expect("the reply begins");
        let started = Instant::now();
        for other in &mut others {
            other.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
            other.write_all(PING).expect("writes");
            other.read_exact(&mut pong).expect("answers");
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn memory_does_not_grow_with_the_replies_that_nobody_reads() {
    let store = RedisServer::start(&[]);
    with_huge_value(&store);
    let path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    tokio::task::spawn_blocking(move || {
        drop(ask(port, PING));
        let before = resident();
        let slow: Vec<_> = (0..16)
            .map(|_| {
                let mut socket = ask(port, GET_HUGE);
                socket.read_exact(&mut [0; 1]).expect("the reply begins");
                socket
            })
            .collect();
        let grown = resident().saturating_sub(before);
        // 16 x 64 MiB are asked for. A session keeps a collected part, a pipe and a read: under 2 MiB.
        assert!(grown < slow.len() * 2 * 1024 * 1024, "grew by {} KiB", grown / 1024);
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_client_above_the_limit_is_turned_away_in_the_words_of_redis() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start_with(&[store.port], 2).await;
    let port = path.address.port();
    tokio::task::spawn_blocking(move || {
        let mut pong = [0; 7];
        let mut inside: Vec<_> = (0..2).map(|_| ask(port, PING)).collect();
        for socket in &mut inside {
            socket.read_exact(&mut pong).expect("answers");
        }
        let mut words = String::new();
        // It may be closed with our bytes unread: then the end is a reset.
        TcpStream::connect(("127.0.0.1", port)).expect("connects").read_to_string(&mut words).expect("words");
        assert_eq!(words, "-ERR max number of clients reached\r\n");
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_request_of_endless_arguments_is_not_collected() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    tokio::task::spawn_blocking(move || {
        let before = resident();
        let mut socket = ask(port, b"*2000001\r\n$3\r\nDEL\r\n");
        let piece = b"$1\r\nk\r\n".repeat(10_000);
        for _ in 0..200 {
            socket.write_all(&piece).expect("writes");
        }
        let mut reply = [0; 4];
        socket.read_exact(&mut reply).expect("answers");
        assert_eq!(&reply, b":0\r\n");
        let grown = resident().saturating_sub(before);
        assert!(grown < 24 * 1024 * 1024, "grew by {} KiB for a request of 14 MB", grown / 1024);
    })
    .await
    .expect("done");
}

/// Most memory of a client that has nothing under way: two sockets' worth of bookkeeping and no buffer.
const IDLE_BYTES: usize = 8 * 1024;

#[tokio::test]
async fn an_idle_client_keeps_no_buffer() {
    const CLIENTS: usize = 2000;
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16384\r\n{}\r\n", "v".repeat(16 * 1024));
    tokio::task::spawn_blocking(move || {
        // Each has had something to do that took buffers.
        let idle = || {
            let mut client = ask(port, set.as_bytes());
            client.read_exact(&mut [0; 5]).expect("answers");
            client
        };
        let _warm: Vec<_> = (0..100).map(|_| idle()).collect();
        let before = resident();
        let _clients: Vec<_> = (0..CLIENTS).map(|_| idle()).collect();
        let each = resident().saturating_sub(before) / CLIENTS;
        assert!(each < IDLE_BYTES, "{each} bytes");
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn writes_that_wait_take_no_more_than_their_bound() {
    const WRITES: usize = 64;
    let store = RedisServer::start(&[]);
    let mut path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    path.tunables(|tunables| {
        tunables.hold_bytes = 4 * 1024 * 1024;
        tunables.hold_max = Duration::from_secs(600);
    });
    path.hold(foretoken_types::HoldScope::Writes, false).await;
    let before = resident();
    let held = tokio::task::spawn_blocking(move || {
        // Half a MiB each, over connections of their own: eight fit.
        let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\n{}\r\n", "v".repeat(500_000));
        let mut held: Vec<_> = (0..WRITES).map(|_| ask(port, set.as_bytes())).collect();
        let is_refused = |client: &mut TcpStream| {
            client.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
            let mut word = [0; 8];
            client.read_exact(&mut word).is_ok_and(|()| &word == b"-LOADING")
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while held.len() > 8 && Instant::now() < deadline {
            held.retain_mut(|client| !is_refused(client));
        }
        // Those that fit are not refused either, a moment later.
        held.retain_mut(|client| !is_refused(client));
        held.len()
    })
    .await
    .expect("done");
    assert_eq!(held, 8);
    let more = resident().saturating_sub(before);
    assert!(more < 64 * 1024 * 1024, "{more} bytes");
}
