//! Roles that others move: Sentinels, or an operator by `FAILOVER` and `REPLICAOF`. The sidecar changes none, and follows.

use std::time::Duration;

use foretoken_app::client::model::{AuthorityRole, StoreStatus};
use foretoken_demo::checker::{Findings, check};
use foretoken_demo::history::{Ending, Fault, Operation};
use foretoken_demo::servers::Server;
use foretoken_demo::workload::Mix;
use foretoken_types::EndpointId;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::sentinel::{Sentinels, ask};
use crate::support::{LONG, Seen, Store, servers};

/// From the moment in which a promotion can be seen to that in which the new primary serves through the sidecar.
const SOON: Duration = Duration::from_secs(2);

/// Mirrors are made by hand: nobody else does it here.
async fn replicated(dir: &TempDir, count: usize) -> Vec<Server> {
    let servers = servers(dir.path(), count);
    for mirror in &servers[1..] {
        replicaof(mirror, &servers[0]).await;
    }
    servers
}

async fn replicaof(mirror: &Server, primary: &Server) {
    let port = primary.port().to_string();
    let () = ask(mirror.port(), &["REPLICAOF", "127.0.0.1", &port]).await.expect("is done");
}

async fn promote(mirror: &Server) {
    let () = ask(mirror.port(), &["REPLICAOF", "NO", "ONE"]).await.expect("is done");
}

/// In front of a store whose roles an operator moves.
async fn followed(count: usize) -> Store {
    let dir = TempDir::new().expect("a directory");
    let servers = replicated(&dir, count).await;
    Store::around(dir, servers, |setup| {
        setup.store = "manage = \"follow\"\n".to_owned();
        setup.sole_writer = false;
    })
    .await
}

/// In front of a store that Sentinels manage, which nobody has told the sidecar.
async fn watched(count: usize) -> (Store, Sentinels) {
    let dir = TempDir::new().expect("a directory");
    let servers = replicated(&dir, count).await;
    let sentinels = Sentinels::start(dir.path(), &servers[0], count - 1).await;
    (Store::around(dir, servers, |_| {}).await, sentinels)
}

/// Waits until one of the mirrors says itself that it is a primary.
async fn promoted(servers: &[Server]) -> EndpointId {
    let deadline = Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(5));
    loop {
        look.tick().await;
        for server in &servers[1..] {
            if is_primary(server).await {
                return server.name.as_str().into();
            }
        }
        assert!(Instant::now() < deadline, "nobody is promoted");
    }
}

async fn is_primary(server: &Server) -> bool {
    let told: redis::RedisResult<Vec<redis::Value>> = ask(server.port(), &["ROLE"]).await;
    let role = told.ok().and_then(|words| redis::from_redis_value::<String>(words.first()?).ok());
    role.is_some_and(|role| role == "master")
}

/// Waits until the sidecar serves `new`, and says how long that took.
async fn follows(store: &mut Store, new: &EndpointId) -> (StoreStatus, Duration) {
    let began = Instant::now();
    let is = |status: &StoreStatus| status.ready && status.primary.as_ref() == Some(new);
    let status = store.wait("the new primary to serve", is).await;
    assert_eq!(status.authority.role, AuthorityRole::Follower, "{status:?}");
    (status, began.elapsed())
}

/// The longest time in which nothing was acknowledged: the old primary was not asked any more, and the new one not yet.
fn outage(history: &[Operation]) -> Fault {
    let acknowledged = history.iter().filter(|operation| operation.is_acknowledged_write());
    let mut ends: Vec<Duration> = acknowledged.map(|operation| operation.ended).collect();
    ends.sort_unstable();
    let longest = ends.windows(2).max_by_key(|pair| pair[1] - pair[0]).expect("writes");
    Fault { from: longest[0], until: longest[1] }
}

/// What is lost are the last writes before the outage: nothing is acknowledged by a primary once another one has served.
fn assert_loss_ends_with_the_old_primary(seen: &Seen) -> Findings {
    let fault = outage(&seen.history);
    let findings = check(&seen.history, &seen.contents, Some(fault));
    assert!(findings.done > 0 && findings.is_honest(), "{findings:?}");
    let last = findings.lost.iter().map(|&lost| seen.history[lost].ended).max();
    assert!(last.is_none_or(|last| last <= fault.from), "{last:?} is after {fault:?}");
    findings
}

/// Nobody hears of a role that another server lost.
fn assert_no_readonly(seen: &Seen) {
    for operation in &seen.history {
        if let Ending::NotExecuted(why) | Ending::InDoubt(why) = &operation.ending {
            assert!(!why.contains("READONLY") && !why.to_lowercase().contains("read only"), "{operation:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_sentinel_promotes_after_a_crash_is_served() {
    let (mut store, _sentinels) = watched(3).await;
    let before = store.whole().await;
    let clients = store.clients();
    clients.work(2000).await;
    store.servers[0].kill().expect("dies");
    let from = clients.now();
    let new = promoted(&store.servers).await;
    let (status, took) = follows(&mut store, &new).await;
    assert!(took < SOON, "{took:?}");
    assert!(status.epoch > before.epoch, "{status:?}");
    clients.work(100).await;
    let until = clients.now();
    clients.work(1000).await;

    // It comes back as the primary that it was, until Sentinel makes it a mirror.
    store.servers[0].restart().expect("comes back");
    let whole = store.whole().await;
    if whole.primary == status.primary {
        assert_eq!(whole.epoch, status.epoch, "that is no news");
    }
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end(&url, Some(Fault { from, until })).await;
    assert_no_readonly(&seen);
    let last = store.whole().await;
    if last.primary == status.primary {
        // How much asynchronous replication loses by a crash is Sentinel's affair; that it is a suffix is ours.
        seen.assert_honest();
    } else {
        // Sentinels that were kept from running may promote yet another one, and what that has not is their affair, too.
        assert!(last.epoch > status.epoch, "{last:?}");
        eprintln!("Sentinel has promoted {:?} after {:?}", last.primary, status.primary);
    }
}

/// Sentinel leaves the old primary what it is for some ten seconds after it has promoted another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_is_ordered_of_sentinel_is_followed_before_the_old_primary_is_demoted() {
    let (mut store, sentinels) = watched(3).await;
    let before = store.whole().await;
    let clients = store.clients_with(Mix::Uncounted);
    clients.work(2000).await;
    sentinels.failover().await;
    let new = promoted(&store.servers).await;
    let (status, took) = follows(&mut store, &new).await;
    assert!(is_primary(&store.servers[0]).await, "the old one could go on");
    assert!(took < SOON, "{took:?}");
    assert!(status.epoch > before.epoch, "{status:?}");
    let reason = status.reason.unwrap_or_default();
    assert!(reason.contains(&format!("the primary role was moved by others, from a to {new}")), "{reason}");
    clients.work(1000).await;
    let whole = store.whole().await;
    assert_eq!(whole.epoch, status.epoch, "that it is demoted in the end is no news");
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end(&url, None).await;
    assert_no_readonly(&seen);
    let findings = assert_loss_ends_with_the_old_primary(&seen);
    let lost = || findings.lost.iter().map(|&lost| seen.history[lost].ended);
    let window = lost().max().zip(lost().min()).map_or(Duration::ZERO, |(last, first)| last - first);
    assert!(window < SOON, "writes were sent to the old primary for {window:?} after the promotion");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_an_operator_orders_of_redis_loses_nothing() {
    let mut store = followed(3).await;
    let before = store.whole().await;
    let clients = store.clients();
    clients.work(2000).await;
    let (from, to) = (store.servers[0].port(), store.servers[1].port().to_string());
    let () = ask(from, &["FAILOVER", "TO", "127.0.0.1", &to]).await.expect("it begins");
    let new = promoted(&store.servers).await;
    let (status, took) = follows(&mut store, &new).await;
    assert!(took < SOON, "{took:?}");
    assert!(status.epoch > before.epoch, "{status:?}");
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end(&url, None).await;
    seen.assert_honest();
    assert!(seen.findings.lost.is_empty(), "{:?}", seen.findings);
    assert_no_readonly(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_an_operator_exchanges_by_hand_are_followed() {
    let mut store = followed(2).await;
    let before = store.whole().await;
    let clients = store.clients_with(Mix::Uncounted);
    clients.work(2000).await;
    promote(&store.servers[1]).await;
    replicaof(&store.servers[0], &store.servers[1]).await;
    let (status, took) = follows(&mut store, &"b".into()).await;
    assert!(took < SOON, "{took:?}");
    assert!(status.epoch > before.epoch, "{status:?}");
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end(&url, None).await;
    assert_no_readonly(&seen);
    // The old primary took writes between the two commands: no sidecar can bring these back.
    assert_loss_ends_with_the_old_primary(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_primaries_neither_takes_writes_until_an_operator_has_chosen() {
    let mut store = followed(2).await;
    let before = store.whole().await;
    let mut client = connected(&store).await;
    promote(&store.servers[1]).await;
    let told = |status: &StoreStatus| {
        let reason = status.reason.as_deref().unwrap_or_default();
        !status.ready && reason.contains("b was promoted by others, and a is a primary too")
    };
    store.wait("two primaries to be told", told).await;
    let refused = write(&mut client, 1).await.expect_err("nobody takes it");
    assert!(refused.to_string().contains("not executed, try again"), "{refused}");
    for server in &store.servers {
        let value: Option<u64> = ask(server.port(), &["GET", "k"]).await.expect("answers");
        assert_eq!(value, None, "{} has got it", server.name);
    }
    replicaof(&store.servers[0], &store.servers[1]).await;
    let (status, took) = follows(&mut store, &"b".into()).await;
    assert!(took < SOON, "{took:?}");
    assert!(status.epoch > before.epoch, "{status:?}");
    write(&mut client, 2).await.expect("is served");
    let value: u64 = ask(store.servers[1].port(), &["GET", "k"]).await.expect("answers");
    assert_eq!(value, 2);
}

/// Over a connection that was there before: what a driver sends at the beginning of one is held as well.
async fn connected(store: &Store) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(LONG).set_response_timeout(LONG);
    let client = redis::Client::open(store.sidecar.url()).expect("a URL");
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("it listens")
}

async fn write(connection: &mut MultiplexedConnection, value: u64) -> redis::RedisResult<()> {
    redis::cmd("SET").arg("k").arg(value).query_async(connection).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_moves_to_a_server_which_is_not_configured_is_told_and_nothing_is_written() {
    let dir = TempDir::new().expect("a directory");
    let mut servers = replicated(&dir, 3).await;
    let stranger = servers.pop().expect("there are three");
    let mut store = Store::around(dir, servers, |setup| {
        setup.store = "manage = \"follow\"\n".to_owned();
        setup.sole_writer = false;
    })
    .await;
    let mut client = connected(&store).await;
    promote(&stranger).await;
    for server in &store.servers {
        replicaof(server, &stranger).await;
    }
    let told = |status: &StoreStatus| {
        let reason = status.reason.as_deref().unwrap_or_default();
        !status.ready && reason.contains("copies a server that is not configured")
    };
    store.wait("it to be told", told).await;
    let refused = write(&mut client, 1).await.expect_err("nobody takes it");
    assert!(refused.to_string().contains("not executed, try again"), "{refused}");
    // Back among those that are known.
    promote(&store.servers[1]).await;
    replicaof(&store.servers[0], &store.servers[1]).await;
    follows(&mut store, &"b".into()).await;
    write(&mut client, 2).await.expect("is served");
}
