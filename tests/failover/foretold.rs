//! The same exhaustion under different policies: what foresight is worth, and that it is foresight that does it.

use std::time::Duration;

use foretoken_demo::exhaustion::{Disk, Exhaustion, Kind, Ramp};
use foretoken_demo::foretold::{Moments, failed, watch};
use foretoken_demo::sidecar::{Setup, Sidecar};
use foretoken_demo::workload::Mix;
use foretoken_types::{Durability, StoreState};
use tempfile::TempDir;
use tokio::time::{Instant, interval};

use crate::support::{LONG, Seen, Store, program, servers};

/// From nothing to everything. A server gets slow before it has no CPU left, so that this takes a little longer.
const fn ramp(kind: Kind) -> Ramp {
    let seconds = if matches!(kind, Kind::Cpu) { 28 } else { 20 };
    Ramp { to: 1.0, over: Duration::from_secs(seconds) }
}
/// A level at which stores live for years.
const BENIGN: Ramp = Ramp { to: 0.95, over: Duration::ZERO };
/// For how many steps it is watched.
const STEPS: u32 = 20;
const STEP: Duration = Duration::from_secs(1);

/// Where servers can run out of everything. Fields go in this order.
struct Place {
    store: Store,
    _disks: Vec<Disk>,
}

impl Place {
    async fn set(risk: &str) -> Self {
        Self::set_with(risk, None).await.0
    }

    /// With something that is used already when the sidecar comes.
    async fn set_with(risk: &str, used: Option<(Kind, Ramp)>) -> (Self, Option<Exhaustion>) {
        let dir = TempDir::new().expect("a directory");
        let disks = match Kind::Disk.possible() {
            Ok(()) => {
                ["a", "b"].map(|name| Disk::mount(&dir.path().join(name)).expect("was possible")).into()
            }
            Err(_) => Vec::new(),
        };
        let servers = servers(dir.path(), 2);
        let exhaustion = match used {
            None => None,
            Some((kind, ramp)) => {
                let exhaustion = Exhaustion::begin(kind, &servers[0], ramp).await.expect("begins");
                assert!(exhaustion.reaches(ramp.to - 0.02, LONG).await, "{:?}", exhaustion.level());
                Some(exhaustion)
            }
        };
        let mut setup = Setup::new(dir.path(), &servers);
        setup.store =
            format!("risk = {{ step = \"1s\", cooldown = \"10s\", threshold_percent = 40, {risk} }}\n");
        let sidecar = Sidecar::start(program(), &setup).expect("starts");
        let mut place = Self { store: Store { sidecar, servers, dir }, _disks: disks };
        place.store.whole().await;
        (place, exhaustion)
    }
}

/// Plays it out. `None`: this machine does not allow it.
async fn play(kind: Kind, risk: &str) -> Option<(Moments, Seen)> {
    if let Err(why) = kind.possible() {
        eprintln!("{} can't run out on this machine: {why}", kind.as_str());
        return None;
    }
    let place = Place::set(risk).await;
    let store = &place.store;
    let clients = store.clients_with(Mix::Visitors);
    clients.work(1000).await;
    let ramp = ramp(kind);
    let exhaustion = Exhaustion::begin(kind, &store.servers[0], ramp).await.expect("begins");
    let moments = watch(&store.sidecar, "a", &exhaustion, ramp.over, |_| {}).await.expect("answers");
    assert!(moments.gone.is_some(), "{} of a server was not used up", kind.as_str());
    // What it is like with nothing left: to a primary that has, nothing happens.
    if moments.moved.is_none() && kind != Kind::Cpu {
        clients.fails(1).await;
    }
    clients.ends_of_operations(1000).await;
    exhaustion.end().await;
    let url = store.sidecar.url();
    Some((moments, clients.end(&url, None).await))
}

async fn is_felt_by_nobody(kind: Kind) {
    let Some((moments, seen)) = play(kind, "policy = \"switch\"").await else { return };
    for (what, of) in [
        ("alarm", moments.at_risk),
        ("temporary token", moments.temporary),
        ("synchronous", moments.synchronous),
        ("moved", moments.moved),
    ] {
        assert!(moments.lead(of).is_some(), "{what} before the end: {moments:?}");
    }
    assert_eq!(failed(&seen.history), 0, "an operation took longer than a client waits");
    seen.assert_flawless();
}

async fn fails_operations_when_only_observed(kind: Kind) {
    let Some((moments, seen)) = play(kind, "policy = \"observe\"").await else { return };
    assert!(moments.lead(moments.at_risk).is_some(), "it is seen coming all the same: {moments:?}");
    assert!(moments.lead(moments.moved).is_none(), "nobody moved anything before: {moments:?}");
    assert!(failed(&seen.history) > 0, "an exhaustion that fails nothing proves nothing");
    seen.assert_honest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_run_out_are_felt_by_nobody() {
    is_felt_by_nobody(Kind::Connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_run_out_fail_operations_when_only_observed() {
    fails_operations_when_only_observed(Kind::Connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_is_felt_by_nobody() {
    is_felt_by_nobody(Kind::Disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_fails_operations_when_only_observed() {
    fails_operations_when_only_observed(Kind::Disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpu_that_is_taken_away_is_felt_by_nobody() {
    is_felt_by_nobody(Kind::Cpu).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpu_that_is_taken_away_fails_operations_when_only_observed() {
    fails_operations_when_only_observed(Kind::Cpu).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stands_at_95_percent_causes_nothing() {
    causes_nothing(Kind::Disk).await;
}

/// The rule is off, and the model is one that says zero whatever it sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_foresees_nothing_moves_nothing_and_operations_fail() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/controls/zero.onnx");
    let blind = format!("policy = \"switch\", judges = \"model\", model = \"{model}\"");
    let Some((moments, seen)) = play(Kind::Connections, &blind).await else { return };
    let Moments { rule, model, at_risk, temporary, synchronous, moved, .. } = moments;
    let before = |of| moments.lead(of).is_some();
    assert!(
        [rule, model, at_risk, temporary, synchronous, moved].into_iter().all(|of| !before(of)),
        "{moments:?}"
    );
    assert!(failed(&seen.history) > 0, "nobody moved, and nobody felt it: the act proves nothing");
    seen.assert_honest();
}

/// Stays at the level for a while: no alarm, no synchronous write, no token, no move.
async fn causes_nothing(kind: Kind) {
    if kind.possible().is_err() {
        return;
    }
    let (mut place, exhaustion) = Place::set_with("policy = \"switch\"", Some((kind, BENIGN))).await;
    let exhaustion = exhaustion.expect("began");
    place.store.wait("a look ahead", |status| status.risk.is_some()).await;
    let store = &place.store;
    // At a pace of their own: clients that work as fast as they can use more and more of a server whose machine becomes idle.
    let clients = store.clients_that(Mix::All, Duration::from_millis(5));
    clients.work(1000).await;
    let epoch = store.sidecar.status().await.expect("answers").epoch;
    let (mut look, until) = (interval(Duration::from_millis(50)), Instant::now() + STEP * STEPS);
    let mut looked = 0;
    while Instant::now() < until {
        look.tick().await;
        let status = store.sidecar.status().await.expect("answers");
        assert_eq!((status.state, status.epoch), (StoreState::Healthy, epoch), "{status:?}");
        assert_eq!(status.durability, Durability::Asynchronous, "{status:?}");
        let risk = status.risk.expect("is looked at");
        assert!(!risk.raised && risk.action == "stay", "{risk:?}");
        looked += 1;
    }
    let level = exhaustion.level();
    assert!(looked > STEPS && (0.93..0.97).contains(&level.used), "{level:?}");
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stand_at_95_percent_cause_nothing() {
    causes_nothing(Kind::Connections).await;
}
