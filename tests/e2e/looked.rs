//! A new connection carries nothing before its server was looked at; the test is who looks.

use std::time::Duration;

use foretoken_app::BootClock;
use foretoken_outbound::{Policy, ReadFrom};
use foretoken_protocol_redis::Redis;
use foretoken_types::{Clock as _, MirrorRoute};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

/// Far above what anything here takes.
const LONG: Duration = Duration::from_secs(10);

async fn unseen(ports: &[u16]) -> DataPath {
    DataPath::start_unseen(ports, 10_000, Redis::default()).await
}

const GET: &str = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
const NIL: &str = "$-1\r\n";

/// A client that has sent this; drivers ask things of their own first.
async fn ask(path: &DataPath, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(path.address).await.expect("connects");
    client.write_all(request.as_bytes()).await.expect("is taken");
    client
}

/// The reply to what was asked.
async fn nil(client: &mut TcpStream) {
    let mut reply = [0; NIL.len()];
    timeout(LONG, client.read_exact(&mut reply)).await.expect("is answered").expect("whole");
    assert_eq!(std::str::from_utf8(&reply), Ok(NIL));
}

/// A new connection to this endpoint waits for a look, and nothing is answered before.
async fn waits(path: &DataPath, client: &TcpStream, endpoint: usize) {
    timeout(LONG, path.sights[endpoint].wished()).await.expect("a look is wished for");
    let answered = timeout(Duration::from_millis(100), client.readable()).await;
    assert!(answered.is_err(), "an answer without a look");
}

/// How often a server was asked `command`.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let info: String =
        redis::cmd("INFO").arg("commandstats").query(&mut server.connection()).expect("answers");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
}

/// Clients of a server, the one that asks aside.
fn clients(server: &RedisServer) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut server.connection()).expect("answers");
    list.lines().filter(|line| !line.contains("cmd=client|list")).count()
}

#[tokio::test]
async fn nothing_is_sent_before_a_look_that_is_younger_than_the_connection() {
    let server = RedisServer::start(&[]);
    let path = unseen(&[server.port]).await;
    let early = BootClock.now();
    let mut client = ask(&path, GET).await;
    waits(&path, &client, 0).await;
    path.sights[0].confirm(early);
    let answered = timeout(Duration::from_millis(100), client.readable()).await;
    assert!(answered.is_err(), "that look was made before");
    assert_eq!(calls(&server, "get"), 0);
    path.sights[0].confirm(BootClock.now());
    nil(&mut client).await;
    assert_eq!(calls(&server, "get"), 1);
}

#[tokio::test]
async fn who_leaves_while_a_look_is_waited_for_leaves_no_connection_behind() {
    let server = RedisServer::start(&[]);
    let path = unseen(&[server.port]).await;
    for _ in 0..3 {
        let client = ask(&path, "*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n").await;
        waits(&path, &client, 0).await;
        assert!(clients(&server) > 0, "no connection was made");
        drop(client);
        let deadline = Instant::now() + LONG;
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while clients(&server) > 0 {
            look.tick().await;
            assert!(Instant::now() < deadline, "the connection is still there");
        }
    }
}

/// A primary, a mirror, and a data path that reads from the mirror.
async fn spread() -> (RedisServer, RedisServer, DataPath) {
    let (primary, mirror) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let path = unseen(&[primary.port, mirror.port]).await;
    path.sights[0].confirm(BootClock.now() + Duration::from_secs(3600));
    path.tunables(|tunables| {
        let (read_from, stale_reads) = (ReadFrom::Mirror, Some(LONG));
        tunables.policies.rest = Policy { read_from, stale_reads, ..Policy::PRIMARY };
    });
    path.posture(|posture| {
        posture.mirrors = vec![MirrorRoute { endpoint: "e1".into(), staleness: Duration::ZERO }];
    });
    (primary, mirror, path)
}

#[tokio::test]
async fn a_mirror_is_read_from_all_the_same_when_nobody_is_left_who_looks() {
    let (primary, mirror, mut path) = spread().await;
    path.sights.clear();
    nil(&mut ask(&path, GET).await).await;
    assert_eq!((calls(&primary, "get"), calls(&mirror, "get")), (0, 1));
}

/// It may have been restarted without its data.
#[tokio::test]
async fn a_mirror_that_a_look_finds_unfit_is_not_read_from() {
    let (primary, mirror, path) = spread().await;
    let mut client = ask(&path, GET).await;
    timeout(LONG, path.sights[1].wished()).await.expect("a look is wished for");
    path.posture(|posture| posture.mirrors.clear());
    path.sights[1].confirm(BootClock.now());
    nil(&mut client).await;
    assert_eq!((calls(&primary, "get"), calls(&mirror, "get")), (1, 0));
}
