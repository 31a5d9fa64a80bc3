//! Two sidecars in front of one store: one is in charge, the other follows, whichever came first.

use std::time::Duration;

use foretoken_app::client::model::{AuthorityRole, SwitchoverOutcome};
use foretoken_demo::sidecar::{Setup, Sidecar};

use crate::support::{LONG, Store, program};

async fn second(store: &Store) -> Sidecar {
    let mut setup = Setup::new(&store.dir.path().join("second"), &store.servers);
    setup.sole_writer = false;
    Sidecar::start(program(), &setup).expect("starts")
}

/// Waits until one is in charge and the other follows. Gives whether the first one is in charge.
async fn settled(first: &mut Sidecar, other: &mut Sidecar) -> bool {
    let decided = |status: &foretoken_app::client::model::StoreStatus| {
        status.ready && status.authority.role != AuthorityRole::Undecided
    };
    let a = first.wait("the first to be decided", LONG, decided).await.expect("in time");
    let b = other.wait("the second to be decided", LONG, decided).await.expect("in time");
    assert_ne!(a.authority.role, b.authority.role, "one is in charge: {a:?} {b:?}");
    assert_eq!(a.primary, b.primary);
    a.authority.role == AuthorityRole::Owner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_follows_the_first_and_its_switchover() {
    let mut store = Store::start_with(2, |setup| setup.sole_writer = false).await;
    let mut other = second(&store).await;
    assert!(settled(&mut store.sidecar, &mut other).await, "who was there first stays in charge");

    let report = store.switch().await;
    assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
    let moved = report.to.clone();
    other
        .wait("the second to follow", LONG, |status| status.ready && status.primary == moved)
        .await
        .expect("in time");
    // The follower changes nothing, asked or not.
    let refused = other
        .client()
        .switchover(
            &foretoken_demo::sidecar::STORE.into(),
            &foretoken_app::client::model::SwitchoverRequest { to: None, dry_run: false },
        )
        .await;
    let words = match refused {
        Ok(report) => {
            assert_eq!(report.outcome, SwitchoverOutcome::Refused);
            report.detail
        }
        Err(error) => error.to_string(),
    };
    assert!(words.contains("not in charge"), "{words}");
    let epoch = store.sidecar.status().await.expect("answers").epoch;
    stays(&mut store.sidecar, &mut other, epoch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_left_takes_charge_and_the_one_that_returns_follows() {
    let mut store = Store::start_with(2, |setup| setup.sole_writer = false).await;
    let mut other = second(&store).await;
    assert!(settled(&mut store.sidecar, &mut other).await);
    store.sidecar.kill().expect("dies");
    other
        .wait("the second to take charge", LONG, |status| status.authority.role == AuthorityRole::Owner)
        .await
        .expect("in time");
    let log = std::fs::read_to_string(other.log()).expect("it writes one");
    let told = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(
        (told("this sidecar follows"), told("this sidecar is in charge from now on")),
        (1, 1),
        "{log}"
    );
    store.sidecar.restart().expect("starts");
    assert!(!settled(&mut store.sidecar, &mut other).await, "the other start order: the second is in charge");
    let epoch = other.status().await.expect("answers").epoch;
    stays(&mut other, &mut store.sidecar, epoch).await;
}

/// Nobody fights: the owner's epoch stays as it is over several rounds of claims.
async fn stays(owner: &mut Sidecar, follower: &mut Sidecar, epoch: foretoken_types::Epoch) {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..40 {
        look.tick().await;
        let (a, b) = (owner.status().await.expect("answers"), follower.status().await.expect("answers"));
        assert_eq!(a.authority.role, AuthorityRole::Owner, "{a:?}");
        assert_eq!(b.authority.role, AuthorityRole::Follower, "{b:?}");
        assert_eq!(a.epoch, epoch, "{a:?}");
    }
}
