//! Data blocks: what each lets happen while the primary can't serve.

use std::time::Duration;

use foretoken_outbound::Policy;
use foretoken_types::HoldScope;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisResult, cmd};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

const S: Duration = Duration::from_secs(1);
/// Reads may be as stale as that.
const STALE: Policy = Policy { stale_reads: Some(S), ..Policy::PRIMARY };
const REFUSE: Policy = Policy { queue_writes: false, ..Policy::PRIMARY };

async fn connect(path: &DataPath) -> MultiplexedConnection {
    let client = redis::Client::open(path.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connects")
}

fn vain<T: std::fmt::Debug>(result: RedisResult<T>) {
    let error = result.expect_err("it waits for the primary");
    assert!(error.to_string().contains("waited in vain"), "{error}");
}

fn refused<T: std::fmt::Debug>(result: RedisResult<T>) {
    let error = result.expect_err("its writes don't wait");
    assert!(error.to_string().contains("don't wait"), "{error}");
}

#[tokio::test]
async fn stale_reads_go_on_where_every_block_that_they_touch_allows_them() {
    let (primary, mirror) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let policies = [
        ("cart:", STALE),
        ("geo:", Policy { stale_reads: Some(S * 5), ..Policy::PRIMARY }),
        ("user:", Policy::PRIMARY),
    ];
    let mut path = DataPath::start_with_blocks(&[primary.port, mirror.port], &policies).await;
    path.mirrors(&["e1"]);
    path.tunables(|tunables| tunables.hold_max = Duration::from_millis(100));
    for key in ["cart:1", "geo:1", "user:1", "rest"] {
        let () = cmd("SET").arg(key).arg("stale").query(&mut mirror.connection()).expect("sets");
    }
    path.hold(HoldScope::All, true).await;
    let mut client = connect(&path).await;
    let stale = |values: RedisResult<Vec<String>>| {
        assert!(values.expect("reads").iter().all(|value| value == "stale"));
    };
    stale(client.mget(&["cart:1"]).await);
    stale(client.mget(&["cart:1", "geo:1"]).await);
    vain(client.get::<_, String>("user:1").await);
    vain(client.get::<_, String>("rest").await);
    vain(client.mget::<_, Vec<String>>(&["cart:1", "user:1"]).await);
    vain(client.mget::<_, Vec<String>>(&["cart:1", "rest"]).await);
    vain(client.keys::<_, Vec<String>>("cart:*").await);
    vain(cmd("EVAL_RO").arg("return 1").arg(0).query_async::<i64>(&mut client).await);
    // Behind the limit of one block, and not of the other.
    path.posture(|posture| posture.mirrors[0].staleness = S * 3);
    vain(client.get::<_, String>("cart:1").await);
    vain(client.mget::<_, Vec<String>>(&["cart:1", "geo:1"]).await);
    stale(client.mget(&["geo:1"]).await);
    // The rest has a policy of its own.
    path.tunables(|tunables| tunables.policies.rest = Policy { stale_reads: Some(S * 3), ..Policy::PRIMARY });
    stale(client.mget(&["rest", "geo:1"]).await);
    vain(client.get::<_, String>("user:1").await);
}

#[tokio::test]
async fn a_client_that_comes_while_only_a_mirror_answers_is_let_in_and_goes_on_at_the_primary() {
    let (primary, mirror) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut path = DataPath::start_with_blocks(&[primary.port, mirror.port], &[("cart:", STALE)]).await;
    path.mirrors(&["e1"]);
    for (server, value) in [(&primary, "fresh"), (&mirror, "stale")] {
        let mut connection = server.connection();
        redis::pipe()
            .cmd("SELECT")
            .arg(1)
            .cmd("SET")
            .arg("cart:1")
            .arg(value)
            .exec(&mut connection)
            .expect("sets");
    }
    path.hold(HoldScope::All, true).await;
    let mut stream = BufReader::new(TcpStream::connect(path.address).await.expect("connects"));
    let mut ask = async |words: &str, replies: &[&str]| {
        stream.write_all(format!("{words}\r\n").as_bytes()).await.expect("asks");
        for reply in replies {
            let mut line = String::new();
            let read = tokio::time::timeout(S * 3, stream.read_line(&mut line)).await;
            read.expect("answers at once").expect("replies");
            assert_eq!(line.trim_end(), *reply, "to {words}");
        }
    };
    ask("CLIENT SETNAME visitor", &["+OK"]).await;
    ask("SELECT 1", &["+OK"]).await;
    ask("GET cart:1", &["$5", "stale"]).await;
    path.move_to("e0", 2);
    ask("GET cart:1", &["$5", "fresh"]).await;
    ask("CLIENT GETNAME", &["$7", "visitor"]).await;
    ask("SET cart:1 newer", &["+OK"]).await;
    ask("GET cart:1", &["$5", "newer"]).await;
}

#[tokio::test]
async fn writes_wait_or_are_refused_at_once_by_their_blocks() {
    let store = RedisServer::start(&[]);
    let policies = [("cart:", REFUSE), ("user:", Policy::PRIMARY)];
    let mut path = DataPath::start_with_blocks(&[store.port], &policies).await;
    let (mut waiting, mut client) = (connect(&path).await, connect(&path).await);
    path.hold(HoldScope::Writes, false).await;
    let queued = tokio::spawn(async move { waiting.incr::<_, _, i64>("user:n", 1).await });
    refused(client.incr::<_, _, i64>("cart:n", 1).await);
    refused(client.mset::<_, _, ()>(&[("cart:n", 7), ("user:n", 7)]).await);
    refused(cmd("FLUSHALL").query_async::<()>(&mut client).await);
    assert_eq!(client.get::<_, Option<i64>>("cart:n").await.expect("reads go on"), None);
    assert!(!queued.is_finished());
    path.resume();
    assert_eq!(queued.await.expect("ends").expect("is executed"), 1, "once");
    assert_eq!(client.incr::<_, _, i64>("cart:n", 1).await.expect("writes again"), 1);
}

#[tokio::test]
async fn a_write_that_is_refused_takes_nothing_with_it_that_was_sent_together() {
    let store = RedisServer::start(&[]);
    let policies = [("cart:", REFUSE), ("user:", Policy::PRIMARY)];
    let mut path = DataPath::start_with_blocks(&[store.port], &policies).await;
    path.hold(HoldScope::Writes, false).await;
    let mut stream = BufReader::new(TcpStream::connect(path.address).await.expect("connects"));
    let request = |words: &[&str]| {
        let head = format!("*{}\r\n", words.len());
        words.iter().fold(head, |all, word| all + &format!("${}\r\n{word}\r\n", word.len()))
    };
    let pipeline = [
        request(&["EXISTS", "x"]),
        request(&["INCR", "cart:n"]),
        request(&["MULTI"]),
        request(&["INCR", "cart:n"]),
        request(&["INCR", "user:n"]),
        request(&["EXEC"]),
        request(&["INCR", "user:n"]),
        request(&["GET", "cart:n"]),
    ];
    stream.write_all(pipeline.concat().as_bytes()).await.expect("asks");
    let mut line = async || {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("replies");
        line
    };
    assert_eq!(line().await, ":0\r\n");
    // The first INCR, and each part of the transaction.
    for _ in 0..5 {
        let words = line().await;
        assert!(words.starts_with("-LOADING") && words.contains("don't wait"), "{words}");
    }
    path.resume();
    assert_eq!((line().await, line().await), (":1\r\n".to_owned(), "$-1\r\n".to_owned()));
}

#[tokio::test]
async fn an_exec_is_as_strict_as_all_that_was_queued() {
    let store = RedisServer::start(&[]);
    let policies = [("cart:", REFUSE), ("user:", Policy::PRIMARY)];
    let mut path = DataPath::start_with_blocks(&[store.port], &policies).await;
    let (mut strict, mut patient) = (connect(&path).await, connect(&path).await);
    for (client, keys) in [(&mut strict, ["user:n", "cart:n"]), (&mut patient, ["user:n", "user:m"])] {
        let _: String = cmd("MULTI").query_async(client).await.expect("begins");
        for key in keys {
            let _: String = cmd("INCR").arg(key).query_async(client).await.expect("is queued");
        }
    }
    path.hold(HoldScope::Writes, false).await;
    let waiting = tokio::spawn(async move { cmd("EXEC").query_async::<Vec<i64>>(&mut patient).await });
    let error = cmd("EXEC").query_async::<Vec<i64>>(&mut strict).await.expect_err("is refused");
    assert!(error.to_string().contains("don't wait"), "{error}");
    assert!(!waiting.is_finished());
    path.resume();
    assert_eq!(waiting.await.expect("ends").expect("is executed"), [1, 1]);
    assert_eq!(strict.get::<_, i64>("user:n").await.expect("the session goes on"), 1);
}

#[tokio::test]
async fn a_request_too_long_to_be_collected_is_refused_by_its_key() {
    let store = RedisServer::start(&[]);
    let mut path =
        DataPath::start_with_blocks(&[store.port], &[("cart:", REFUSE), ("user:", Policy::PRIMARY)]).await;
    path.hold(HoldScope::Writes, false).await;
    let mut stream = TcpStream::connect(path.address).await.expect("connects");
    let value = "v".repeat(4 * 1024 * 1024);
    let long = format!("*3\r\n$3\r\nSET\r\n$6\r\ncart:1\r\n${}\r\n{value}\r\n", value.len());
    stream.write_all(long.as_bytes()).await.expect("asks");
    let mut words = [0; 8];
    stream.read_exact(&mut words).await.expect("replies");
    assert_eq!(&words, b"-LOADING");
}
