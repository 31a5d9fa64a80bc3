//! While the store serves: servers are made mirrors, the marker is kept, and redundancy is shown.

use super::sim::redis::{Command, Entry};
use super::*;

fn states(sim: &Sim) -> Vec<StoreState> {
    let published = sim.sidecars[0].effects.iter().filter_map(|(_, effect)| match effect {
        Effect::Publish(posture) => Some(posture.state),
        _ => None,
    });
    let mut states: Vec<_> = published.collect();
    states.dedup();
    states
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
fn a_second_primary_of_the_same_data_is_made_a_mirror_again() {
    let mut sim = serving();
    sim.command("b", &Command::Promote);
    forget(&mut sim);
    sim.run_for(MS * 3000);
    assert_eq!(trace(&sim), ["b: demote to a", "b: disconnect"], "within seconds");
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
fn an_older_marker_is_replaced() {
    let mut sim = serving();
    sim.command("a", &Command::Mark(Epoch(0)));
    forget(&mut sim);
    sim.run_for(MS * 4000);
    assert_eq!(trace(&sim), ["a: mark 1"]);
}
