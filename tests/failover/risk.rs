//! A predicted exhaustion: what is done about it, by policy, and what is not.

use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use foretoken_types::{Durability, StoreState};

use crate::support::Store;

/// Limit of connections of the primary that leaks: seconds away at the pace below.
const LIMIT: usize = 80;
/// Between two connections that somebody opens past us and never closes.
const LEAK: Duration = Duration::from_millis(250);

async fn store(policy: &str) -> Store {
    limited(&format!("risk = {{ policy = \"{policy}\", step = \"1s\", cooldown = \"1h\" }}\n")).await
}

/// A store whose first server takes few connections.
pub(crate) async fn limited(keys: &str) -> Store {
    let store = Store::start_with(2, |setup| keys.clone_into(&mut setup.store)).await;
    let mut primary = direct(&store, 0).await;
    redis::cmd("CONFIG")
        .arg(&["SET", "maxclients"])
        .arg(LIMIT)
        .exec_async(&mut primary)
        .await
        .expect("is set");
    store
}

async fn direct(store: &Store, server: usize) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(store.servers[server].url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connects")
}

/// Leaks connections of the first server until `enough`, or until it takes no more. Gives what was leaked.
pub(crate) async fn leak(store: &Store, enough: impl Fn(&StoreStatus) -> bool) -> Vec<tokio::net::TcpStream> {
    let address = format!("127.0.0.1:{}", store.servers[0].port());
    let mut leaked = Vec::new();
    let mut pace = tokio::time::interval(LEAK);
    while leaked.len() < LIMIT {
        pace.tick().await;
        leaked.push(tokio::net::TcpStream::connect(&address).await.expect("connects"));
        if enough(&store.sidecar.status().await.expect("answers")) {
            break;
        }
    }
    leaked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_of_connections_becomes_a_switchover_that_nobody_feels() {
    let mut store = store("switch").await;
    let clients = store.clients();
    let moved = |status: &StoreStatus| status.primary.as_ref().is_some_and(|primary| primary.as_str() == "b");
    let leaked = leak(&store, moved).await;
    assert!(leaked.len() < LIMIT, "it moved before the limit was reached");
    store.wait("b to serve", |status| status.ready && moved(status)).await;
    clients.work(1000).await;
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_writes_wait_for_a_mirror_while_the_risk_lasts_and_observing_changes_nothing() {
    let mut preparing = store("prepare").await;
    let would_move = |status: &StoreStatus| status.risk.as_ref().is_some_and(|risk| risk.would == "switch");
    let leaked = leak(&preparing, would_move).await;
    let status =
        preparing.wait("synchronous writes", |status| status.durability == Durability::Synchronous).await;
    assert_eq!((status.state, status.primary), (StoreState::AtRisk, Some("a".into())));
    let risk = status.risk.expect("is shown");
    assert!(risk.raised && risk.would == "switch" && risk.action == "prepare", "{risk:?}");
    drop(leaked);
    let calm = |status: &StoreStatus| {
        status.state == StoreState::Healthy && status.durability == Durability::Asynchronous
    };
    preparing.wait("the risk to pass", calm).await;

    let observing = store("observe").await;
    let leaked = leak(&observing, |status| status.risk.as_ref().is_some_and(|risk| risk.raised)).await;
    let status = observing.sidecar.status().await.expect("answers");
    assert_eq!((status.state, status.primary), (StoreState::Healthy, Some("a".into())));
    let risk = status.risk.expect("is shown");
    assert!(risk.action == "stay" && risk.would != "stay", "{risk:?}");
    drop(leaked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_with_the_same_limit_is_no_refuge() {
    let mut store = store("switch").await;
    // Memory fills at both alike: the mirror has the data, too, and the same limit.
    let mut limits = Vec::new();
    for server in 0..2 {
        let mut connection = direct(&store, server).await;
        let set = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "64mb"]).exec_async(&mut connection).await;
        set.expect("is set");
        limits.push(connection);
    }
    let mut client = redis::Client::open(store.sidecar.url())
        .expect("a URL")
        .get_multiplexed_async_connection()
        .await
        .expect("connects");
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let mut number = 0;
    let at_risk = loop {
        pace.tick().await;
        number += 1;
        let mut set = redis::cmd("SET");
        set.arg(number)
            .arg("v".repeat(200 * 1024))
            .exec_async(&mut client)
            .await
            .expect("there is room still");
        let status = store.sidecar.status().await.expect("answers");
        if status.risk.as_ref().is_some_and(|risk| risk.raised) {
            break status;
        }
    };
    let risk = at_risk.risk.expect("it was raised");
    assert_eq!(risk.action, "prepare", "{risk:?}");
    assert!(risk.why.contains("limit being no greater"), "{risk:?}");
    let after = store.wait("AT_RISK", |status| status.state == StoreState::AtRisk).await;
    assert_eq!(after.primary, Some("a".into()));
}
