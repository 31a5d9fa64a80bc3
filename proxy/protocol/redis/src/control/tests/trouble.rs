//! Servers that are slow, gone, full or not ready.

use std::time::Duration;

use tokio::time::Instant;

use foretoken_protocol::Control;
use foretoken_types::Failure;

use super::support::{Server, eventually, free_port, params};
use crate::control::{ControlParams, RedisControl};

fn impatient(port: u16) -> RedisControl {
    RedisControl::new(ControlParams { timeout: Duration::from_millis(200), ..params(port) })
}

#[tokio::test]
async fn a_frozen_server_times_out_and_is_reachable() {
    let server = Server::start(&[]).await;
    let mut control = impatient(server.port);
    control.observe(true).await.unwrap();
    server.signal("STOP");
    let begun = Instant::now();
    assert_eq!(control.observe(true).await.unwrap_err().failure, Failure::Timeout);
    assert_eq!(control.position().await.unwrap_err().failure, Failure::Timeout, "also on a fresh connection");
    assert!(begun.elapsed() < Duration::from_secs(5));
    control.reach().await.expect("the kernel still takes connections");
    server.signal("CONT");
    eventually("it answers again", || async { impatient(server.port).observe(true).await.ok() }).await;
    control.observe(true).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_refuses() {
    let mut server = Server::start(&[]).await;
    let mut control = server.control();
    control.observe(true).await.unwrap();
    server.kill();
    assert_eq!(control.observe(true).await.unwrap_err().failure, Failure::Refused);
    assert_eq!(control.reach().await.unwrap_err().failure, Failure::Refused);
    assert_eq!(impatient(free_port()).capacity().await.unwrap_err().failure, Failure::Refused);
}

#[tokio::test]
async fn an_unknown_name_is_neither_refusal_nor_timeout() {
    let mut unknown = params(1);
    unknown.connector.address = "nowhere.invalid:6379".parse().unwrap();
    assert_eq!(RedisControl::new(unknown).reach().await.unwrap_err().failure, Failure::Other);
}

#[tokio::test]
async fn a_full_server_is_not_dead() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    control.observe(true).await.unwrap();
    server.ask("CONFIG SET", &["maxclients", "1"]).await;
    for _ in 0..20 {
        let refused = server.control().observe(true).await.unwrap_err();
        assert_eq!(refused.failure, Failure::NotServing, "{refused}");
    }
    control.observe(true).await.expect("who is in stays in");
}

#[tokio::test]
async fn a_loading_server_reports_that_and_its_role() {
    let server = Server::start(&[]).await;
    let value = "x".repeat(4096);
    for number in 0..400 {
        server.ask("SET", &[&number.to_string(), &value]).await;
    }
    server.ask("SAVE", &[]).await;
    // 10 ms for each key: seconds of loading, with a look at its sockets after each KiB.
    let slowly = [
        "--key-load-delay",
        "10000",
        "--loading-process-events-interval-bytes",
        "1024",
        "--rdbcompression",
        "no",
    ];
    let server = Server::start_in(server.into_dir(), &slowly).await;
    let mut control = server.control();
    let seen = control.observe(true).await.unwrap();
    assert!(seen.loading && !seen.writable);
    control.capacity().await.unwrap();
    assert_eq!(control.preflight().await.unwrap_err().failure, Failure::NotServing);
    assert_eq!(control.mark(foretoken_types::Epoch(1)).await.unwrap_err().failure, Failure::NotServing);
}

#[tokio::test]
async fn a_call_that_is_dropped_midway_does_not_confuse_the_next() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    control.mark(foretoken_types::Epoch(1)).await.unwrap();
    for microseconds in (0..600).step_by(20) {
        let look = control.position();
        tokio::time::timeout(Duration::from_micros(microseconds), look).await.ok();
        assert_eq!(control.observe(false).await.unwrap().marker, Some(foretoken_types::Epoch(1)));
    }
}

#[tokio::test]
async fn capacity_is_reported_with_its_limits() {
    let server = Server::start(&["--maxmemory", "100mb", "--maxclients", "77"]).await;
    let capacity = server.control().capacity().await.unwrap();
    assert_eq!(capacity.memory_limit_bytes, Some(100 * 1024 * 1024));
    assert_eq!(capacity.clients_limit, Some(77));
    assert_eq!(capacity.backlog_bytes, Some(1024 * 1024));
    assert_eq!(
        (capacity.persisting, capacity.evicted_total, capacity.rejected_total),
        (Some(true), Some(0), Some(0))
    );
    assert!(capacity.memory_used_bytes > Some(0) && capacity.commands_total > Some(0));
    assert!(
        capacity.clients.is_some()
            && capacity.clients_blocked == Some(0)
            && capacity.uptime_seconds.is_some()
    );
}
