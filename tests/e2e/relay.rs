//! Clients to whom the server speaks without being asked, when the primary changes.

use std::time::Duration;

use foretoken_types::{Durability, HoldScope};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;
use crate::wire::{LONG, Wire, publish, query, two};

#[tokio::test]
async fn subscriptions_go_on_at_the_new_primary_in_either_protocol_and_say_so_if_asked() {
    for (hello, kind) in [("", '*'), ("HELLO 3\r\n", '>')] {
        let (old, new, mut path) = two().await;
        let mut client = Wire::connect(&path).await;
        client.ask(&format!("{hello}SUBSCRIBE a b __ft:renewed")).await;
        if !hello.is_empty() {
            client.skip_hello().await;
        }
        client.hears(&format!("{kind}3|$9|subscribe|$1|a|:1|{kind}3|$9|subscribe|$1|b|:2|")).await;
        client.hears(&format!("{kind}3|$9|subscribe|$12|__ft:renewed|:3|")).await;
        client.ask("PSUBSCRIBE n.*\r\nUNSUBSCRIBE b").await;
        client.hears(&format!("{kind}3|$10|psubscribe|$3|n.*|:4|{kind}3|$11|unsubscribe|$1|b|:3|")).await;
        publish(&old, "PUBLISH a 1").await;
        client.hears(&format!("{kind}3|$7|message|$1|a|$1|1|")).await;
        path.hold(HoldScope::Writes, false).await;
        path.move_to("e1", 2);
        client.hears(&format!("{kind}3|$7|message|$12|__ft:renewed|$1|2|")).await;
        publish(&new, "PUBLISH a 2").await;
        publish(&new, "PUBLISH n.x 3").await;
        assert_eq!(query::<i64>(&new, "PUBLISH b no"), 0, "it was left");
        client.hears(&format!("{kind}3|$7|message|$1|a|$1|2|")).await;
        client.hears(&format!("{kind}4|$8|pmessage|$3|n.*|$3|n.x|$1|3|")).await;
        client.ask("UNSUBSCRIBE a __ft:renewed\r\nPUNSUBSCRIBE\r\nGET a").await;
        client.hears(&format!("{kind}3|$11|unsubscribe|$1|a|:2|")).await;
        client.hears(&format!("{kind}3|$11|unsubscribe|$12|__ft:renewed|:1|")).await;
        client.hears(&format!("{kind}3|$12|punsubscribe|$3|n.*|:0|")).await;
        client.hears(if hello.is_empty() { "$-1|" } else { "_|" }).await;
    }
}

#[tokio::test]
async fn a_subscriber_goes_on_after_a_crash_and_hears_the_answers_that_are_missing() {
    let (mut old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("SUBSCRIBE a").await;
    client.hears("*3|$9|subscribe|$1|a|:1|").await;
    old.signal("-STOP");
    // On the wire, and not answered.
    client.ask("SUBSCRIBE b c\r\nPING x").await;
    path.hold(HoldScope::All, true).await;
    path.move_to("e1", 2);
    client.hears("*3|$9|subscribe|$1|b|:2|*3|$9|subscribe|$1|c|:3|*2|$4|pong|$1|x|").await;
    old.kill();
    publish(&new, "PUBLISH c 1").await;
    client.hears("*3|$7|message|$1|c|$1|1|").await;
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_closed() {
    let (old, _new, path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("SUBSCRIBE a").await;
    client.hears("*3|$9|subscribe|$1|a|:1|").await;
    assert_eq!(query::<i64>(&old, "CLIENT KILL TYPE pubsub"), 1);
    client.is_cut().await;
}

#[tokio::test]
async fn monitoring_goes_on_at_the_new_primary() {
    let (old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("MONITOR").await;
    client.hears("+OK|").await;
    let _: Option<String> = query(&old, "GET first");
    client.hears_line_with("\"GET\" \"first\"").await;
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    let end = Instant::now() + LONG;
    while !query::<String>(&new, "CLIENT LIST").contains("flags=O ") {
        assert!(Instant::now() < end, "nobody monitors the new primary");
        tokio::task::yield_now().await;
    }
    let _: Option<String> = query(&new, "GET second");
    client.hears_line_with("\"GET\" \"second\"").await;
}

#[tokio::test]
async fn a_client_side_cache_is_emptied_and_goes_on_at_the_new_primary() {
    let (_old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nCLIENT TRACKING ON\r\nGET k").await;
    client.skip_hello().await;
    client.hears("+OK|_|").await;
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    client.hears(">2|$10|invalidate|_|").await;
    client.ask("GET k").await;
    client.hears("_|").await;
    let () = query(&new, "SET k 1");
    client.hears(">2|$10|invalidate|*1|$1|k|").await;
}

#[tokio::test]
async fn a_write_of_a_relayed_client_waits_for_the_new_primary() {
    let (old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a\r\nINCR n").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|:1|").await;
    path.hold(HoldScope::Writes, false).await;
    client.ask("INCR n\r\nGET n").await;
    path.move_to("e1", 2);
    client.hears(":1|$1|1|").await;
    assert_eq!((query::<i64>(&old, "GET n"), query::<i64>(&new, "GET n")), (1, 1));
}

#[tokio::test]
async fn a_blocked_pop_of_a_relayed_client_goes_on_at_the_new_primary() {
    let (old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a\r\nBLPOP q 100\r\nGET k").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
    blocks(&old).await;
    path.hold(HoldScope::Writes, false).await;
    let () = query(&old, &format!("REPLICAOF 127.0.0.1 {}", new.port));
    path.move_to("e1", 2);
    let () = query(&new, "RPUSH q x");
    client.hears("*2|$1|q|$1|x|_|").await;
}

#[tokio::test]
async fn a_long_pipeline_of_a_relayed_client_is_answered_to_its_end() {
    const PINGS: usize = 5000;
    let (_old, _new, path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask(&format!("HELLO 3\r\nSUBSCRIBE a{}", "\r\nPING".repeat(PINGS))).await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
    client.hears(&"+PONG|".repeat(PINGS)).await;
}

/// A pop that waited at the old primary, was let go, and waits at the new one.
async fn a_pop_that_was_moved(old: &RedisServer, new: &RedisServer, path: &mut DataPath) -> Wire {
    let mut client = Wire::connect(path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a\r\nBLPOP q 100").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
    blocks(old).await;
    path.hold(HoldScope::Writes, false).await;
    let () = query(old, &format!("REPLICAOF 127.0.0.1 {}", new.port));
    path.move_to("e1", 2);
    blocks(new).await;
    client
}

/// Waits until somebody waits at `server`.
async fn blocks(server: &RedisServer) {
    let end = Instant::now() + LONG;
    while !query::<String>(server, "INFO clients").contains("blocked_clients:1") {
        assert!(Instant::now() < end, "it waits");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pop_that_was_let_go_is_a_write_at_the_new_primary() {
    let (old, new, mut path) = two().await;
    let mut client = a_pop_that_was_moved(&old, &new, &mut path).await;
    path.posture(|posture| posture.durability = Durability::Synchronous);
    let () = query(&new, "RPUSH q x");
    // Nobody confirms anything here.
    let silent = timeout(Duration::from_millis(200), client.0.read_u8()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(query::<i64>(&new, "LLEN q"), 0, "it was executed");
}

#[tokio::test]
async fn a_pop_that_was_let_go_and_then_is_in_doubt_is_not_asked_again() {
    let (old, new, mut path) = two().await;
    let mut client = a_pop_that_was_moved(&old, &new, &mut path).await;
    path.hold(HoldScope::All, true).await;
    path.move_to("e0", 3);
    client.is_cut().await;
}

#[tokio::test]
async fn a_relayed_client_whose_write_is_in_doubt_is_cut() {
    let (old, _new, mut path) = two().await;
    let mut client = Wire::subscribed(&path).await;
    old.signal("-STOP");
    client.ask("INCR n").await;
    // It is under way when a hold waits for it.
    loop {
        let operation = path.order_hold(HoldScope::Writes, false);
        let drained = timeout(Duration::from_millis(100), path.held(operation)).await.is_ok();
        path.resume();
        if !drained {
            break;
        }
    }
    path.hold(HoldScope::All, true).await;
    path.move_to("e1", 2);
    client.is_cut().await;
}

#[tokio::test]
async fn a_write_of_a_relayed_client_is_acknowledged_only_when_a_mirror_has_it() {
    let (old, _new, path) = two().await;
    path.posture(|posture| posture.durability = Durability::Synchronous);
    let mut client = Wire::subscribed(&path).await;
    client.ask("INCR n").await;
    // Nobody confirms anything here.
    let silent = timeout(Duration::from_millis(200), client.0.read_u8()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(query::<i64>(&old, "GET n"), 1, "it was executed");
}

#[tokio::test]
async fn what_waits_too_long_is_refused_in_words_and_the_subscription_goes_on() {
    let (old, _new, mut path) = two().await;
    path.tunables(|tunables| tunables.hold_max = Duration::from_millis(50));
    let mut client = Wire::subscribed(&path).await;
    path.hold(HoldScope::Writes, false).await;
    client.ask("INCR n").await;
    client.hears("-LOADING Foretoken waited in vain for a primary: not executed, try again|").await;
    publish(&old, "PUBLISH a 1").await;
    client.hears(">3|$7|message|$1|a|$1|1|").await;
}

#[tokio::test]
async fn writes_whose_answers_nobody_knows_are_not_drained_but_cut() {
    let (old, _new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("CLIENT REPLY OFF\r\nSET k 1").await;
    let end = Instant::now() + LONG;
    while query::<i64>(&old, "EXISTS k") == 0 {
        assert!(Instant::now() < end, "it is executed");
        tokio::task::yield_now().await;
    }
    path.hold(HoldScope::Writes, false).await;
    client.is_cut().await;
}
