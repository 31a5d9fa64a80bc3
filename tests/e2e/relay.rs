//! Clients to whom the server speaks without being asked, when the primary changes.

use std::time::Duration;

use foretoken_types::{Durability, HoldScope};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

const LONG: Duration = Duration::from_secs(10);

/// A client that sees the bytes.
struct Wire(TcpStream);

impl Wire {
    async fn connect(path: &DataPath) -> Self {
        Self(TcpStream::connect(path.address).await.expect("connects"))
    }

    async fn ask(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.expect("is taken");
    }

    /// The next bytes are these; `|` stands for the end of a line.
    async fn hears(&mut self, wanted: &str) {
        let wanted = wanted.replace('|', "\r\n");
        let mut heard = vec![0; wanted.len()];
        timeout(LONG, self.0.read_exact(&mut heard)).await.expect("in time").expect("goes on");
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    }

    /// A line comes in which this stands.
    async fn hears_line_with(&mut self, wanted: &str) {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(LONG, self.0.read_u8()).await.expect("in time").expect("goes on"));
        }
        let line = String::from_utf8_lossy(&line);
        assert!(line.contains(wanted), "{line}");
    }

    /// The reply to `HELLO 3`, up to its last field.
    async fn skip_hello(&mut self) {
        let mut reply = Vec::new();
        while !reply.ends_with(b"modules\r\n*0\r\n") {
            reply.push(timeout(LONG, self.0.read_u8()).await.expect("in time").expect("goes on"));
        }
    }

    /// It hears nothing more, and that at once.
    async fn is_cut(&mut self) {
        let mut more = Vec::new();
        // How the connection ends is the kernel's affair.
        timeout(LONG, self.0.read_to_end(&mut more)).await.expect("in time").ok();
        assert!(more.is_empty(), "{:?}", String::from_utf8_lossy(&more));
    }
}

fn query<T: redis::FromRedisValue>(server: &RedisServer, line: &str) -> T {
    let mut words = line.split(' ');
    let mut cmd = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.query(&mut server.connection()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Publishes until somebody hears it.
async fn publish(server: &RedisServer, line: &str) {
    let end = Instant::now() + LONG;
    while query::<i64>(server, line) == 0 {
        assert!(Instant::now() < end, "nobody hears {line}");
        tokio::task::yield_now().await;
    }
}

async fn two() -> (RedisServer, RedisServer, DataPath) {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let path = DataPath::start(&[old.port, new.port]).await;
    (old, new, path)
}

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
async fn a_relayed_client_whose_write_is_in_doubt_is_cut() {
    let (old, _new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
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
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
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
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSUBSCRIBE a").await;
    client.skip_hello().await;
    client.hears(">3|$9|subscribe|$1|a|:1|").await;
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
