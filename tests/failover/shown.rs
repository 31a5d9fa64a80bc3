//! What status says while servers come, go and are copied: only what is true now, or it is called old.

use foretoken_app::client::model::{EndpointStatus, RoleName, StoreStatus};
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{Setup, Sidecar};
use redis::AsyncCommands as _;
use std::cell::RefCell;
use tempfile::TempDir;

use crate::support::{LONG, Store, program, servers};

fn shown<'a>(status: &'a StoreStatus, name: &str) -> &'a EndpointStatus {
    status.endpoints.iter().find(|endpoint| endpoint.name.as_str() == name).expect("it is configured")
}

async fn ask(server: &Server) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("it runs")
}

/// A full copy from it begins only after two seconds, as with the defaults of Redis after five.
async fn copies_late(server: &Server) {
    let set = ["SET", "repl-diskless-sync-delay", "2"];
    let () = redis::cmd("CONFIG").arg(&set).query_async(&mut ask(server).await).await.expect("is set");
}

const STRANGER: &str = "another history";
const AWAITED: &str = "waits for a full one";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_is_being_copied_is_no_stranger_and_one_whose_own_data_would_be_lost_is() {
    let dir = TempDir::new().expect("a directory");
    let mut servers = servers(dir.path(), 3);
    for server in &servers {
        copies_late(server).await;
    }
    // It comes when the store is served: before that nothing would tell whose data counts.
    let () = ask(&servers[2]).await.set("mine", 1).await.expect("writes");
    servers[2].kill().expect("dies");
    let mut sidecar = Sidecar::start(program(), &Setup::new(dir.path(), &servers)).expect("starts");
    let said = RefCell::new(Vec::<String>::new());
    // What is said of `name` until it could take over.
    let note = |status: &StoreStatus, name: &str| {
        let endpoint = shown(status, name);
        said.borrow_mut().extend(endpoint.why_not.clone());
        endpoint.eligible_for_promotion
    };
    let first = sidecar.wait("b to be copied", LONG, |status| note(status, "b")).await;
    let log = || std::fs::read_to_string(sidecar.log()).unwrap_or_default();
    assert!(first.is_ok(), "{first:?}\n{}", log());
    let of_b = said.take();
    assert!(!of_b.iter().any(|why| why.contains(STRANGER)), "{of_b:?}");
    assert!(of_b.iter().any(|why| why.contains(AWAITED)), "{of_b:?}");

    servers[2].restart().expect("comes with its data");
    let is_refused = |status: &StoreStatus| {
        let why = shown(status, "c").why_not.clone().unwrap_or_default();
        why.contains(STRANGER) && why.contains("FLUSHALL")
    };
    sidecar.wait("c to be refused", LONG, is_refused).await.expect("it has data of its own");

    servers[0].kill().expect("dies");
    let is_moved = |status: &StoreStatus| status.ready && status.primary == Some("b".into());
    sidecar.wait("b to take over", LONG, is_moved).await.expect("fails over");
    // Written behind the old one's back, so that it needs a full copy.
    copies_late(&servers[1]).await;
    servers[0].restart().expect("comes back");
    sidecar.wait("a to be copied", LONG, |status| note(status, "a")).await.expect("rejoins");
    let of_a = said.take();
    assert!(!of_a.iter().any(|why| why.contains(STRANGER)), "{of_a:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_has_died_is_shown_as_what_it_was() {
    let mut store = Store::start(2).await;
    store.servers[0].kill().expect("dies");
    let status = store
        .wait("b to take over", |status| {
            let primaries = status.endpoints.iter().filter(|at| at.role == Some(RoleName::Primary)).count();
            assert!(primaries <= 1, "{:?}", status.endpoints);
            status.ready && status.primary == Some("b".into())
        })
        .await;
    let (a, b) = (shown(&status, "a"), shown(&status, "b"));
    assert_eq!((a.role, a.was), (None, Some(RoleName::Primary)));
    assert_eq!((a.lag_bytes, a.lag_ms, a.link), (None, None, None), "nobody knows how it is");
    assert_eq!((b.role, b.was), (Some(RoleName::Primary), None));
    store.servers[0].restart().expect("comes back");
    let status = store.whole().await;
    let a = shown(&status, "a");
    assert_eq!((a.role, a.was), (Some(RoleName::Mirror), None));
    assert!(a.lag_bytes.is_some());
}
