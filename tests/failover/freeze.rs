//! SIGSTOP of the primary, and its return with old writes in its sockets.

use foretoken_app::client::model::{HealthState, StoreStatus};
use foretoken_demo::history::{Action, Fault};

use crate::support::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thawed_primary_gets_no_acknowledgement_through() {
    let mut store = Store::start(3).await;
    let clients = store.clients();
    let reserve = clients.reserve(4).await;
    clients.work(3000).await;
    let server = store.primary().await;
    server.freeze().expect("freezes");
    let (old, from) = (server.name.clone(), clients.now());
    // What these send first can't have been executed before the freeze.
    reserve.release();
    store.moved_from(&old).await;
    clients.work(100).await;
    let until = clients.now();
    clients.work(1000).await;
    store.servers.iter().find(|server| server.name == old).expect("ours").thaw().expect("thaws");
    let status = store.whole().await;
    clients.work(1000).await;
    let url = store.sidecar.url();
    let seen = clients.end_with(&url, Some(Fault { from, until }), Some(reserve)).await;
    seen.assert_honest();

    let late = store.sidecar.counter("foretoken_outbound_late_replies_total").await.expect("answers");
    assert!(late > 0, "no late reply came: this test shows nothing");
    let loss = status.last_loss.expect("published");
    assert!(loss.exact && loss.bytes > 0, "the old primary had writes that the new one has not: {loss:?}");
    assert!(seen.findings.lost_bytes <= loss.bytes, "{} of {loss:?}", seen.findings.lost_bytes);
    // Nothing that was under way at the freeze and is gone was acknowledged afterwards.
    for &lost in &seen.findings.lost {
        let operation = &seen.history[lost];
        assert!(operation.ended < from, "{operation:?} was acknowledged after the freeze and is gone");
    }
    let appended = |action: Action| match action {
        Action::Append { list, tag } => seen.contents.lists[&list].contains(&Ok(tag)),
        _ => false,
    };
    assert!(seen.history.iter().any(|operation| operation.invoked > until && appended(operation.action)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_freeze_together_do_not_take_the_role_from_each_other_when_they_thaw() {
    // On a busy machine it is chance after all who is heard first: nothing is acknowledged that only the primary has.
    let strict = "durability = \"synchronous-strict\"\n";
    let mut store = Store::start_with(2, |setup| setup.store = strict.to_owned()).await;
    let clients = store.clients();
    clients.work(1000).await;
    let (before, from) = (store.whole().await.epoch, clients.now());
    for _ in 0..3 {
        for server in &store.servers {
            server.freeze().expect("freezes");
        }
        let down = |status: &StoreStatus| status.endpoints.iter().all(|at| at.health == HealthState::Down);
        store.wait("both are down", down).await;
        for server in &store.servers {
            server.thaw().expect("thaws");
        }
        store.whole().await;
    }
    let until = clients.now();
    clients.work(1000).await;
    let (after, url) = (store.whole().await.epoch, store.sidecar.url());
    let seen = clients.end_with(&url, Some(Fault { from, until }), None).await;
    seen.assert_honest();
    assert!(seen.findings.lost.is_empty(), "{:?}", seen.findings);
    assert!(after.0 <= before.0 + 3, "the epoch was {before} before three freezes, and is {after}");
}
