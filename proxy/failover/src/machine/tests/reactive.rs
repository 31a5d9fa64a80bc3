//! The primary is lost: who succeeds it, and when nobody does.

use foretoken_types::Writers;

use super::sim::Spoil;
use super::sim::redis::{Command, Entry, Life};
use super::sim::sidecar::DiskFault;
use super::*;
use crate::Cause;

#[test]
fn a_killed_primary_is_succeeded_within_a_second() {
    let mut sim = serving();
    forget(&mut sim);
    sim.kill("a");
    assert!(sim.run_until(MS * 1000, |sim| standing(sim).0 == "b" && sim.serves(0)), "{}", reason(&sim));
    sim.run_for(MS * 1000);
    assert_eq!(
        trace(&sim),
        [
            "publish unavailable a 1, no lease, fence",
            "b: look",
            "c: look",
            "publish failing_over a 1, no lease, fence",
            "b: promote",
            "b: probe",
            "save epoch 2 of b",
            "b: mark 2",
            "publish failed_over b 2",
            "loss a 2 at least 0, bounded in time: true",
            "report Failover Done",
            "c: demote to b",
        ]
    );
    let report = report(&sim);
    assert_eq!((report.from, report.to), (Some("a".into()), Some("b".into())));
    assert!(report.detail.starts_with("b is the primary: a is down"), "{}", report.detail);
}

#[test]
fn a_frozen_primary_is_fenced_before_a_mirror_is_promoted() {
    let mut sim = serving();
    // A data thread that says nothing: only the end of its lease tells.
    sim.sidecars[0].threads[1].stuck = true;
    forget(&mut sim);
    sim.freeze("a");
    assert!(sim.run_until(MS * 6000, |sim| standing(sim).0 == "b" && sim.serves(0)), "{}", reason(&sim));
    let lines = trace(&sim);
    assert_eq!(
        lines[..13],
        [
            "publish healthy a 1, hold all",
            "publish unavailable a 1, no lease, fence",
            "b: look",
            "c: look",
            "publish failing_over a 1, no lease, fence",
            "a: fence to b",
            "a: disconnect",
            "a: resume",
            "b: promote",
            "b: probe",
            "save epoch 2 of b",
            "b: mark 2",
            "publish failed_over b 2",
        ][..]
    );
    let when = |wanted: fn(&Effect) -> bool| {
        let mut effects = sim.sidecars[0].effects.iter();
        effects.find(|(_, effect)| wanted(effect)).map(|(at, _)| *at).expect("it is in the trace")
    };
    let held = when(|effect| matches!(effect, Effect::Publish(posture) if posture.hold.is_some()));
    let promoted = when(|effect| matches!(effect, Effect::Order { order: Order::Promote, .. }));
    let fenced = when(|effect| matches!(effect, Effect::Order { order: Order::Fence { .. }, .. }));
    let obeys = promoted.since(fenced);
    assert!(obeys >= MS * 100 && obeys < MS * 101, "it has a moment to obey: {obeys:?}");
    let wait = sim.sidecars[0].params.fence_wait();
    assert!(promoted.since(held) + sim.sidecars[0].params.lease.renew >= wait, "{:?}", promoted.since(held));
}

#[test]
fn a_suspicion_that_passes_costs_a_pause_and_nothing_else() {
    let mut sim = serving();
    forget(&mut sim);
    sim.freeze("a");
    assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.phase() == "suspected"));
    sim.thaw("a");
    assert!(sim.run_until(MS * 1000, is_healthy));
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy));
    assert_eq!(trace(&sim), ["publish healthy a 1, hold all", "publish healthy a 1"]);
}

#[test]
fn the_mirror_that_has_most_is_promoted() {
    let mut sim = serving();
    sim.cluster.server("b").stalled = true;
    let write = sim.write("a");
    sim.run_for(MS * 400);
    sim.kill("a");
    sim.run_for(MS * 4000);
    assert_eq!(standing(&sim).0, "c");
    assert!(sim.cluster.server("c").has(write));
}

/// Why nobody is promoted.
const REFUSALS: &[(&str, Given, &str)] = &[
    ("others write", |sim| sim.sidecars[0].params.writers = Writers::Others, "writers = \"others\""),
    (
        "another sidecar follows",
        |sim| sim.cluster.server("a").apply(Entry::Follower("other".into(), sim.now + MS * 60_000)),
        "1 other sidecar(s) are registered as followers",
    ),
    (
        "another sidecar owns",
        |sim| {
            sim.command("a", &Command::Flush);
            sim.command("a", &Command::Claim("other".into(), MS * 60_000));
        },
        "sidecar other holds the owner record",
    ),
    (
        "no mirror answers",
        |sim| {
            sim.freeze("b");
            sim.kill("c");
        },
        "no mirror is eligible (b does not answer, c does not answer)",
    ),
    (
        "a mirror is somebody else's",
        |sim| sim.cluster.server("c").managed_by = Some("sentinel".into()),
        "c is managed by sentinel",
    ),
    (
        "a mirror lacks a permission",
        |sim| sim.cluster.server("c").blocker = Some("permission: no REPLICAOF".into()),
        "c: permission: no REPLICAOF",
    ),
    (
        "the mirrors hold other data",
        |sim| {
            for id in ["b", "c"] {
                sim.cluster.server(id).history = "elsewhere".into();
                sim.cluster.server(id).stalled = true;
            }
        },
        "no mirror is eligible (b has no copy of the data yet: waits for a full one, c has no copy",
    ),
];

#[test]
fn without_the_right_or_the_mirror_for_it_nobody_is_promoted_and_the_primary_is_waited_for() {
    for (name, given, why) in REFUSALS {
        for how in [Sim::kill as fn(&mut Sim, &str), Sim::freeze] {
            let mut sim = if *name == "others write" {
                serving_with(|params| params.writers = Writers::Others)
            } else {
                serving()
            };
            given(&mut sim);
            sim.run_for(MS * 600);
            forget(&mut sim);
            how(&mut sim, "a");
            sim.run_for(MS * 5000);
            assert!(!sim.serves(0), "{name}");
            assert_eq!(standing(&sim).2, StoreState::Unavailable, "{name}");
            assert!(reason(&sim).contains(why), "{name}: {}", reason(&sim));
            assert_eq!(roles(&sim), Vec::<String>::new(), "{name}");
            sim.thaw("a");
            sim.restart("a");
            assert!(sim.run_until(MS * 3000, |sim| sim.serves(0)), "{name}: {}", reason(&sim));
            assert_eq!(standing(&sim).0, "a", "{name}");
        }
    }
}

#[test]
fn a_primary_that_comes_back_as_it_was_goes_on_in_its_epoch() {
    let mut sim = serving();
    sim.kill("b");
    sim.kill("c");
    sim.freeze("a");
    sim.run_for(MS * 5000);
    assert_eq!(standing(&sim), ("a".to_owned(), 1, StoreState::Unavailable, false));
    forget(&mut sim);
    sim.thaw("a");
    assert!(sim.run_until(MS * 1000, is_healthy), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy));
    assert_eq!(trace(&sim)[..2], ["report Failover Aborted", "publish healthy a 1"][..]);
}

#[test]
fn a_restarted_primary_is_another_one() {
    // Its mirrors could not copy what it came back with: they have the data of before.
    let mut sim = serving();
    let write = sim.write("a");
    for id in ["b", "c"] {
        sim.cluster.server(id).stalled = true;
    }
    sim.run_for(MS * 300);
    forget(&mut sim);
    sim.kill("a");
    sim.restart("a");
    sim.run_for(MS * 3000);
    assert_eq!(standing(&sim).0, "b", "{}", reason(&sim));
    assert!(trace(&sim)[0].starts_with("publish unavailable a 1, no lease, fence"), "{:?}", trace(&sim));
    assert!(sim.cluster.server("b").has(write));

    // Its mirrors have copied what it came back with: no mirror is better, and it carries the marker.
    let mut sim = serving();
    sim.kill("a");
    sim.restart("a");
    sim.run_for(MS * 3000);
    assert_eq!(standing(&sim), serves("a", 2, StoreState::Healthy), "{}", reason(&sim));
    let unknown = "loss a 2 at least 0, bounded in time: false".to_owned();
    assert!(trace(&sim).contains(&unknown), "nobody knows what it has lost: {:?}", trace(&sim));
}

#[test]
fn a_primary_that_came_back_empty_is_not_served() {
    let mut sim = serving();
    sim.write("a");
    sim.run_for(MS * 100);
    sim.cluster.server("a").life = Life::Killed;
    sim.cluster.restart(0, 0);
    sim.run_for(MS * 5000);
    assert!(!sim.serves(0));
    assert!(reason(&sim).contains("without the marker of epoch 1: its data may be gone"), "{}", reason(&sim));
}

#[test]
fn another_name_for_the_same_data_is_no_restart() {
    let mut sim = serving();
    forget(&mut sim);
    sim.cluster.server("a").history = "a-renamed".into();
    sim.run_for(MS * 2000);
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy));
    assert_eq!(trace(&sim), ["save epoch 1 of a"]);
    let record = sim.sidecars[0].disk.record.clone().expect("it serves");
    assert_eq!((record.history.as_str(), record.descends.as_deref()), ("a-renamed", Some("a-1")));
    // And the mirrors can still take over.
    sim.kill("a");
    sim.run_for(MS * 3000);
    assert_eq!(standing(&sim).0, "b");
}

#[test]
fn roles_that_somebody_else_has_changed_are_followed() {
    let mut sim = serving();
    forget(&mut sim);
    for id in ["a", "c"] {
        sim.command(id, &Command::Demote("b".into()));
    }
    sim.command("b", &Command::Promote);
    sim.run_for(MS * 5000);
    assert_eq!(standing(&sim), serves("b", 2, StoreState::Healthy), "{}", reason(&sim));
    assert_eq!(roles(&sim), Vec::<String>::new());
    assert_eq!(sim.cluster.server("b").marker(), Some(Epoch(2)));
}

#[test]
fn a_failover_waits_for_a_disk_that_cant_be_written() {
    let mut sim = serving();
    sim.sidecars[0].disk.fault = DiskFault::Full;
    sim.kill("a");
    sim.run_for(MS * 4000);
    assert!(!sim.serves(0));
    assert!(reason(&sim).starts_with("the registry can't be written"), "{}", reason(&sim));
    sim.sidecars[0].disk.fault = DiskFault::None;
    assert!(sim.run_until(MS * 1000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver));
}

#[test]
fn a_promotion_that_fails_is_tried_again_with_new_looks() {
    let rows: [(&str, Given); 4] = [
        ("refused", |sim| sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::Refuse, 2)),
        ("lost", |sim| sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::Lose, 1)),
        ("unknown", |sim| sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::LoseAnswer, 1)),
        ("no writes at first", |sim| sim.cluster.server("b").writable = false),
    ];
    for (name, given) in rows {
        let mut sim = serving();
        sim.kill("c");
        given(&mut sim);
        sim.run_for(MS * 2500);
        forget(&mut sim);
        sim.kill("a");
        sim.run_for(MS * 2500);
        sim.cluster.server("b").writable = true;
        assert!(sim.run_until(MS * 4000, |sim| sim.serves(0)), "{name}: {}", reason(&sim));
        assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver), "{name}");
    }
}

#[test]
fn a_failover_can_be_followed_by_another() {
    let mut sim = serving();
    sim.kill("a");
    sim.run_for(MS * 4000);
    assert_eq!(standing(&sim).0, "b");
    sim.kill("b");
    sim.run_for(MS * 4000);
    assert_eq!(standing(&sim), serves("c", 3, StoreState::FailedOver), "{}", reason(&sim));
    sim.restart("a");
    sim.restart("b");
    sim.run_for(MS * 6000);
    assert_eq!(standing(&sim), serves("c", 3, StoreState::Healthy), "{}", reason(&sim));
    let record = sim.sidecars[0].disk.record.clone().expect("it serves");
    assert_eq!((record.cause, record.previous), (Cause::Failover, Some("b".into())));
}

#[test]
fn a_failover_that_is_broken_off_after_the_fence_is_ended_by_the_next_process() {
    let mut sim = serving();
    let write = sim.write("a");
    sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::Lose, 1);
    sim.freeze("a");
    assert!(
        sim.run_until(MS * 6000, |sim| sim.sidecars[0].machine.posture().state == StoreState::FailingOver)
    );
    // It obeys, and nobody is left to promote the other.
    sim.thaw("a");
    sim.run_for(MS * 50);
    sim.crash(0);
    assert!(["a", "b", "c"].iter().all(|id| sim.cluster.server(id).of.is_some()));
    sim.start(0);
    sim.run_for(MS * 3000);
    assert!(!sim.serves(0) && reason(&sim).contains("no endpoint is a primary"), "{}", reason(&sim));
    assert!(sim.run_until(MS * 6000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("a", 2, StoreState::Healthy), "it has most, for it had all");
    assert!(sim.cluster.server("a").has(write));
}

#[test]
fn a_failover_that_was_refused_at_first_is_reported_like_any_other() {
    let mut sim = serving();
    sim.cluster.server("a").apply(Entry::Follower("other".into(), sim.now + MS * 6000));
    sim.run_for(MS * 600);
    forget(&mut sim);
    sim.kill("a");
    sim.run_for(MS * 3000);
    assert!(reason(&sim).contains("registered as followers"), "{}", reason(&sim));
    assert!(sim.run_until(MS * 12_000, |sim| sim.serves(0)), "the registration has ended: {}", reason(&sim));
    let report = report(&sim);
    assert_eq!((report.kind, report.outcome), (crate::ChangeKind::Failover, Outcome::Done));
    assert_eq!((report.from, report.to), (Some("a".into()), Some("b".into())));
}

#[test]
fn a_suspected_primary_that_comes_back_as_another_one_is_lost() {
    let rows: [(&str, Given); 2] = [
        ("restarted", |sim| {
            sim.kill("a");
            sim.restart("a");
        }),
        ("a mirror", |sim| {
            sim.cluster.server("a").of = Some("b".into());
            sim.thaw("a");
        }),
    ];
    for (name, given) in rows {
        let mut sim = serving();
        sim.freeze("a");
        assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.phase() == "suspected"), "{name}");
        forget(&mut sim);
        given(&mut sim);
        assert!(sim.run_until(MS * 2000, is_unavailable), "{name}");
        let first = trace(&sim).first().cloned().unwrap_or_default();
        assert!(
            first.starts_with("publish unavailable"),
            "{name}: nothing goes on as if nothing had happened: {first}"
        );
        assert!(sim.run_until(MS * 10_000, |sim| sim.serves(0)), "{name}: {}", reason(&sim));
        assert_eq!(standing(&sim).1, 2, "{name}");
    }
}

#[test]
fn where_no_failover_is_possible_none_is_reported() {
    let mut sim = serving_with(|params| params.writers = Writers::Others);
    forget(&mut sim);
    sim.kill("a");
    sim.run_for(MS * 3000);
    assert!(is_unavailable(&sim));
    sim.restart("a");
    assert!(sim.run_until(MS * 5000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(sim.reports(0).len(), 0, "{:?}", sim.reports(0));
}

#[test]
fn what_somebody_else_has_changed_is_no_failover_of_ours() {
    let mut sim = serving();
    sim.kill("a");
    sim.run_for(MS * 4000);
    let record = |sim: &Sim| sim.sidecars[0].disk.record.clone().expect("it serves");
    assert_eq!(record(&sim).cause, Cause::Failover);
    let position = record(&sim).position;
    sim.write("b");
    sim.run_for(MS * 500);
    sim.command("b", &Command::Demote("c".into()));
    sim.command("c", &Command::Promote);
    sim.run_for(MS * 6000);
    assert_eq!(standing(&sim).0, "c", "{}", reason(&sim));
    let now = record(&sim);
    assert_eq!((now.cause, now.previous), (Cause::Found, Some("b".into())));
    assert!(now.position > position, "where that one went on from");
}
