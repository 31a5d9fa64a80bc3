//! What a session keeps when the primary changes, and whom the servers take it for.

use std::time::Duration;

use foretoken_types::{Durability, HoldScope};
use redis::cmd;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

async fn connect(path: &DataPath) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(path.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connects")
}

/// A client that waits for an element of `q`, for so many seconds.
async fn popping(
    path: &DataPath,
    seconds: f64,
) -> tokio::task::JoinHandle<redis::RedisResult<Option<(String, i64)>>> {
    let mut client = connect(path).await;
    tokio::spawn(async move { cmd("BLPOP").arg("q").arg(seconds).query_async(&mut client).await })
}

async fn two() -> (RedisServer, RedisServer, DataPath) {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let path = DataPath::start(&[old.port, new.port]).await;
    (old, new, path)
}

#[tokio::test]
async fn a_loaded_script_is_known_at_the_new_primary_until_scripts_are_flushed() {
    let (_old, _new, mut path) = two().await;
    let mut client = connect(&path).await;
    let load = async |client: &mut redis::aio::MultiplexedConnection| -> String {
        cmd("SCRIPT").arg("LOAD").arg("return 7").query_async(client).await.expect("loads")
    };
    let hash = load(&mut client).await;
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    let seven: i64 = cmd("EVALSHA").arg(&hash).arg(0).query_async(&mut client).await.expect("is known");
    assert_eq!(seven, 7);
    let () = cmd("SCRIPT").arg("FLUSH").query_async(&mut client).await.expect("flushes");
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e0", 3);
    let () = cmd("SCRIPT").arg("FLUSH").query_async(&mut client).await.expect("flushes");
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 4);
    let unknown = cmd("EVALSHA").arg(&hash).arg(0).query_async::<i64>(&mut client).await;
    assert_eq!(unknown.expect_err("is not known").code(), Some("NOSCRIPT"));
}

#[tokio::test]
async fn names_flags_and_the_database_of_a_session_move_with_it() {
    let (_old, new, mut path) = two().await;
    let mut client = connect(&path).await;
    let () = cmd("CLIENT").arg("SETNAME").arg("me").query_async(&mut client).await.expect("is named");
    let () = cmd("CLIENT").arg("NO-EVICT").arg("on").query_async(&mut client).await.expect("is safe");
    let () = cmd("SELECT").arg(3).query_async(&mut client).await.expect("selects");
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    let () = cmd("SET").arg("k").arg(1).query_async(&mut client).await.expect("writes");
    let name: String = cmd("CLIENT").arg("GETNAME").query_async(&mut client).await.expect("answers");
    assert_eq!(name, "me");
    let list: String = cmd("CLIENT").arg("LIST").query(&mut new.connection()).expect("lists");
    let own = list.lines().find(|line| line.contains(" name=me ")).expect("it is there");
    assert!(own.contains(" db=3 ") && own.contains(" flags=e "), "{own}");
}

#[tokio::test]
async fn keys_that_were_watched_at_the_old_primary_make_a_transaction_fail_whatever_comes_first() {
    let (_old, _new, mut path) = two().await;
    for (number, first) in [["GET", "k"].as_slice(), &["MULTI"], &["WATCH", "other"]].into_iter().enumerate()
    {
        let mut client = connect(&path).await;
        let () = cmd("WATCH").arg("k").query_async(&mut client).await.expect("watches");
        path.hold(HoldScope::Writes, false).await;
        path.move_to(["e1", "e0"][number % 2], 2 + number as u64);
        let _: redis::Value = cmd(first[0]).arg(&first[1..]).query_async(&mut client).await.expect("answers");
        if first != ["MULTI"] {
            let () = cmd("MULTI").query_async(&mut client).await.expect("begins");
        }
        let () = cmd("SET").arg("k").arg("mine").query_async(&mut client).await.expect("is queued");
        let ended: redis::Value = cmd("EXEC").query_async(&mut client).await.expect("answers");
        assert_eq!(ended, redis::Value::Nil, "{first:?}");
    }
}

#[tokio::test]
async fn a_blocked_pop_waits_at_the_new_primary_for_the_rest_of_its_time() {
    let (old, new, mut path) = two().await;
    let mut blocked = connect(&path).await;
    let popped = tokio::spawn(async move {
        cmd("BLPOP").arg("q").arg(100).query_async::<(String, i64)>(&mut blocked).await
    });
    let mut watching = BufReader::new(TcpStream::connect(("127.0.0.1", new.port)).await.expect("connects"));
    watching.write_all(b"MONITOR\r\n").await.expect("asks");
    while !cmd("INFO").query::<String>(&mut old.connection()).expect("asks").contains("blocked_clients:1") {
        tokio::task::yield_now().await;
    }
    // Some of its time.
    tokio::time::sleep(Duration::from_millis(20)).await;
    path.hold(HoldScope::Writes, false).await;
    let () = cmd("REPLICAOF").arg("127.0.0.1").arg(new.port).query(&mut old.connection()).expect("demotes");
    path.move_to("e1", 2);
    let mut line = String::new();
    while !line.contains("\"BLPOP\"") {
        line.clear();
        timeout(Duration::from_secs(10), watching.read_line(&mut line))
            .await
            .expect("in time")
            .expect("lines");
    }
    let left = line.trim_end().trim_end_matches('"').rsplit('"').next().expect("an argument");
    let left: f64 = left.parse().unwrap_or_else(|_| panic!("{line}"));
    assert!(left < 100.0 && left > 50.0, "{line}");
    let () = cmd("RPUSH").arg("q").arg(7).query(&mut new.connection()).expect("pushes");
    assert_eq!(popped.await.expect("ends").expect("popped").1, 7);
}

#[tokio::test]
async fn who_says_nothing_is_the_stored_user_and_who_resets_is_it_again() {
    let store = RedisServer::start(&[]);
    let mut direct = store.connection();
    for user in ["app on >secret ~* +@all", "other on >word ~* +@all", "default off"] {
        let mut set = cmd("ACL");
        set.arg("SETUSER");
        user.split(' ').for_each(|word| {
            set.arg(word);
        });
        let () = set.query(&mut direct).expect("sets");
    }
    let path = DataPath::start_as(&[store.port], "app", "secret").await;
    let mut client = connect(&path).await;
    let mut is = async |who: &str| {
        let user: String = cmd("ACL").arg("WHOAMI").query_async(&mut client).await.expect("answers");
        assert_eq!(user, who);
        if who == "app" {
            let _: redis::Value =
                cmd("AUTH").arg("other").arg("word").query_async(&mut client).await.expect("is let in");
        } else {
            let _: redis::Value = cmd("RESET").query_async(&mut client).await.expect("resets");
        }
    };
    for who in ["app", "other", "app", "other"] {
        is(who).await;
    }
    let refused = redis::Client::open(format!("redis://other:wrong@{}", path.address)).expect("a URL");
    assert!(
        refused.get_multiplexed_async_connection().await.is_err(),
        "a wrong password is a wrong password"
    );
}

#[tokio::test]
async fn a_blocked_pop_whose_time_ends_while_the_primary_changes_finds_nothing() {
    let (old, _new, mut path) = two().await;
    let popped = popping(&path, 0.4).await;
    while !cmd("INFO").query::<String>(&mut old.connection()).expect("asks").contains("blocked_clients:1") {
        tokio::task::yield_now().await;
    }
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    assert_eq!(popped.await.expect("ends").expect("is not in doubt"), None);
}

/// Waits until `server` has so many clients that are blocked.
async fn blocked(server: &RedisServer, clients: usize) {
    let wanted = format!("blocked_clients:{clients}\r");
    let there = async {
        while !cmd("INFO").query::<String>(&mut server.connection()).expect("asks").contains(&wanted) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), there).await.expect("in time");
}

#[tokio::test]
async fn what_a_pop_was_told_without_the_right_to_hear_it_was_nothing_so_it_is_asked_again() {
    let (old, new, path) = two().await;
    let popped = popping(&path, 2.0).await;
    blocked(&old, 1).await;
    path.posture(|posture| posture.lease = None);
    blocked(&old, 0).await;
    let () = cmd("RPUSH").arg("q").arg(7).query(&mut new.connection()).expect("pushes");
    path.move_to("e1", 2);
    assert_eq!(popped.await.expect("ends").expect("is not in doubt"), Some(("q".into(), 7)));
}

#[tokio::test]
async fn a_pop_without_end_that_somebody_ended_is_not_asked_again() {
    let (old, _new, path) = two().await;
    let popped = popping(&path, 0.0).await;
    blocked(&old, 1).await;
    path.posture(|posture| posture.lease = None);
    let clients: String = cmd("CLIENT").arg("LIST").query(&mut old.connection()).expect("tells");
    let waiting = clients.lines().find(|line| line.contains("cmd=blpop")).expect("it waits");
    let id = waiting.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).expect("a number");
    let ended: i64 = cmd("CLIENT").arg("UNBLOCK").arg(id).query(&mut old.connection()).expect("ends it");
    assert_eq!(ended, 1);
    let error = popped.await.expect("ends").expect_err("nobody may say now that it ended");
    assert_eq!(error.code(), Some("FTINDOUBT"), "{error}");
}

#[tokio::test]
async fn a_pop_that_has_waited_at_one_server_for_long_may_wait_at_another_one_and_at_the_third() {
    let servers = [RedisServer::start(&[]), RedisServer::start(&[]), RedisServer::start(&[])];
    let mut path = DataPath::start(&[servers[0].port, servers[1].port, servers[2].port]).await;
    path.tunables(|tunables| tunables.hold_max = Duration::from_millis(500));
    let popped = popping(&path, 100.0).await;
    for (old, new) in [(0, 1), (1, 2)] {
        blocked(&servers[old], 1).await;
        // Longer than it may be held.
        tokio::time::sleep(Duration::from_millis(600)).await;
        path.hold(HoldScope::Writes, false).await;
        let mut direct = servers[old].connection();
        let () =
            cmd("REPLICAOF").arg("127.0.0.1").arg(servers[new].port).query(&mut direct).expect("demotes");
        path.move_to(["e0", "e1", "e2"][new], new as u64 + 1);
    }
    blocked(&servers[2], 1).await;
    let () = cmd("RPUSH").arg("q").arg(7).query(&mut servers[2].connection()).expect("pushes");
    assert_eq!(popped.await.expect("ends").expect("popped"), Some(("q".into(), 7)));
}

#[tokio::test]
async fn a_pop_that_took_nothing_waits_for_no_mirror() {
    let (_old, _new, path) = two().await;
    path.tunables(|tunables| tunables.hold_max = Duration::from_millis(200));
    path.posture(|posture| posture.durability = Durability::Synchronous);
    let mut client = connect(&path).await;
    let popped = cmd("BLPOP").arg("q").arg(0.05).query_async::<Option<(String, i64)>>(&mut client).await;
    assert_eq!(popped.expect("nobody answers whether a mirror has it"), None);
    let error = cmd("RPUSH").arg("q").arg(7).query_async::<i64>(&mut client).await.expect_err("no mirror");
    assert_eq!(error.code(), Some("FTINDOUBT"), "{error}");
}

#[tokio::test]
async fn a_driver_that_tries_a_command_the_server_does_not_know_is_not_cut() {
    let (_old, _new, mut path) = two().await;
    let mut client = connect(&path).await;
    // As redis-py does with each connection.
    let mut tried = cmd("CLIENT");
    tried.arg("MAINT_NOTIFICATIONS").arg("ON");
    assert!(tried.query_async::<()>(&mut client).await.is_err(), "Redis 7 has no such command");
    let () = cmd("SET").arg("k").arg(1).query_async(&mut client).await.expect("writes");
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    let () = cmd("SET").arg("k").arg(2).query_async(&mut client).await.expect("goes on");
}
