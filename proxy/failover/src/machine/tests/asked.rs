//! Orders to switch over that wait for what comes by itself, and how long.

use super::sim::Spoil;
use super::*;

const DEMOTE: fn(&Order) -> bool = |order| matches!(order, Order::Demote { .. });

/// What a mirror lacks that may come by itself, and how that is called when it does not.
const LACKS: &[(&str, Given, &str)] = &[
    (
        "a link to the primary",
        |sim| {
            sim.cluster.server("b").of = Some("c".into());
            sim.spoil("b", DEMOTE, Spoil::Refuse, u32::MAX);
        },
        "b does not copy a over a live link",
    ),
    (
        "the name of the primary's data",
        |sim| {
            sim.cluster.server("b").history = "elsewhere".into();
            sim.cluster.server("b").stalled = true;
        },
        "its data is of another history",
    ),
];

/// A store in which a switchover to `b` is ordered while that is so.
fn ordered(given: Given) -> Sim {
    let mut sim = serving();
    given(&mut sim);
    sim.run_for(MS * 800);
    forget(&mut sim);
    switchover(&mut sim, "b");
    sim
}

fn waits(sim: &Sim) -> bool {
    sim.reports(0).is_empty() && sim.serves(0) && sim.sidecars[0].machine.posture().hold.is_none()
}

#[test]
fn switchovers_may_follow_each_other_at_once() {
    for mirrors in [["b", "a"], ["b", "c"]] {
        let mut sim = serving();
        for (round, to) in mirrors.into_iter().cycle().take(6).enumerate() {
            forget(&mut sim);
            switchover(&mut sim, to);
            assert!(sim.run_until(MS * 2000, |sim| !sim.reports(0).is_empty()), "to {to}, round {round}");
            let report = report(&sim);
            assert_eq!(report.outcome, Outcome::Done, "to {to}, round {round}: {report:?}");
            assert!(report.held_for.is_some_and(|held| held < MS * 20), "{:?}", report.held_for);
        }
    }
}

#[test]
fn what_does_not_come_is_waited_for_two_seconds_while_the_store_serves() {
    for (name, given, why) in LACKS {
        let mut sim = ordered(*given);
        sim.run_for(MS * 1999);
        assert!(waits(&sim), "{name}: {:?}", sim.reports(0));
        // A timer wakes a microsecond late.
        sim.run_for(MS * 2);
        assert_eq!(report(&sim).outcome, Outcome::Refused, "{name}");
        assert!(report(&sim).detail.contains(why), "{name}: {}", report(&sim).detail);
        assert_eq!((standing(&sim).0.as_str(), standing(&sim).1), ("a", 1), "{name}");
        assert_eq!(intent(&sim), None, "{name}");
    }
}

#[test]
fn an_order_is_refused_at_the_very_end_of_its_patience() {
    let (_, given, why) = LACKS[0];
    let mut sim = ordered(given);
    sim.run_for(MS * 1999);
    let sidecar = &mut sim.sidecars[0];
    let end = sidecar.machine.asked.as_ref().map(|asked| asked.until).expect("it waits");
    sidecar.step(crate::Event::Tick, end - std::time::Duration::from_nanos(1));
    assert!(waits(&sim));
    sim.sidecars[0].step(crate::Event::Tick, end);
    assert!(report(&sim).detail.contains(why), "{:?}", report(&sim));
}

#[test]
fn one_order_waits_and_the_next_is_refused_at_once() {
    let (_, given, _) = LACKS[0];
    let mut sim = ordered(given);
    switchover(&mut sim, "c");
    assert!(report(&sim).detail.contains("another switchover waits to begin"), "{:?}", report(&sim));
    // The first is not forgotten for it.
    assert!(sim.run_until(MS * 2001, |sim| sim.reports(0).len() == 2));
    forget(&mut sim);
    switchover(&mut sim, "c");
    assert!(sim.run_until(MS * 1000, |sim| !sim.reports(0).is_empty()));
    assert_eq!(report(&sim).outcome, Outcome::Done);
}

#[test]
fn an_order_waits_no_longer_when_the_primary_is_lost() {
    let (_, given, _) = LACKS[1];
    let mut sim = serving();
    given(&mut sim);
    sim.run_for(MS * 500);
    forget(&mut sim);
    sim.kill("a");
    switchover(&mut sim, "b");
    assert!(waits(&sim), "nobody has noticed");
    assert!(sim.run_until(MS * 1900, |sim| !sim.reports(0).is_empty()));
    assert_eq!(sim.reports(0)[0].outcome, Outcome::Refused);
    assert!(sim.reports(0)[0].detail.contains("a does not answer"), "{:?}", sim.reports(0));
}
