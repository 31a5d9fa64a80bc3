//! Bytes pass as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

/// Sends `bytes` to `port`, closes the sending side, and reads to the end.
fn exchange(port: u16, bytes: &[u8], chunk: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    socket.set_nodelay(true).expect("a socket");
    let mut writer = socket.try_clone().expect("a socket");
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || {
        for piece in bytes.chunks(chunk) {
            if writer.write_all(piece).is_err() {
                return;
            }
        }
    });
    let mut all = Vec::new();
    let mut buf = [0; 65536];
    loop {
        match socket.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!(
                "no end of the reply after {} bytes ({e}): {:?}",
                all.len(),
                String::from_utf8_lossy(&all[..all.len().min(300)])
            ),
        }
    }
    writing.join().expect("writes");
    all
}

/// The same bytes direct and through us, each on a store of its own; the reply must be the same.
async fn same_as_direct(bytes: &[u8], chunk: usize) -> Vec<u8> {
    let (direct, store) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let path = DataPath::start(&[store.port]).await;
    let (a, b) = (direct.port, path.address.port());
    let (bytes, again) = (bytes.to_vec(), bytes.to_vec());
    let expected = tokio::task::spawn_blocking(move || exchange(a, &bytes, chunk)).await.expect("direct");
    let got = tokio::task::spawn_blocking(move || exchange(b, &again, chunk)).await.expect("through us");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected));
    got
}

#[tokio::test]
async fn a_mixed_pipeline_gets_the_same_bytes_as_direct_however_it_is_cut() {
    let stream = b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$5\r\nMULTI\r\n\
        *2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$5\r\nLPUSH\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$7\r\nDISCARD\r\n\
        set b 'x y'\r\nGET b\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n9\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n\
        *3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$4\r\n0.05\r\n*2\r\n$7\r\nUNKNOWN\r\n$1\r\nx\r\n*2\r\n$5\r\nWATCH\r\n$1\r\na\r\n\
        *1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n0\r\n$2\r\n10\r\n*0\r\n\
        *1\r\n$5\r\nRESET\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nQUIT\r\n";
    for chunk in [1, 7, stream.len()] {
        let reply = same_as_direct(stream, chunk).await;
        assert!(reply.ends_with(b"+OK\r\n"), "QUIT is answered last");
    }
}

#[tokio::test]
async fn what_is_pipelined_behind_the_beginning_of_a_relay_goes_on() {
    for first in ["CLIENT REPLY SKIP\r\nGET a", "SUBSCRIBE c\r\nUNSUBSCRIBE c", "CLIENT TRACKING ON"] {
        let stream = format!("SET a 1\r\n{first}\r\nGET a\r\nQUIT\r\n");
        let reply = same_as_direct(stream.as_bytes(), stream.len()).await;
        assert!(reply.ends_with(b"$1\r\n1\r\n+OK\r\n"), "{first}");
    }
}

#[tokio::test]
async fn a_script_that_has_written_is_not_sent_again_whatever_it_answers() {
    for code in ["LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED"] {
        let script = format!("redis.call('INCR', 'n') return redis.error_reply('{code} says the script')");
        let stream = format!("EVAL \"{script}\" 0\r\nGET n\r\nQUIT\r\n");
        let reply = same_as_direct(stream.as_bytes(), stream.len()).await;
        assert!(reply.ends_with(b"$1\r\n1\r\n+OK\r\n"), "{code}");
    }
}

#[tokio::test]
async fn protocol_errors_are_told_in_the_words_of_redis_and_after_the_replies_before_them() {
    for broken in ["*1\r\n+PING\r\n", "*abc\r\n", "*1\r\n$-5\r\n", "*1\r\n$999999999999\r\n", "SET 'a\r\n"] {
        let bytes = format!("*1\r\n$4\r\nPING\r\n{broken}");
        let reply = same_as_direct(bytes.as_bytes(), bytes.len()).await;
        assert!(reply.starts_with(b"+PONG\r\n-ERR Protocol error"), "{broken:?}");
    }
}

#[tokio::test]
async fn a_long_request_and_a_long_reply_are_streamed_whole() {
    let size = 24 * 1024 * 1024;
    let mut stream = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${size}\r\n").into_bytes();
    stream.extend((0..size).map(|i| b'a' + u8::try_from(i % 23).expect("small")));
    stream.extend_from_slice(
        b"\r\n*2\r\n$6\r\nSTRLEN\r\n$3\r\nbig\r\n*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n*1\r\n$4\r\nQUIT\r\n",
    );
    let reply = same_as_direct(&stream, 1 << 20).await;
    assert_eq!(reply.len(), size + b"+OK\r\n:25165824\r\n$25165824\r\n\r\n+OK\r\n".len());
}

#[tokio::test]
async fn thousands_of_requests_may_be_written_before_a_reply_is_read() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let port = path.address.port();
    let (requests, value) = (20_000, "v".repeat(1000));
    tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        socket.set_write_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let echo = format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{value}\r\n");
        // 20 MB out before the first read of 20 MB of replies.
        for _ in 0..requests {
            socket.write_all(echo.as_bytes()).expect("nobody waits for the other");
        }
        let mut left = requests * (value.len() + "$1000\r\n\r\n".len());
        let mut buf = vec![0; 1 << 16];
        while left > 0 {
            let read = socket.read(&mut buf).expect("replies");
            assert!(read > 0, "{left} bytes are missing");
            left -= read;
        }
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn subscriptions_and_monitor_flow_both_ways() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let client = redis::Client::open(url).expect("a URL");
        let mut subscriber = client.get_connection().expect("connects");
        let mut publisher = client.get_connection().expect("connects");
        let mut channel = subscriber.as_pubsub();
        channel.subscribe("news").expect("subscribes");
        channel.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        for n in 0..3 {
            let heard: i64 =
                redis::cmd("PUBLISH").arg("news").arg(n).query(&mut publisher).expect("publishes");
            assert_eq!(heard, 1);
            assert_eq!(channel.get_message().expect("a message").get_payload::<i64>().expect("a number"), n);
        }
    })
    .await
    .expect("done");
}
