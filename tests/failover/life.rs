//! Starting while servers are down, coming back, reloading, ending.

use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use foretoken_demo::sidecar::{Setup, Sidecar};
use foretoken_types::Writers;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{LONG, Store, program, servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_while_the_store_is_down_and_recovers_without_a_restart() {
    let dir = TempDir::new().expect("a directory");
    let mut servers = servers(dir.path(), 2);
    for server in &mut servers {
        server.kill().expect("dies");
    }
    let mut sidecar = Sidecar::start(program(), &Setup::new(dir.path(), &servers)).expect("starts");
    let status = sidecar.wait("an answer", LONG, |status| status.reason.is_some()).await.expect("answers");
    assert!(!status.ready, "{status:?}");
    servers[0].restart().expect("comes back");
    sidecar.wait("service", LONG, |status| status.ready).await.expect("serves");
    servers[1].restart().expect("comes back");
    sidecar.wait_whole(LONG).await.expect("the mirror is attached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_was_down_is_attached_when_it_comes() {
    let dir = TempDir::new().expect("a directory");
    let mut servers = servers(dir.path(), 2);
    servers[1].kill().expect("dies");
    let mut sidecar = Sidecar::start(program(), &Setup::new(dir.path(), &servers)).expect("starts");
    sidecar.wait("service", LONG, |status| status.ready).await.expect("serves without its mirror");
    servers[1].restart().expect("comes back");
    sidecar.wait_whole(LONG).await.expect("the mirror is attached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_state_directory_costs_nothing_but_an_epoch() {
    let mut store = Store::start(2).await;
    let before = store.sidecar.status().await.expect("answers");
    store.sidecar.kill().expect("dies");
    std::fs::remove_dir_all(store.dir.path().join("state")).expect("was there");
    store.sidecar.restart().expect("starts");
    let after = store.whole().await;
    assert_eq!(after.primary, before.primary);
    assert!(after.epoch > before.epoch, "the marker in the store tells which epochs were: {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_go_of_the_store_for_the_next() {
    let mut store = Store::start(2).await;
    let ended = store.sidecar.stop(LONG).await.expect("ends");
    assert!(ended.success(), "{ended}");
    store.sidecar.restart().expect("starts");
    store.whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_takes_what_can_be_changed_and_says_what_can_not() {
    let mut store = Store::start_with(2, |setup| setup.store = "hold_max = \"5s\"\n".to_owned()).await;
    let changed = store
        .sidecar
        .config
        .replace("hold_max = \"5s\"", "hold_max = \"7s\"")
        .replace("writers = \"this-sidecar\"", "writers = \"others\"")
        .replace("name = \"b\"", "name = \"renamed\"");
    assert_ne!(changed, store.sidecar.config);
    std::fs::write(store.sidecar.config_file(), changed).expect("is written");
    store.sidecar.signal(Signal::HUP).expect("runs");
    let log = log_with(&store.sidecar, "hold_max").await;
    assert!(log.contains("endpoint"), "what needs a restart is named: {log}");
    let others = |status: &StoreStatus| status.writers == Writers::Others && !status.automatic_failover;
    store.wait("the new word about writers to be in force", others).await;
    store.whole().await;

    std::fs::write(store.sidecar.config_file(), "this is no configuration").expect("is written");
    store.sidecar.signal(Signal::HUP).expect("runs");
    log_with(&store.sidecar, "is not reloaded").await;
    store.whole().await;
}

/// Waits until the sidecar's log has `words`.
pub(crate) async fn log_with(sidecar: &Sidecar, words: &str) -> String {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let found = async {
        loop {
            look.tick().await;
            let log = std::fs::read_to_string(sidecar.log()).unwrap_or_default();
            if log.contains(words) {
                return log;
            }
        }
    };
    match tokio::time::timeout(LONG, found).await {
        Ok(log) => log,
        Err(_) => panic!(
            "the log never says {words:?}:\n{}",
            std::fs::read_to_string(sidecar.log()).unwrap_or_default()
        ),
    }
}
