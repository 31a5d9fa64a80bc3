//! Planned switchovers under eight clients.

use std::time::Duration;

use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};
use foretoken_app::client::{ClientError, StoreId};
use foretoken_demo::sidecar::STORE;
use tokio::time::Instant;

use crate::support::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_write_is_lost() {
    let mut store = Store::start(3).await;
    let clients = store.clients();
    for epoch in 2..=6 {
        clients.work(2000).await;
        store.whole().await;
        let report = store.switch().await;
        assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
        assert_eq!(report.epoch.0, epoch, "each switchover begins one epoch");
    }
    clients.work(2000).await;
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_stands_still_takes_the_switchover_back_without_a_trace() {
    let mut store = Store::start_with(2, |setup| {
        // Longer than the mirror's probes take to fail, so that the switchover begins; shorter than clients' patience.
        setup.store =
            "switchover = { hold_deadline = \"300ms\" }\ndetect = { probe_interval = \"2s\" }\n".to_owned();
    })
    .await;
    let clients = store.clients();
    clients.work(1000).await;
    let status = store.whole().await;
    store.servers[1].freeze().expect("freezes");
    let report = store.switch().await;
    store.servers[1].thaw().expect("thaws");
    assert_ne!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
    clients.work(1000).await;
    let after = store.whole().await;
    assert_eq!((after.epoch, after.primary), (status.epoch, status.primary));
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_each_check() {
    let store = Store::start(2).await;
    let before = store.sidecar.status().await.expect("answers");
    let request = SwitchoverRequest { to: None, dry_run: true };
    let report =
        store.sidecar.client().switchover(&StoreId::from(STORE), &request).await.expect("is answered");
    assert_eq!(report.outcome, SwitchoverOutcome::Done);
    assert!(report.checks.len() > 5 && report.checks.iter().all(|check| check.passed), "{report:?}");
    let after = store.sidecar.status().await.expect("answers");
    assert_eq!((before.epoch, before.primary), (after.epoch, after.primary));
}

#[tokio::test]
async fn to_a_mirror_that_is_not_there_is_refused_in_words() {
    let store = Store::start(2).await;
    let request = SwitchoverRequest { to: Some("nobody".into()), dry_run: false };
    match store.sidecar.client().switchover(&StoreId::from(STORE), &request).await {
        Ok(report) => {
            assert_eq!(report.outcome, SwitchoverOutcome::Refused);
            assert!(report.detail.contains("nobody is not configured"), "{report:?}");
        }
        Err(ClientError::Problem(problem)) => {
            assert!(problem.detail.contains("nobody"), "{problem:?}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switchovers_may_follow_each_other_at_once() {
    let mut store = Store::start(3).await;
    let clients = store.clients();
    clients.work(1000).await;
    for epoch in 2..=9 {
        let report = store.switch().await;
        assert_eq!((report.outcome, report.epoch.0), (SwitchoverOutcome::Done, epoch), "{report:?}");
    }
    clients.work(1000).await;
    store.whole().await;
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_executes_its_pause_late_does_not_keep_it() {
    // Nobody is promoted meanwhile: the same primary serves on.
    let mut store = Store::start_with(2, |setup| setup.sole_writer = false).await;
    store.servers[0].freeze().expect("freezes");
    let report = store.switch().await;
    assert_eq!(report.outcome, SwitchoverOutcome::Aborted, "{report:?}");
    assert!(report.detail.contains("a could not be paused"), "{report:?}");
    // By then what was sent after the pause has been given up, too.
    store.wait("its loss", |status| !status.ready && status.hold.is_none()).await;
    store.servers[0].thaw().expect("thaws");
    let thawed = Instant::now();
    let client = redis::Client::open(store.servers[0].url()).expect("a URL");
    let mut bypass = client.get_multiplexed_async_connection().await.expect("it runs");
    let () = redis::cmd("SET").arg("k").arg("v").query_async(&mut bypass).await.expect("is written");
    // The pause would last for 5 s.
    let waited = thawed.elapsed();
    assert!(waited < Duration::from_millis(4500), "{waited:?}");
    store.whole().await;
}
