//! What a failover waits for, and for how long.

use super::sim::Spoil;
use super::*;

/// Time until the machine wants to be woken.
fn idle(sim: &Sim) -> std::time::Duration {
    let now = sim.sidecars[0].local(sim.now);
    now.until(sim.sidecars[0].machine.next_deadline().expect("something is always due"))
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
