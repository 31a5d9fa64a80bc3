//! Holds, fences and moves, as a client feels them.

use std::time::Duration;

use foretoken_types::{Epoch, HoldScope};
use redis::AsyncCommands;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

async fn connect(path: &DataPath) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(path.url()).expect("a URL");
    let patient = redis::AsyncConnectionConfig::new()
        .set_response_timeout(Duration::from_secs(20))
        .set_connection_timeout(Duration::from_secs(20));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("connects")
}

#[tokio::test]
async fn held_writes_wait_in_order_and_go_to_the_new_primary_while_reads_go_on() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let (mut writer, mut reader) = (connect(&path).await, connect(&path).await);
    let () = writer.rpush("list", 0).await.expect("writes");
    assert_eq!(path.hold(HoldScope::Writes, false).await, 0);
    let held = tokio::spawn(async move {
        for n in 1..=50 {
            let _: i64 = writer.rpush("list", n).await.expect("held, not failed");
        }
    });
    let seen: Vec<i64> = reader.lrange("list", 0, -1).await.expect("reads go on");
    assert_eq!(seen, [0]);
    assert!(!held.is_finished());
    path.move_to("e1", 2);
    held.await.expect("all written");
    let there: Vec<i64> =
        redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(&mut new.connection()).expect("reads");
    assert_eq!(there, (1..=50).collect::<Vec<_>>());
    let stayed: i64 = redis::cmd("LLEN").arg("list").query(&mut old.connection()).expect("reads");
    assert_eq!(stayed, 1);
}

#[tokio::test]
async fn a_hold_is_answered_only_when_the_last_write_is_in() {
    let store = RedisServer::start(&[]);
    let mut path = DataPath::start(&[store.port]).await;
    let mut slow = connect(&path).await;
    let sleeping = tokio::spawn(async move {
        let _: String =
            redis::cmd("DEBUG").arg("SLEEP").arg("0.5").query_async(&mut slow).await.expect("sleeps");
        tokio::time::Instant::now()
    });
    // The store has the command when it no longer answers others.
    let mut probe = redis::Client::open(store.url()).expect("a URL").get_connection().expect("connects");
    probe.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    while redis::cmd("PING").query::<String>(&mut probe).is_ok() {
        tokio::task::yield_now().await;
    }
    path.hold(HoldScope::Writes, false).await;
    let answered = tokio::time::Instant::now();
    let done = sleeping.await.expect("done");
    // The answer and the reply leave the data thread at the same moment.
    assert!(
        answered + Duration::from_millis(100) >= done,
        "the hold was answered {:?} too early",
        done - answered
    );
}

#[tokio::test]
async fn a_fence_declares_outstanding_writes_in_doubt_and_their_late_replies_are_dropped() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let (mut writer, mut reader) = (connect(&path).await, connect(&path).await);
    let () = redis::cmd("SET").arg("r").arg("new").query(&mut new.connection()).expect("sets");
    let () = writer.set("k", 1).await.expect("writes");
    let _: Option<i64> = reader.get("r").await.expect("reads");
    old.signal("-STOP");
    let doubted = tokio::spawn(async move { (writer.incr::<_, _, i64>("k", 1).await, writer) });
    let read = tokio::spawn(async move { reader.get::<_, String>("r").await });
    // Both must be on their way before the fence: the control plane sees them in the samples.
    let in_flight = async {
        let mut seen = 0;
        while seen < 2 {
            if let Some(foretoken_types::Report::Sample(sample)) = path.reports.recv().await {
                seen = sample.in_flight;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), in_flight).await.expect("both are sent");
    assert_eq!(path.hold(HoldScope::All, true).await, 1);
    let (error, mut writer) = doubted.await.expect("ends");
    let error = error.expect_err("nobody knows");
    assert_eq!(error.code(), Some("FTINDOUBT"), "{error}");
    path.move_to("e1", 2);
    assert_eq!(read.await.expect("ends").expect("the read goes again"), "new");
    old.signal("-CONT");
    let late = async {
        let (mut late, mut timeouts) = (0, 0);
        while late < 2 {
            if let Some(foretoken_types::Report::Sample(sample)) = path.reports.recv().await {
                late += sample.late_replies;
                timeouts += sample.timeouts;
            }
        }
        timeouts
    };
    let late = tokio::time::timeout(Duration::from_secs(5), late).await;
    assert_eq!(late.expect("the late replies are counted"), 2, "each was given up before");
    let executed: i64 = redis::cmd("GET").arg("k").query(&mut old.connection()).expect("reads");
    assert_eq!(executed, 2, "the old primary did execute it");
    let _: i64 = writer.incr("k", 1).await.expect("the session goes on");
}

#[tokio::test]
async fn without_a_lease_nothing_is_sent_and_after_hold_max_the_client_is_told() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    path.tunables(|tunables| tunables.hold_max = Duration::from_millis(200));
    let mut client = connect(&path).await;
    let () = client.set("k", 1).await.expect("writes");
    path.posture(|posture| posture.lease = None);
    let started = tokio::time::Instant::now();
    let error = client.incr::<_, _, i64>("k", 1).await.expect_err("no right to write");
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!(error.to_string().contains("not executed"), "{error}");
    let value: i64 = redis::cmd("GET").arg("k").query(&mut store.connection()).expect("reads");
    assert_eq!(value, 1);
    path.posture(|posture| posture.lease = Some(crate::support::data_path::long_lease(Epoch(1))));
    let _: i64 = client.incr("k", 1).await.expect("goes on");
}

#[tokio::test]
async fn requests_that_wait_are_bounded_in_bytes() {
    let store = RedisServer::start(&[]);
    let mut path = DataPath::start(&[store.port]).await;
    path.tunables(|tunables| tunables.hold_bytes = 10_000);
    path.hold(HoldScope::Writes, false).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let mut client = connect(&path).await;
        tasks.push(tokio::spawn(async move { client.set::<_, _, ()>("k", "x".repeat(4000)).await }));
    }
    let refused = async {
        while !tasks.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("one is refused");
    path.resume();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("ends"));
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2, "{results:?}");
}

#[tokio::test]
async fn stale_reads_go_to_a_mirror_while_the_primary_is_held_if_the_policy_allows() {
    let (primary, mirror) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let () = redis::cmd("SET").arg("k").arg("stale").query(&mut mirror.connection()).expect("sets");
    let mut path = DataPath::start(&[primary.port, mirror.port]).await;
    path.mirrors(&["e1"]);
    path.tunables(|tunables| tunables.policies.rest.stale_reads = Some(Duration::ZERO));
    let mut client = connect(&path).await;
    assert_eq!(client.get::<_, Option<String>>("k").await.expect("reads"), None);
    path.hold(HoldScope::All, true).await;
    assert_eq!(client.get::<_, Option<String>>("k").await.expect("reads").as_deref(), Some("stale"));
}

#[tokio::test]
async fn an_open_transaction_is_replayed_and_a_watched_one_finds_its_keys_changed() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let (mut plain, mut watched) = (connect(&path).await, connect(&path).await);
    let cmd = |name: &str| redis::cmd(name);
    let _: String = cmd("MULTI").query_async(&mut plain).await.expect("begins");
    let _: String = cmd("INCR").arg("n").query_async(&mut plain).await.expect("queued");
    let _: String = cmd("WATCH").arg("w").query_async(&mut watched).await.expect("watches");
    let _: String = cmd("MULTI").query_async(&mut watched).await.expect("begins");
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    let _: String = cmd("INCR").arg("n").query_async(&mut plain).await.expect("queued");
    let done: Vec<i64> = cmd("EXEC").query_async(&mut plain).await.expect("executes");
    assert_eq!(done, [1, 2]);
    let _: String = cmd("SET").arg("w").arg(1).query_async(&mut watched).await.expect("queued");
    let nothing: redis::Value = cmd("EXEC").query_async(&mut watched).await.expect("answers");
    assert_eq!(nothing, redis::Value::Nil);
    assert_eq!(cmd("EXISTS").arg("w").query::<i64>(&mut new.connection()).expect("reads"), 0);
}

#[tokio::test]
async fn what_the_old_primary_does_not_queue_any_more_is_queued_by_the_new_one() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let mut client = BufReader::new(TcpStream::connect(path.address).await.expect("connects"));
    let mut line = async |request: &str| {
        client.write_all(request.as_bytes()).await.expect("asks");
        let mut line = String::new();
        client.read_line(&mut line).await.expect("replies");
        line
    };
    assert_eq!(line("MULTI\r\n").await, "+OK\r\n");
    path.hold(HoldScope::Writes, false).await;
    let () =
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port).query(&mut old.connection()).expect("demotes");
    // A read and a write in one piece: the old primary takes the one and not the other.
    let pieces = "*2\r\n$3\r\nGET\r\n$1\r\nn\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    let moving = async {
        // Until it has been turned away once.
        let errors =
            || -> String { redis::cmd("INFO").arg("errorstats").query(&mut old.connection()).expect("asks") };
        while !errors().contains("errorstat_READONLY") {
            tokio::task::yield_now().await;
        }
        path.move_to("e1", 2);
    };
    let both = async { tokio::join!(line(pieces), moving).0 };
    let first = tokio::time::timeout(Duration::from_secs(5), both).await.expect("in time");
    assert_eq!(first, "+QUEUED\r\n");
    assert_eq!(line("EXEC\r\n").await, "+QUEUED\r\n");
    let replies = [line("").await, line("").await, line("").await];
    assert_eq!(replies, ["*2\r\n", "$-1\r\n", ":1\r\n"]);
}

#[tokio::test]
async fn a_blocked_pop_is_asked_again_at_the_new_primary_and_dropped_when_its_client_leaves() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let (mut waiting, mut leaving) = (connect(&path).await, connect(&path).await);
    let popped = tokio::spawn(async move {
        redis::cmd("BLPOP").arg("q").arg(0).query_async::<(String, i64)>(&mut waiting).await
    });
    let left = tokio::spawn(async move {
        redis::cmd("BLPOP").arg("q").arg(0).query_async::<redis::Value>(&mut leaving).await
    });
    let blocked = |server: &RedisServer| -> usize {
        let info: String = redis::cmd("INFO").arg("clients").query(&mut server.connection()).expect("asks");
        let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:")).expect("a field");
        line.trim().parse().expect("a number")
    };
    let until = async |server: &RedisServer, count: usize| {
        let reached = async {
            while blocked(server) != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reached).await.expect("in time");
    };
    until(&old, 2).await;
    left.abort();
    until(&old, 1).await;
    // A drain does not wait for it; the old primary lets it go when it is demoted.
    path.hold(HoldScope::Writes, false).await;
    let () =
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port).query(&mut old.connection()).expect("demotes");
    path.move_to("e1", 2);
    until(&new, 1).await;
    let () = redis::cmd("RPUSH").arg("q").arg(7).query(&mut new.connection()).expect("pushes");
    assert_eq!(popped.await.expect("ends").expect("popped").1, 7);
}

#[tokio::test]
async fn reads_that_travelled_with_writes_in_doubt_go_again() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start(&[old.port, new.port]).await;
    let () = redis::cmd("SET").arg("r").arg("new").query(&mut new.connection()).expect("sets");
    let mut piped = TcpStream::connect(path.address).await.expect("connects");
    piped.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nr\r\n").await.expect("asks");
    let mut nothing = [0; 5];
    piped.read_exact(&mut nothing).await.expect("replies");
    assert_eq!(&nothing, b"$-1\r\n");
    old.signal("-STOP");
    let pipeline =
        b"*2\r\n$3\r\nGET\r\n$1\r\nr\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$3\r\nGET\r\n$1\r\nr\r\n";
    piped.write_all(pipeline).await.expect("asks");
    let sent = async {
        let mut seen = 0;
        while seen < 3 {
            if let Some(foretoken_types::Report::Sample(sample)) = path.reports.recv().await {
                seen = sample.in_flight;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), sent).await.expect("all three are sent");
    path.hold(HoldScope::All, true).await;
    path.move_to("e1", 2);
    let wanted = "$3\r\nnew\r\n-FTINDOUBT write may or may not have been applied (epoch 1)\r\n$3\r\nnew\r\n";
    let mut replies = vec![0; wanted.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), piped.read_exact(&mut replies)).await;
    read.expect("in time").expect("replies");
    assert_eq!(String::from_utf8_lossy(&replies), wanted);
    old.signal("-CONT");
}
