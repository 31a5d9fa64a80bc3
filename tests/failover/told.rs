//! What an operator is told, in status and once in the log, while something needs help and the store is served all the same.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use foretoken_app::client::model::{StoreStatus, SwitchoverOutcome};
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::STORE;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{Disk, LONG, Store};

/// What is said of the first endpoint.
fn said(status: &StoreStatus) -> String {
    status.endpoints[0].warnings.join("; ")
}

/// Lines of the log that hold all of `words`.
fn lines(log: &Path, words: &[&str]) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// Waits for such a line of the log.
async fn logged(log: &Path, words: &[&str]) {
    let (deadline, mut look) = (Instant::now() + LONG, tokio::time::interval(Duration::from_millis(50)));
    while lines(log, words) == 0 {
        look.tick().await;
        assert!(
            Instant::now() < deadline,
            "no {words:?} in {}",
            std::fs::read_to_string(log).unwrap_or_default()
        );
    }
}

async fn ask(server: &Server, command: &[&str]) -> redis::RedisResult<()> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it runs");
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
}

const BEGINS: &str = "an endpoint needs help";
const IS_OVER: &str = "the endpoint needs no help any more";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_is_told_with_what_would_mend_it() {
    let mut store = Store::start(2).await;
    ask(&store.servers[0], &["CONFIG", "SET", "maxmemory", "1"]).await.expect("is set");
    let status = store.wait("the full memory", |status| said(status).contains("refuses writes: OOM")).await;
    assert!(said(&status).contains("raise maxmemory"), "{}", said(&status));
    assert!(status.ready && status.endpoints[1].warnings.is_empty(), "{status:?}");
    ask(&store.servers[0], &["CONFIG", "SET", "maxmemory", "0"]).await.expect("is set");
    store.wait("its end", |status| said(status).is_empty()).await;
    let log = store.sidecar.log();
    logged(&log, &[IS_OVER]).await;
    assert_eq!((lines(&log, &[BEGINS, "OOM"]), lines(&log, &[IS_OVER])), (1, 1));
}

/// Of all primaries that is the one that an operator wants to leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_with_a_full_memory_is_left_by_a_switchover_however_long_it_was_full() {
    let mut store = Store::start(2).await;
    ask(&store.servers[0], &["CONFIG", "SET", "maxmemory", "1"]).await.expect("is set");
    let client = redis::Client::open(store.servers[0].url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it runs");
    let (deadline, mut look) = (Instant::now() + LONG, tokio::time::interval(Duration::from_millis(50)));
    let mut there = true;
    while there {
        look.tick().await;
        assert!(Instant::now() < deadline, "the owner record does not run out");
        let owner = format!("__ft:{{{STORE}}}:owner");
        there = redis::cmd("EXISTS").arg(owner).query_async(&mut connection).await.expect("answers");
    }
    store.wait("the full memory", |status| said(status).contains("refuses writes: OOM")).await;
    let report = store.switch().await;
    assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
    let mut through =
        redis::Client::open(store.sidecar.url()).expect("a URL").get_connection().expect("serves");
    redis::cmd("SET").arg("k").arg("v").query::<()>(&mut through).expect("the new primary has room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_primary_is_told() {
    let Some(disk) = Disk::mount(32) else { return };
    let dir = TempDir::new().expect("a directory");
    std::os::unix::fs::symlink(disk.path(), dir.path().join("a")).expect("a link");
    let mut store = Store::start_in(dir, 2, |_| {}).await;
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while file.write_all(&[0; 64 * 1024]).is_ok() {}
    drop(file);
    // The log itself may still have some room in its last page.
    let value = "v".repeat(256 * 1024);
    ask(&store.servers[0], &["SET", "k", &value]).await.ok();
    let told = |status: &StoreStatus| {
        let said = said(status);
        said.contains("refuses writes: MISCONF") && said.contains("its last write to disk failed")
    };
    let status = store.wait("the full disk", told).await;
    assert!(status.ready && said(&status).contains("give its disk room"), "{}", said(&status));
    std::fs::remove_file(&filler).expect("is removed");
    store.wait("its end", |status| said(status).is_empty()).await;
    let log = store.sidecar.log();
    logged(&log, &[IS_OVER]).await;
    assert_eq!((lines(&log, &[BEGINS, "MISCONF"]), lines(&log, &[IS_OVER])), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_a_restart_would_not_find_is_told() {
    let mut store = Store::start(2).await;
    let state = store.dir.path().join("state");
    let (registry, elsewhere) = (state.join("registry.redb"), store.dir.path().join("elsewhere"));
    std::fs::rename(&registry, &elsewhere).expect("is moved");
    let told = |status: &StoreStatus| status.warnings.iter().any(|why| why.contains("registry.redb"));
    let status = store.wait("the loss", told).await;
    assert!(status.ready, "{status:?}");
    std::fs::rename(&elsewhere, &registry).expect("is moved back");
    store.wait("its end", |status| !told(status)).await;
    let log = store.sidecar.log();
    let begins = ["a restart would not find its state"];
    logged(&log, &["the state directory can be used again"]).await;
    assert_eq!((lines(&log, &begins), lines(&log, &["the state directory can be used again"])), (1, 1));
    // With the whole directory the socket is gone, at which it could be asked.
    std::fs::remove_dir_all(&state).expect("is removed");
    logged(&log, &["a restart would not find its state", "registry.lock"]).await;
}
