//! Reads that mirrors answer although the primary could.

use std::time::Duration;

use foretoken_outbound::{Policy, ReadFrom};
use foretoken_types::MirrorRoute;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

const SPREAD: Policy =
    Policy { read_from: ReadFrom::Mirror, stale_reads: Some(Duration::from_secs(1)), ..Policy::PRIMARY };

/// A primary and a mirror that know by whom they are asked: the key `who` has their name.
struct Stage {
    primary: RedisServer,
    mirror: RedisServer,
    path: DataPath,
    client: MultiplexedConnection,
}

impl Stage {
    async fn new(policy: Policy) -> Self {
        let (primary, mirror) = (RedisServer::start(&[]), RedisServer::start(&[]));
        for (server, name) in [(&primary, "primary"), (&mirror, "mirror")] {
            let () = redis::cmd("SET").arg("who").arg(name).query(&mut server.connection()).expect("sets");
        }
        let path = DataPath::start(&[primary.port, mirror.port]).await;
        path.tunables(|tunables| tunables.policies.rest = policy);
        path.posture(|posture| {
            posture.mirrors = vec![MirrorRoute { endpoint: "e1".into(), staleness: Duration::from_secs(1) }];
        });
        let client = redis::Client::open(path.url()).expect("a URL");
        let client = client.get_multiplexed_async_connection().await.expect("connects");
        Self { primary, mirror, path, client }
    }

    async fn who(&mut self) -> String {
        self.client.get("who").await.expect("answers")
    }
}

#[tokio::test]
async fn a_mirror_answers_reads_and_the_primary_the_rest() {
    let mut stage = Stage::new(SPREAD).await;
    assert_eq!(stage.who().await, "mirror");
    let () = stage.client.set("k", 1).await.expect("writes");
    for (server, there) in [(&stage.primary, 1), (&stage.mirror, 0)] {
        let exists: i64 = redis::cmd("EXISTS").arg("k").query(&mut server.connection()).expect("asks");
        assert_eq!(exists, there);
    }
    assert!(stage.path.asks.try_recv().is_err(), "nobody asked for own writes");
    let keys: i64 = redis::cmd("DBSIZE").query_async(&mut stage.client).await.expect("answers");
    assert_eq!(keys, 2, "how many keys there are is the primary's affair");
    let (in_transaction,): (String,) =
        redis::pipe().atomic().get("who").query_async(&mut stage.client).await.expect("executes");
    assert_eq!(in_transaction, "primary");
    stage.path.tunables(|tunables| tunables.policies.rest = Policy::PRIMARY);
    assert_eq!(stage.who().await, "primary");
}

#[tokio::test]
async fn a_mirror_that_is_too_far_behind_is_not_asked() {
    let mut stage = Stage::new(SPREAD).await;
    stage.path.posture(|posture| posture.mirrors[0].staleness = Duration::from_secs(2));
    assert_eq!(stage.who().await, "primary");
}

#[tokio::test]
async fn a_mirror_that_cannot_be_reached_is_not_waited_for() {
    let mut stage = Stage::new(SPREAD).await;
    stage.mirror.kill();
    assert_eq!(stage.who().await, "primary");
}

#[tokio::test]
async fn the_nearest_answers() {
    let nearest = Policy { read_from: ReadFrom::Nearest, ..SPREAD };
    let mut stage = Stage::new(nearest).await;
    assert_eq!(stage.who().await, "mirror", "it stands in our region");
    stage.path.move_to("e1", 2);
    stage.path.posture(|posture| posture.mirrors[0].endpoint = "e0".into());
    assert_eq!(stage.who().await, "mirror", "which is the primary now; the other one stands elsewhere");
}

#[tokio::test]
async fn who_has_written_reads_from_a_mirror_only_what_it_has() {
    let mut stage = Stage::new(Policy { own_writes: true, ..SPREAD }).await;
    assert_eq!(stage.who().await, "mirror", "nothing was written");
    let () = stage.client.set("k", 1).await.expect("writes");
    assert_eq!(stage.who().await, "primary");
    let ask = stage.path.asks.recv().await.expect("somebody asks");
    ask.answer.send("e1".into()).expect("he waits for it");
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    while stage.who().await != "mirror" {
        assert!(tokio::time::Instant::now() < end, "the mirror has it");
    }
    let other = redis::Client::open(stage.path.url()).expect("a URL");
    let mut other = other.get_multiplexed_async_connection().await.expect("connects");
    let who: String = other.get("who").await.expect("answers");
    assert_eq!(who, "mirror", "another one has written nothing");
}

#[tokio::test]
async fn own_writes_are_looked_for_also_when_mirrors_answer_only_in_need() {
    let policy = Policy { own_writes: true, read_from: ReadFrom::Primary, ..SPREAD };
    let mut stage = Stage::new(policy).await;
    let () = stage.client.set("k", 1).await.expect("writes");
    let ask = stage.path.asks.recv().await.expect("somebody asks");
    // The primary is not to be had, for this session nor for its question; then there is another epoch.
    stage.path.hold(foretoken_types::HoldScope::All, true).await;
    stage.path.mirrors(&["e1"]);
    let mut reader = stage.client.clone();
    let who = tokio::spawn(async move { reader.get::<_, String>("who").await });
    assert!(!who.is_finished(), "no mirror is known to have it");
    drop(ask);
    stage.path.move_to("e0", 2);
    let ask = stage.path.asks.recv().await.expect("it is asked again");
    assert_eq!(ask.epoch, foretoken_types::Epoch(2));
    assert_eq!(who.await.expect("ends").expect("answers"), "primary");
    ask.answer.send("e1".into()).expect("he waits for it");
    stage.path.hold(foretoken_types::HoldScope::All, false).await;
    assert_eq!(stage.who().await, "mirror");
}
