//! kill -9 of the primary, and of the sidecar.

use std::time::Duration;

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{StoreStatus, SwitchoverOutcome, SwitchoverRequest};
use foretoken_demo::history::Fault;
use foretoken_demo::sidecar::STORE;

use rustix::process::Signal;

use crate::arrived::sync_each_write;
use crate::sentinel::ask;
use crate::support::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_loses_is_a_suffix_and_published() {
    let mut store = Store::start(3).await;
    let clients = store.clients();
    clients.work(3000).await;
    let server = store.primary().await;
    server.kill().expect("dies");
    let (old, from) = (server.name.clone(), clients.now());
    let status = store.moved_from(&old).await;
    clients.work(100).await;
    let until = clients.now();
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end(&url, Some(Fault { from, until })).await;
    seen.assert_honest();
    let loss = status.last_loss.expect("a failover publishes its loss");
    let kept_until = loss.kept_until_unix_ms.expect("and its bound");
    for &lost in &seen.findings.lost {
        let ended = seen.unix_ms(seen.history[lost].ended);
        assert!(ended >= kept_until, "{:?} was acknowledged before {kept_until}", seen.history[lost]);
    }

    let server = store.servers.iter_mut().find(|server| server.name == old).expect("ours");
    server.restart().expect("comes back");
    store.whole().await;
    // The one that came back is as good as the others when the next one dies.
    let server = store.primary().await;
    server.kill().expect("dies");
    let old = server.name.clone();
    store.moved_from(&old).await;
}

/// The sidecar looks at a server four times a second, and this one is back within some milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_and_restarted_at_once_acknowledges_nothing_that_is_lost() {
    for _ in 0..3 {
        let mut store = Store::start(2).await;
        let clients = store.clients();
        clients.work(2000).await;
        let before = store.whole().await.epoch;
        let server = store.primary().await;
        server.kill().expect("dies");
        let from = clients.now();
        server.restart().expect("comes back");
        // Its mirror takes over, or begins to copy it before that: then it goes on itself.
        store.wait("another epoch", |status| status.ready && status.epoch > before).await;
        clients.work(100).await;
        let until = clients.now();
        clients.work(1000).await;
        let url = store.sidecar.url();
        let seen = clients.end(&url, Some(Fault { from, until })).await;
        seen.assert_honest();
        for &lost in &seen.findings.lost {
            let operation = &seen.history[lost];
            assert!(
                operation.invoked < from,
                "{operation:?} was sent after the crash at {from:?}, and is gone"
            );
        }
    }
}

/// Errors say that nothing is known; nil would say that there is nothing.
async fn reads(mut connection: redis::aio::MultiplexedConnection, over: tokio::sync::watch::Receiver<bool>) {
    while !*over.borrow() {
        let read = redis::cmd("GET").arg("key").query_async::<Option<String>>(&mut connection).await;
        assert!(read.as_ref().is_err() || read == Ok(Some("value".to_owned())), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_emptied_and_restarted_at_once_is_not_asked() {
    for _ in 0..3 {
        let mut store = Store::start_with(2, |setup| setup.store = "hold_max = \"2s\"\n".to_owned()).await;
        let client = redis::Client::open(store.sidecar.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
        let () =
            redis::cmd("SET").arg("key").arg("value").query_async(&mut connection).await.expect("is done");
        store.whole().await;
        let (end, over) = tokio::sync::watch::channel(false);
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let connection = client.get_multiplexed_async_connection().await.expect("connects");
            readers.spawn(reads(connection, over.clone()));
        }
        let server = store.primary().await;
        server.kill().expect("dies");
        std::fs::remove_dir_all(server.dir().join("appendonlydir")).expect("ours");
        server.restart().expect("comes back");
        // Its mirror takes over, or begins to copy the void before that: then there is nobody left who has the data.
        let known = |status: &StoreStatus| {
            let gone = status.reason.as_deref().is_some_and(|why| why.contains("its data may be gone"));
            gone || (status.ready && status.primary == Some("b".into()))
        };
        store.wait("a word of who has the data", known).await;
        end.send_replace(true);
        while let Some(read) = readers.join_next().await {
            read.expect("no wrong answer");
        }
    }
}

/// A store that others may write to, and whose primary is dead.
async fn waiting_for_an_order() -> Store {
    let mut store = Store::start_with(3, |setup| setup.sole_writer = false).await;
    store.primary().await.kill().expect("dies");
    let waits = |status: &StoreStatus| {
        let why = status.reason.as_deref().unwrap_or_default();
        !status.ready && why.contains("no automatic failover: others may write")
    };
    store.wait("a word about others that may write", waits).await;
    store
}

/// As docs/operations.md says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_is_promoted_by_hand_is_served_when_the_primary_is_dead() {
    let mut store = waiting_for_an_order().await;
    let report = store.switch().await;
    assert_eq!(
        report.outcome,
        SwitchoverOutcome::Refused,
        "only a living primary gives its role up: {report:?}"
    );
    let () = ask(store.servers[1].port(), &["REPLICAOF", "NO", "ONE"]).await.expect("is done");
    let status = store.moved_from("a").await;
    assert_eq!(status.primary, Some("b".into()), "{status:?}");
    store.servers[0].restart().expect("comes back");
    let status = store.whole().await;
    assert_eq!(status.primary, Some("b".into()), "the others are its mirrors: {status:?}");
    // While it serves, a promotion by hand is taken back.
    let () = ask(store.servers[2].port(), &["REPLICAOF", "NO", "ONE"]).await.expect("is done");
    store.whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_nobody_else_writes_any_more_lets_a_failover_begin() {
    let mut store = waiting_for_an_order().await;
    let changed = store.sidecar.config.replace("writers = \"others\"", "writers = \"this-sidecar\"");
    assert_ne!(changed, store.sidecar.config);
    std::fs::write(store.sidecar.config_file(), changed).expect("is written");
    store.sidecar.signal(Signal::HUP).expect("runs");
    store.moved_from("a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_killed_at_any_moment_of_a_switchover_ends_it_one_way_or_the_other() {
    let mut store = Store::start(2).await;
    // The whole switchover takes about 2 ms; its parts are met by different delays.
    for delay in [0, 300, 700, 1000, 1300, 1600, 2000, 3000] {
        let before = store.whole().await;
        let client = store.sidecar.client().clone();
        let switching = tokio::spawn(async move {
            let request = SwitchoverRequest { to: None, dry_run: false };
            client.switchover(&StoreId::from(STORE), &request).await
        });
        spin(Duration::from_micros(delay)).await;
        store.sidecar.kill().expect("dies");
        // It has no answer, or one from before.
        drop(switching.await);
        store.sidecar.restart().expect("starts");
        let after = store.whole().await;
        assert!(after.epoch > before.epoch, "a restart begins an epoch: {after:?}");
        let url = store.sidecar.url();
        let mut connection = redis::Client::open(url)
            .expect("a URL")
            .get_multiplexed_async_connection()
            .await
            .expect("connects");
        let () = redis::cmd("SET").arg("k").arg(delay).query_async(&mut connection).await.expect("serves");
        let value: u64 = redis::cmd("GET").arg("k").query_async(&mut connection).await.expect("serves");
        assert_eq!(value, delay);
    }
}

/// Waits for a time that timers are too coarse for.
async fn spin(time: Duration) {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_primary_serves_again_when_there_is_no_mirror() {
    let mut store = Store::start(1).await;
    let url = store.sidecar.url();
    let mut connection =
        redis::Client::open(url).expect("a URL").get_multiplexed_async_connection().await.expect("connects");
    sync_each_write(&mut connection).await;
    let () = redis::cmd("SET").arg("k").arg(1).query_async(&mut connection).await.expect("serves");
    store.servers[0].kill().expect("dies");
    store.wait("the loss to be noticed", |status| !status.ready).await;
    store.servers[0].restart().expect("comes back");
    store.wait("service", |status| status.ready).await;
    let value: u64 = redis::cmd("GET").arg("k").query_async(&mut connection).await.expect("serves");
    assert_eq!(value, 1);
}
