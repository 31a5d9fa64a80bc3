//! What a failover has lost: a bound at once, and exactly when the old primary answers again.

use super::sim::Spoil;
use super::*;

/// `id` has more than the others, which keep their links and receive nothing.
fn ahead(sim: &mut Sim, by: usize) {
    for mirror in ["b", "c"] {
        sim.cluster.server(mirror).stalled = true;
    }
    for _ in 0..by {
        sim.write("a");
    }
}

fn told_exactly(sim: &Sim) -> bool {
    trace(sim).iter().any(|line| line.starts_with("loss a 2 exactly"))
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
