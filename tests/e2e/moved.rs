//! What a session keeps when the primary changes, and whom the servers take it for.

use std::time::Duration;

use foretoken_types::HoldScope;
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
    let mut client = connect(&path).await;
    let popped = tokio::spawn(async move {
        cmd("BLPOP").arg("q").arg(0.4).query_async::<Option<(String, i64)>>(&mut client).await
    });
    while !cmd("INFO").query::<String>(&mut old.connection()).expect("asks").contains("blocked_clients:1") {
        tokio::task::yield_now().await;
    }
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    assert_eq!(popped.await.expect("ends").expect("is not in doubt"), None);
}

#[tokio::test]
async fn what_a_pop_was_told_without_the_right_to_hear_it_was_nothing_so_it_is_asked_again() {
    let (old, new, path) = two().await;
    let mut client = connect(&path).await;
    let popped = tokio::spawn(async move {
        cmd("BLPOP").arg("q").arg(0.2).query_async::<Option<(String, i64)>>(&mut client).await
    });
    let blocked = |clients: usize| {
        let told = cmd("INFO").query::<String>(&mut old.connection()).expect("asks");
        told.contains(&format!("blocked_clients:{clients}"))
    };
    while !blocked(1) {
        tokio::task::yield_now().await;
    }
    path.posture(|posture| posture.lease = None);
    while !blocked(0) {
        tokio::task::yield_now().await;
    }
    let () = cmd("RPUSH").arg("q").arg(7).query(&mut new.connection()).expect("pushes");
    path.move_to("e1", 2);
    assert_eq!(popped.await.expect("ends").expect("is not in doubt"), Some(("q".into(), 7)));
}
