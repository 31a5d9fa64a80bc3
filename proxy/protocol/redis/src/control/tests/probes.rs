//! What the write probe says in every state in which writes are refused, and that it leaves no trace.

use foretoken_protocol::Control;
use foretoken_types::Position;

use super::roles::caught_up;
use super::support::{Server, eventually};
use crate::control::RedisControl;
use crate::control::keys::PROBE;
use crate::control::value::Value;

async fn writable(control: &mut RedisControl) -> bool {
    assert!(!control.observe(false).await.unwrap().writable, "unknown without a probe");
    control.observe(true).await.unwrap().writable
}

/// A primary with a mirror attached: without one its position does not move at all.
async fn pair(arguments: &[&str]) -> (Server, Server) {
    let (one, two) = (Server::start(arguments).await, Server::start(&[]).await);
    let mut mirror = two.control();
    mirror.demote(&one.dial("one")).await.unwrap();
    caught_up(&mut mirror, Position(0)).await;
    one.ask("SET", &["key", "value"]).await;
    let position = one.control().position().await.unwrap().position;
    assert!(position > Position(0));
    caught_up(&mut mirror, position).await;
    (one, two)
}

#[tokio::test]
async fn probing_creates_nothing_and_moves_no_position() {
    // No pings to the mirror while this runs: they move the position.
    let (one, _two) = pair(&["--repl-ping-replica-period", "3600"]).await;
    let mut control = one.control();
    let before = control.position().await.unwrap();
    for _ in 0..50 {
        assert!(writable(&mut control).await);
    }
    assert_eq!(control.position().await.unwrap(), before);
    assert_eq!(one.ask("DBSIZE", &[]).await, Value::Integer(1));
    assert_eq!(one.ask("EXISTS", &[PROBE]).await, Value::Integer(0));
}

#[tokio::test]
async fn a_key_of_that_name_is_left_as_it_is() {
    let (one, _two) = pair(&["--repl-ping-replica-period", "3600"]).await;
    let mut control = one.control();
    one.ask("SET", &[PROBE, "mine"]).await;
    let before = control.position().await.unwrap();
    assert!(writable(&mut control).await);
    assert_eq!(control.position().await.unwrap(), before);
    assert_eq!(one.ask("GET", &[PROBE]).await, Value::Bulk(b"mine".to_vec()));
    one.ask("DEL", &[PROBE]).await;
    one.ask("LPUSH", &[PROBE, "a list"]).await;
    assert!(writable(&mut control).await, "the wrong type of a key says nothing against the server");
}

#[tokio::test]
async fn a_full_memory_fails_the_probe_and_nothing_else() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    assert!(writable(&mut control).await);
    server.ask("CONFIG SET", &["maxmemory", "1"]).await;
    assert!(!writable(&mut control).await);
    let why = control.observe(true).await.unwrap().refuses_writes.unwrap();
    assert!(why.starts_with("OOM command not allowed") && why.contains("; raise maxmemory"), "{why}");
    assert_eq!(control.observe(false).await.unwrap().refuses_writes, None, "unknown without a probe");
    server.ask("CONFIG SET", &["maxmemory", "0"]).await;
    assert!(writable(&mut control).await);
    assert_eq!(control.observe(true).await.unwrap().refuses_writes, None);
}

#[tokio::test]
async fn missing_replicas_fail_the_probe() {
    let server = Server::start(&["--min-replicas-to-write", "1"]).await;
    assert!(!writable(&mut server.control()).await);
}

#[tokio::test]
async fn a_read_only_mirror_fails_the_probe() {
    let (_one, two) = pair(&[]).await;
    assert!(!writable(&mut two.control()).await);
}

#[tokio::test]
async fn a_failed_snapshot_fails_the_probe() {
    let server = Server::start(&["--save", "3600 1"]).await;
    let mut control = server.control();
    assert!(writable(&mut control).await);
    std::fs::remove_dir_all(server.dir.path()).unwrap();
    server.ask("BGSAVE", &[]).await;
    eventually("the snapshot fails", || async {
        let info = server.ask("INFO", &["persistence"]).await.text().unwrap();
        info.contains("rdb_last_bgsave_status:err").then_some(())
    })
    .await;
    assert!(server.ask("SETRANGE", &[PROBE, "0", ""]).await.error().unwrap().starts_with("MISCONF"));
    assert!(!writable(&mut control).await);
    assert_eq!(control.capacity().await.unwrap().persisting, Some(false));
    server.ask("CONFIG SET", &["stop-writes-on-bgsave-error", "no"]).await;
    assert!(writable(&mut control).await);
}
