//! Sessions share upstream connections without seeing each other.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

fn connect(url: &str) -> redis::Connection {
    redis::Client::open(url).expect("a URL").get_connection().expect("connects")
}

fn connected_clients(server: &RedisServer) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut server.connection()).expect("lists");
    // Less the connection that asks.
    list.lines().count() - 1
}

#[tokio::test]
async fn plain_sessions_share_one_upstream_and_a_session_with_state_gets_its_own() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let mut clients: Vec<_> = (0..20).map(|_| connect(&url)).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            let () = redis::cmd("SET").arg(n).arg(n).query(client).expect("sets");
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let value: usize = redis::cmd("GET").arg(n).query(client).expect("gets");
            assert_eq!(value, n);
        }
        assert_eq!(connected_clients(&store), 1, "one shared connection for twenty clients");
        let () = redis::cmd("MULTI").query(&mut clients[0]).expect("begins");
        let queued: String = redis::cmd("INCR").arg("n").query(&mut clients[0]).expect("queued");
        let apart: i64 = redis::cmd("INCR").arg("n").query(&mut clients[1]).expect("not queued");
        let ((done,),): ((i64,),) = (redis::cmd("EXEC").query(&mut clients[0]).expect("executes"),);
        assert_eq!((queued.as_str(), apart, done), ("QUEUED", 1, 2));
        assert_eq!(connected_clients(&store), 2);
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_transaction_that_a_refused_command_did_not_end_is_nobody_elses() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let (mut first, mut second) = (connect(&url), connect(&url));
        let () = redis::cmd("SET").arg("k").arg("v").query(&mut second).expect("sets");
        // All in one write, so that it could travel over the connection that both share.
        let mut cut = redis::pipe();
        cut.cmd("MULTI").cmd("INCR").arg("n").cmd("DISCARD").arg("x");
        cut.query::<redis::Value>(&mut first).expect_err("DISCARD takes nothing");
        let value: String = redis::cmd("GET").arg("k").query(&mut second).expect("gets");
        assert_eq!(value, "v", "it is not queued");
        let error =
            redis::cmd("EXEC").query::<redis::Value>(&mut first).expect_err("the refusal has spoilt it");
        assert_eq!(error.code(), Some("EXECABORT"), "{error}");
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn what_is_selected_between_watch_and_exec_holds_behind_it() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let mut client = connect(&url);
        // Over a shared connection, which is not the right one behind the transaction.
        for line in ["SET k zero", "WATCH k", "SELECT 3", "MULTI", "EXEC", "SET k three"] {
            let mut cmd = redis::Cmd::new();
            for word in line.split(' ') {
                cmd.arg(word);
            }
            let _: redis::Value = cmd.query(&mut client).expect("is taken");
        }
        let three: String =
            redis::cmd("GET").arg("k").query(&mut connect(&format!("{url}/3"))).expect("gets");
        let zero: String = redis::cmd("GET").arg("k").query(&mut connect(&url)).expect("gets");
        assert_eq!((zero.as_str(), three.as_str()), ("zero", "three"));
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_second_client_with_a_wrong_password_gets_nothing() {
    let store = RedisServer::start(&["--requirepass", "right"]);
    let path = DataPath::start(&[store.port]).await;
    let address = path.address;
    tokio::task::spawn_blocking(move || {
        let url = |password: &str| format!("redis://:{password}@{address}");
        let mut good = connect(&url("right"));
        let () = redis::cmd("SET").arg("k").arg("v").query(&mut good).expect("sets");
        assert!(redis::Client::open(url("wrong")).expect("a URL").get_connection().is_err());
        let mut none = connect(&format!("redis://{address}"));
        let refused =
            redis::cmd("GET").arg("k").query::<String>(&mut none).expect_err("no password was shown");
        assert_eq!(refused.code(), Some("NOAUTH"));
        let refused = redis::cmd("AUTH").arg("wrong").query::<String>(&mut none).expect_err("a wrong one");
        assert_eq!(refused.code(), Some("WRONGPASS"));
        let refused = redis::cmd("GET").arg("k").query::<String>(&mut none).expect_err("still none");
        assert_eq!(refused.code(), Some("NOAUTH"));
        let value: String = redis::cmd("GET").arg("k").query(&mut good).expect("gets");
        assert_eq!(value, "v");
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_client_that_only_logs_in_leaves_no_connection_behind() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        for _ in 0..20 {
            // It sends SELECT and nothing else.
            drop(connect(&format!("{url}/3")));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while connected_clients(&store) > 0 {
            assert!(Instant::now() < deadline, "{} connections are left", connected_clients(&store));
        }
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn a_database_that_was_selected_while_keys_were_watched_is_the_one_afterwards() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let mut client = connect(&url);
        for line in ["SET where 0", "WATCH k", "SELECT 1", "UNWATCH", "SET where 1"] {
            let mut words = line.split(' ');
            let mut cmd = redis::cmd(words.next().expect("a name"));
            let () = cmd.arg(words.collect::<Vec<_>>()).query(&mut client).expect(line);
        }
        let mut direct = store.connection();
        let first: u8 = redis::cmd("GET").arg("where").query(&mut direct).expect("gets");
        let () = redis::cmd("SELECT").arg(1).query(&mut direct).expect("selects");
        let second: u8 = redis::cmd("GET").arg("where").query(&mut direct).expect("gets");
        assert_eq!((first, second), (0, 1));
    })
    .await
    .expect("done");
}

#[tokio::test]
async fn databases_names_and_protocol_versions_stay_apart() {
    let store = RedisServer::start(&[]);
    let path = DataPath::start(&[store.port]).await;
    let url = path.url();
    tokio::task::spawn_blocking(move || {
        let mut zero = connect(&url);
        let mut three = connect(&format!("{url}/3"));
        let mut resp3 = connect(&format!("{url}/?protocol=resp3"));
        let () = redis::cmd("SET").arg("k").arg("zero").query(&mut zero).expect("sets");
        let () = redis::cmd("SET").arg("k").arg("three").query(&mut three).expect("sets");
        let read = |client: &mut redis::Connection| {
            redis::cmd("GET").arg("k").query::<String>(client).expect("gets")
        };
        assert_eq!(
            (read(&mut zero), read(&mut three), read(&mut resp3)),
            ("zero".into(), "three".into(), "zero".into())
        );
        let () = redis::cmd("HSET").arg("h").arg("f").arg("v").query(&mut zero).expect("sets");
        let map: redis::Value = redis::cmd("HGETALL").arg("h").query(&mut resp3).expect("gets");
        assert!(matches!(map, redis::Value::Map(_)), "{map:?}");
        let flat: redis::Value = redis::cmd("HGETALL").arg("h").query(&mut zero).expect("gets");
        assert!(matches!(flat, redis::Value::Array(_)), "{flat:?}");
    })
    .await
    .expect("done");
}
