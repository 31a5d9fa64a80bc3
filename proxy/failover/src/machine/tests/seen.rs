//! What others ask the machine about what was seen, and whether they may look closer.

use std::time::Duration;

use foretoken_types::{BootInstant, Failure, Link, Observation, Position, Role};

use super::*;
use crate::testing::{machine, observation};

#[test]
fn a_primary_is_as_known_while_it_is_the_process_with_the_data_that_was_put_in_charge() {
    let known = Observation {
        history: "now".to_owned(),
        previous_history: Some(("before".to_owned(), Position(10))),
        ..observation(Role::Primary)
    };
    let demoted = Observation { role: Role::Mirror { of: None, link: Link::Down }, ..known.clone() };
    let restarted = Observation { run_id: "another".to_owned(), ..known.clone() };
    let replaced = Observation { history: "another".to_owned(), ..known.clone() };
    let mut machine = machine();
    machine.posture.primary = Some("a".into());
    for (found, as_known) in [(&known, true), (&demoted, false), (&restarted, false), (&replaced, false)] {
        assert_eq!(machine.is_as_known(&"a".into(), found), as_known, "{found:?}");
        assert!(machine.is_as_known(&"b".into(), found), "of a mirror nothing is taken for granted");
    }
    machine.identity = None;
    assert!(!machine.is_as_known(&"a".into(), &known), "nothing was put in charge yet");
    machine.posture.primary = None;
    assert!(machine.is_as_known(&"a".into(), &known), "nobody is taken for the primary");
}

#[test]
fn what_an_endpoint_is_now_is_told_by_a_recent_look_and_by_no_other() {
    let mut machine = machine();
    let asked = BootInstant::default();
    let learn = |machine: &mut crate::Machine, found| {
        machine.endpoint_mut(&"a".into()).expect("it is configured").learn(asked, false, found);
    };
    assert_eq!(machine.seen(&"a".into()), None, "it was not looked at yet");
    let found = observation(Role::Primary);
    learn(&mut machine, Ok(found.clone()));
    machine.now = asked + machine.params.fresh;
    assert_eq!(machine.seen(&"a".into()), Some(&found));
    assert_eq!(machine.seen(&"b".into()), None);
    machine.now = machine.now + Duration::from_nanos(1);
    assert_eq!(machine.seen(&"a".into()), None, "that was long ago");
    machine.now = asked;
    learn(&mut machine, Err(Failure::Timeout));
    assert_eq!(machine.seen(&"a".into()), None, "it does not answer any more");
}

#[test]
fn a_process_that_finds_a_broken_off_switchover_does_not_probe_for_writes() {
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| trace(sim).iter().any(|line| line == "a: demote to b")));
    sim.crash(0);
    sim.start(0);
    assert!(sim.run_until(MS * 1000, |sim| sim.sidecars[0].machine.phase() == "resolve"));
    assert!(sim.cluster.server("a").paused_until > sim.now, "the process before this one has told it so");
    assert!(!sim.sidecars[0].machine.may_probe_writes(), "a probe would wait");
    assert!(sim.run_until(MS * 8000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert!(sim.sidecars[0].machine.may_probe_writes());
}
