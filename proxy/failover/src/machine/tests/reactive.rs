//! The primary is lost: failover, return, repair.

use foretoken_types::Writers;

use super::sim::redis::{Command, Entry, Life};
use super::sim::sidecar::DiskFault;
use super::sim::{Spoil, is_served};
use super::*;
use crate::Cause;

fn states(sim: &Sim) -> Vec<StoreState> {
    let published = sim.sidecars[0].effects.iter().filter_map(|(_, effect)| match effect {
        Effect::Publish(posture) => Some(posture.state),
        _ => None,
    });
    let mut states: Vec<_> = published.collect();
    states.dedup();
    states
}

fn roles(sim: &Sim) -> Vec<String> {
    trace(sim).into_iter().filter(|line| line.contains("mote")).collect()
}

/// `id` has more than the others, which keep their links and receive nothing.
fn ahead(sim: &mut Sim, by: usize) {
    for mirror in ["b", "c"] {
        sim.cluster.server(mirror).stalled = true;
    }
    for _ in 0..by {
        sim.write("a");
    }
}

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
fn the_old_primary_comes_back_as_a_mirror_and_tells_what_was_lost() {
    // It obeys the fence first thing; or the fence is lost, and it comes back as it was.
    for lost in [false, true] {
        // No renewal of the owner record waits in its socket: it would be executed there and be lost as well.
        let mut sim =
            serving_with(|params| (params.owner_renew, params.owner_life) = (MS * 30_000, MS * 60_000));
        ahead(&mut sim, 5);
        if lost {
            sim.spoil("a", |order| matches!(order, Order::Fence { .. }), Spoil::Lose, 1);
        }
        sim.run_for(MS * 500);
        forget(&mut sim);
        sim.freeze("a");
        assert!(sim.run_until(MS * 8000, |sim| sim.serves(0) && standing(sim).0 == "b"), "{}", reason(&sim));
        let bounded = "loss a 2 at least 5, bounded in time: true".to_owned();
        assert!(trace(&sim).contains(&bounded), "{:?}", trace(&sim));
        sim.run_for(MS * 1000);
        assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver));
        forget(&mut sim);
        sim.cluster.server("c").stalled = false;
        let from = sim.sidecars[0].disk.record.as_ref().expect("it was saved").position;
        let exactly = format!("loss a 2 exactly {}", from.lag_behind(sim.cluster.server("a").position()));
        sim.thaw("a");
        sim.run_for(MS * 3000);
        let lines: Vec<_> = trace(&sim).into_iter().filter(|line| !line.contains("recovering")).collect();
        let mut expected = vec![exactly.as_str()];
        if lost {
            expected.extend(["a: demote to b", "a: disconnect"]);
        }
        expected.push("publish healthy b 2");
        assert_eq!(lines, expected, "once: {lost}");
        assert_eq!(sim.cluster.server("a").of, Some("b".into()));
    }
}

#[test]
fn the_bound_of_the_loss_holds() {
    // Whatever was acknowledged before `kept_until` the new primary has.
    for seed in 0..20 {
        let mut sim = Sim::new(seed, &["a", "b", "c"]);
        let params = sim.params("one");
        sim.add(params);
        (sim.write_every, sim.latency) = (Some(MS * 3), (MS / 10, MS));
        sim.start(0);
        sim.run_for(MS * 2000);
        let stall = sim.random.duration(MS, MS * 900);
        for id in ["b", "c"] {
            sim.cluster.server(id).stalled = true;
        }
        sim.run_for(stall);
        sim.kill("a");
        assert!(sim.run_until(MS * 4000, |sim| sim.serves(0) && standing(sim).0 == "b"), "{}", reason(&sim));
        let bound = sim.sidecars[0].effects.iter().find_map(|(_, effect)| match effect {
            Effect::PublishLoss { loss: Loss::Bounded { kept_until, .. }, .. } => *kept_until,
            _ => None,
        });
        let bound = bound.expect("the primary was seen before the stall");
        let new = sim.cluster.server("b").clone();
        let (mut kept, mut lost) = (0, 0);
        for ack in sim.acks.iter().filter(|ack| ack.epoch == Epoch(1)) {
            if sim.sidecars[0].local(ack.at) < bound {
                assert!(new.has(ack.write), "seed {seed}: {ack:?} was acknowledged before {bound:?}");
                kept += 1;
            } else if !new.has(ack.write) {
                lost += 1;
            }
        }
        assert!(kept > 0 && lost > 0, "seed {seed}: kept {kept}, lost {lost}: the bound means something");
    }
}

#[test]
fn a_killed_primary_that_restarts_is_made_a_mirror_and_redundancy_is_shown() {
    let mut sim = serving();
    sim.run_for(MS * 100);
    forget(&mut sim);
    sim.kill("a");
    sim.run_for(MS * 4000);
    sim.restart("a");
    sim.run_for(MS * 4000);
    assert_eq!(
        states(&sim),
        [
            StoreState::Unavailable,
            StoreState::FailingOver,
            StoreState::FailedOver,
            StoreState::Recovering,
            StoreState::Healthy
        ]
    );
    let lines = trace(&sim);
    let demoted = lines.iter().position(|line| line == "a: demote to b").expect("it is attached");
    assert_eq!(lines[demoted + 1], "a: disconnect");
    assert_eq!(sim.cluster.server("a").of, Some("b".into()));
}

#[test]
fn an_old_primary_counts_as_back_when_it_has_caught_up() {
    let mut sim = serving_with(|params| params.lag_bytes_max = 10);
    sim.kill("a");
    sim.run_for(MS * 4000);
    sim.restart("a");
    sim.cluster.server("a").stalled = true;
    for _ in 0..100 {
        sim.write("b");
    }
    sim.run_for(MS * 2000);
    assert_eq!(standing(&sim), serves("b", 2, StoreState::Recovering));
    sim.kill("a");
    sim.run_for(MS * 4000);
    assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver));
    sim.restart("a");
    sim.run_for(MS * 4000);
    assert_eq!(standing(&sim), serves("b", 2, StoreState::Healthy));
}

#[test]
fn data_of_others_is_not_overwritten_and_an_empty_server_is_filled() {
    let mut sim = serving();
    let stranger = sim.cluster.server("c");
    (stranger.of, stranger.history, stranger.previous) = (None, "elsewhere".into(), None);
    stranger.apply(Entry::Flush);
    stranger.apply(Entry::Write(1_000_000));
    forget(&mut sim);
    sim.run_for(MS * 5000);
    assert_eq!(roles(&sim), Vec::<String>::new());
    let why = sim.sidecars[0].machine.why_not_eligible(&"c".into()).expect("it can't be promoted");
    assert!(why.contains("empty it (FLUSHALL) if it may be"), "{why}");
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy), "the store does not mind");
    sim.command("c", &Command::Flush);
    sim.run_for(MS * 3000);
    assert_eq!(roles(&sim), ["c: demote to a"]);
    assert_eq!(sim.cluster.server("c").keys(), sim.cluster.server("a").keys());
}

#[test]
fn a_second_primary_of_the_same_data_is_made_a_mirror_again() {
    let mut sim = serving();
    sim.command("b", &Command::Promote);
    forget(&mut sim);
    sim.run_for(MS * 3000);
    assert_eq!(trace(&sim), ["b: demote to a", "b: disconnect"], "within seconds");
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
fn the_marker_is_written_again_after_flushall() {
    let mut sim = serving();
    forget(&mut sim);
    sim.command("a", &Command::Flush);
    sim.run_for(MS * 4000);
    assert_eq!(trace(&sim), ["a: mark 1"]);
    assert_eq!(sim.cluster.server("c").marker(), Some(Epoch(1)));
    let owner = sim.cluster.observe(0, sim.now).owner.expect("the owner record is renewed as well");
    assert_eq!(owner.instance.as_str(), "one");
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy));
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
    assert!(states(&sim).iter().any(|state| is_served(*state)));
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

/// Time until the machine wants to be woken.
fn idle(sim: &Sim) -> std::time::Duration {
    let now = sim.sidecars[0].local(sim.now);
    now.until(sim.sidecars[0].machine.next_deadline().expect("something is always due"))
}

fn is_unavailable(sim: &Sim) -> bool {
    sim.sidecars[0].machine.posture().state == StoreState::Unavailable
}

#[test]
fn who_waits_for_a_fence_for_looks_or_for_better_times_is_woken_then() {
    let mut sim = serving();
    sim.sidecars[0].threads[1].stuck = true;
    sim.kill("a");
    assert!(sim.run_until(MS * 2000, is_unavailable));
    assert!(idle(&sim) > MS * 1000, "until the last lease is dead: {:?}", idle(&sim));

    let mut sim = serving();
    for id in ["b", "c"] {
        sim.freeze(id);
    }
    sim.kill("a");
    assert!(sim.run_until(MS * 2000, is_unavailable));
    // Every data thread has said that it obeys.
    sim.run_for(MS);
    assert!(idle(&sim) > MS * 240 && idle(&sim) <= MS * 250, "{:?}", idle(&sim));
    sim.run_for(MS * 100);
    sim.tell(0, crate::Event::Tick);
    assert!(idle(&sim) > MS * 190 && idle(&sim) <= MS * 200, "the mirrors have 300 ms: {:?}", idle(&sim));
    sim.run_for(MS * 3000);
    sim.tell(0, crate::Event::Tick);
    assert!(idle(&sim) > MS * 240 && idle(&sim) <= MS * 250, "nobody is asked any more: {:?}", idle(&sim));
}

/// When the machine first wanted such an effect, by its own clock.
fn first(sim: &Sim, wanted: impl Fn(&Effect) -> bool) -> foretoken_types::BootInstant {
    let mut effects = sim.sidecars[0].effects.iter();
    effects.find(|(_, effect)| wanted(effect)).map(|(at, _)| *at).expect("it was wanted")
}

fn publishes(state: StoreState) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Publish(posture) if posture.state == state)
}

#[test]
fn silent_mirrors_have_300_ms_and_those_that_answer_are_not_kept_waiting() {
    for (silent, least, most) in [(true, MS * 300, MS * 3005 / 10), (false, MS / 10, MS * 20)] {
        let mut sim = serving();
        if silent {
            sim.freeze("b");
        }
        forget(&mut sim);
        sim.kill("a");
        sim.run_for(MS * 3000);
        assert_eq!(standing(&sim).0, if silent { "c" } else { "b" });
        let lost = first(&sim, publishes(StoreState::Unavailable));
        let took = first(&sim, publishes(StoreState::FailingOver)).since(lost);
        assert!(took >= least && took <= most, "silent {silent}: {took:?}");
    }
}

#[test]
fn a_primary_that_was_cut_off_with_all_its_mirrors_has_a_quarter_of_a_second_to_come_back_after_them() {
    for (comes, owner) in [(true, "a"), (false, "b")] {
        let mut sim = serving();
        forget(&mut sim);
        for server in ["a", "b", "c"] {
            sim.freeze(server);
        }
        assert!(sim.run_until(MS * 3000, |sim| standing(sim).2 == StoreState::Unavailable));
        sim.run_for(MS * 2000);
        sim.thaw("b");
        sim.run_for(MS * 150);
        assert!(!trace(&sim).iter().any(|line| line == "b: promote"), "{:?}", trace(&sim));
        if comes {
            sim.thaw("a");
        }
        sim.run_for(MS * 2000);
        assert_eq!(standing(&sim).0, owner, "comes back: {comes}; {}", reason(&sim));
        assert!(sim.serves(0), "{}", reason(&sim));
    }
}

#[test]
fn a_promotion_that_failed_is_tried_again_after_a_quarter_of_a_second() {
    let mut sim = serving();
    // What the first one waits for is over then: the end of the last lease.
    sim.sidecars[0].threads[1].stuck = true;
    sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::Refuse, 1);
    forget(&mut sim);
    sim.kill("a");
    sim.run_for(MS * 5000);
    let effects = sim.sidecars[0].effects.iter();
    let promotions =
        effects.filter(|(_, effect)| matches!(effect, Effect::Order { order: Order::Promote, .. }));
    let at: Vec<_> = promotions.map(|(at, _)| *at).collect();
    assert_eq!(at.len(), 2);
    // Counted from the refusal, which has taken its way.
    let took = at[1].since(at[0]);
    assert!(took >= MS * 250 && took <= MS * 275, "{took:?}");
}

#[test]
fn a_promoted_mirror_is_asked_for_a_write_every_ten_milliseconds() {
    let mut sim = serving();
    sim.cluster.server("b").writable = false;
    forget(&mut sim);
    sim.kill("a");
    let failing_over = |sim: &Sim| sim.sidecars[0].machine.posture().state == StoreState::FailingOver;
    assert!(sim.run_until(MS * 2000, failing_over));
    sim.run_for(MS * 200);
    let asked = trace(&sim).iter().filter(|line| *line == "b: probe").count();
    assert!((15..=20).contains(&asked), "{asked} times in 200 ms");
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
fn an_answer_to_something_else_is_no_answer_to_a_promotion() {
    let mut sim = serving();
    // The look at it is given up after the mirrors' time to answer, and before the promotion is.
    sim.freeze("c");
    sim.spoil("b", |order| matches!(order, Order::Promote), Spoil::LoseAnswer, 1);
    sim.kill("a");
    let failing_over = |sim: &Sim| sim.sidecars[0].machine.posture().state == StoreState::FailingOver;
    assert!(sim.run_until(MS * 3000, failing_over));
    sim.run_for(MS * 300);
    assert!(failing_over(&sim), "{}", reason(&sim));
}

#[test]
fn a_server_is_empty_only_when_both_its_words_say_so() {
    let mut sim = serving();
    let stranger = sim.cluster.server("c");
    (stranger.of, stranger.history, stranger.previous) = (None, "elsewhere".into(), None);
    stranger.apply(Entry::Flush);
    stranger.apply(Entry::Write(1_000_000));
    sim.run_for(MS * 3000);
    forget(&mut sim);
    // The last look has found a key.
    sim.tell(
        0,
        crate::Event::Examined {
            endpoint: "c".into(),
            version: vec![7],
            empty: Some(true),
            blockers: Vec::new(),
        },
    );
    assert_eq!(roles(&sim), Vec::<String>::new());
}

#[test]
fn an_older_marker_is_replaced() {
    let mut sim = serving();
    sim.command("a", &Command::Mark(Epoch(0)));
    forget(&mut sim);
    sim.run_for(MS * 4000);
    assert_eq!(trace(&sim), ["a: mark 1"]);
}

fn told_exactly(sim: &Sim) -> bool {
    trace(sim).iter().any(|line| line.starts_with("loss a 2 exactly"))
}

#[test]
fn only_the_history_of_before_tells_what_was_lost() {
    for (history, told) in [("a-1", true), ("elsewhere", false)] {
        let mut sim = serving();
        sim.freeze("a");
        assert!(sim.run_until(MS * 6000, |sim| sim.serves(0) && standing(sim).0 == "b"), "{}", reason(&sim));
        sim.cluster.server("a").history = history.to_owned();
        sim.thaw("a");
        sim.run_for(MS * 3000);
        assert_eq!(told_exactly(&sim), told, "{history}: {:?}", trace(&sim));
    }
}

#[test]
fn what_was_lost_is_told_by_the_fence_while_that_is_on_its_way() {
    let mut sim = serving();
    sim.spoil("a", |order| matches!(order, Order::Fence { .. }), Spoil::Lose, 1);
    sim.freeze("a");
    assert!(sim.run_until(MS * 6000, |sim| sim.serves(0) && standing(sim).0 == "b"), "{}", reason(&sim));
    sim.thaw("a");
    sim.run_for(MS * 300);
    assert!(!told_exactly(&sim), "what it shows may still grow");
    sim.run_for(MS * 3000);
    assert!(told_exactly(&sim), "{:?}", trace(&sim));
}

#[test]
fn a_loss_is_told_once_also_when_the_new_primary_begins_another_epoch() {
    let mut sim = serving();
    sim.freeze("a");
    assert!(sim.run_until(MS * 6000, |sim| sim.serves(0) && standing(sim).0 == "b"), "{}", reason(&sim));
    sim.thaw("a");
    sim.run_for(MS * 6000);
    assert!(told_exactly(&sim), "{:?}", trace(&sim));
    forget(&mut sim);
    // Taken back: its primary begins another epoch without having lost anything.
    sim.spoil("b", |order| matches!(order, Order::Demote { .. }), Spoil::Refuse, 1);
    switchover(&mut sim, "c");
    assert!(sim.run_until(MS * 8000, |sim| !sim.reports(0).is_empty()), "{}", reason(&sim));
    assert_eq!(report(&sim).outcome, Outcome::Aborted);
    sim.run_for(MS * 3000);
    assert_eq!((standing(&sim).0.as_str(), standing(&sim).1), ("b", 3), "{}", reason(&sim));
    let losses = |sim: &Sim| trace(sim).into_iter().filter(|line| line.starts_with("loss")).collect();
    let told: Vec<String> = losses(&sim);
    assert_eq!(told, Vec::<String>::new());
    // The next failover has a loss of its own.
    sim.freeze("b");
    assert!(sim.run_until(MS * 6000, |sim| sim.serves(0) && standing(sim).1 == 4), "{}", reason(&sim));
    sim.thaw("b");
    sim.run_for(MS * 6000);
    let told: Vec<String> = losses(&sim);
    assert!(told.iter().any(|line| line.starts_with("loss b 4 exactly")), "{told:?}");
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
