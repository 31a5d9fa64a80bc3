//! Synchronous writes: what was acknowledged survives the loss of the primary.

use std::time::Duration;

use foretoken_types::Durability;
use redis::aio::MultiplexedConnection;

use crate::support::Store;

/// Values so long that a mirror which stands still can't have them all in the buffers of its socket.
const VALUE: usize = 1024 * 1024;
const VALUES: usize = 24;
/// How long one write is waited for: far longer than a mirror that moves would take.
const PATIENCE: Duration = Duration::from_millis(300);

async fn store(durability: &str) -> Store {
    let mut store = Store::start_with(2, |setup| {
        setup.store = format!("durability = \"{durability}\"\nhold_max = \"2s\"\n");
    })
    .await;
    let wanted =
        if durability == "asynchronous" { Durability::Asynchronous } else { Durability::Synchronous };
    store.wait("the durability asked for", |status| status.durability == wanted).await;
    store
}

async fn connect(store: &Store) -> MultiplexedConnection {
    let client = redis::Client::open(store.sidecar.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connects")
}

/// Writes while the mirror stands still, kills the primary, and counts acknowledged writes that the mirror has not.
async fn lost_with(durability: &str) -> (usize, usize) {
    let mut store = store(durability).await;
    let mut connection = connect(&store).await;
    store.servers[1].freeze().expect("freezes");
    let mut acknowledged = Vec::new();
    for number in 0..VALUES {
        let mut command = redis::cmd("SET");
        command.arg(number).arg("v".repeat(VALUE));
        let write = command.query_async::<()>(&mut connection);
        match tokio::time::timeout(PATIENCE, write).await {
            Ok(result) => {
                result.expect("is done");
                acknowledged.push(number);
            }
            Err(_) => break,
        }
    }
    store.servers[0].kill().expect("dies");
    store.servers[1].thaw().expect("thaws");
    store.moved_from("a").await;
    let mut connection = connect(&store).await;
    let mut lost = 0;
    for number in &acknowledged {
        let found: bool =
            redis::cmd("EXISTS").arg(number).query_async(&mut connection).await.expect("serves");
        lost += usize::from(!found);
    }
    (acknowledged.len(), lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mirror_has_confirmed_survives_and_what_none_has_does_not() {
    let (acknowledged, lost) = lost_with("asynchronous").await;
    assert!(lost > 0, "of {acknowledged} nothing was lost: this scene shows nothing");
    let (_, lost) = lost_with("synchronous").await;
    assert_eq!(lost, 0);
    let (_, lost) = lost_with("synchronous-strict").await;
    assert_eq!(lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switchovers_under_synchronous_writes_are_as_flawless() {
    let mut store =
        Store::start_with(3, |setup| setup.store = "durability = \"synchronous\"\n".to_owned()).await;
    store.wait("synchronous writes", |status| status.durability == Durability::Synchronous).await;
    let clients = store.clients();
    for _ in 0..3 {
        clients.work(500).await;
        store.whole().await;
        store.switch().await;
    }
    clients.work(500).await;
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mirror_synchronous_goes_on_and_strict_does_not() {
    let mut degrading = store("synchronous").await;
    degrading.servers[1].kill().expect("dies");
    degrading
        .wait("the word that nobody confirms", |status| status.durability == Durability::Asynchronous)
        .await;
    let mut connection = connect(&degrading).await;
    redis::cmd("SET").arg("k").arg("v").query_async::<()>(&mut connection).await.expect("goes on");
    degrading.servers[1].restart().expect("comes back");
    degrading.wait("synchronous writes again", |status| status.durability == Durability::Synchronous).await;

    let mut strict = store("synchronous-strict").await;
    strict.servers[1].kill().expect("dies");
    let mut connection = connect(&strict).await;
    let refused = redis::cmd("SET").arg("k").arg("v").query_async::<()>(&mut connection).await;
    let refused = refused.expect_err("no mirror confirms it");
    assert_eq!(refused.code(), Some("FTINDOUBT"), "{refused}");
}
