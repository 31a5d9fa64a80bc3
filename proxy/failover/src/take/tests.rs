use foretoken_types::{Failure, Role};

use super::*;
use crate::testing::{machine, observation};

/// It is putting `a` in charge, and has come so far.
fn taking(stage: Stage) -> Machine {
    let mut machine = machine();
    machine.begin_take("a".into(), observation(Role::Primary), Cause::Found, Position(1), String::new());
    machine.set_stage(stage);
    machine
}

const ASKED: Operation = Operation(7);
const ANOTHER: Operation = Operation(8);

#[test]
fn a_primary_that_does_not_answer_the_claim_is_not_put_in_charge_and_one_that_refuses_it_is() {
    let rejected = |failure| Err(Rejection { failure, detail: "it is said".to_owned() });
    for failure in [Failure::Refused, Failure::Timeout, Failure::OpenFiles] {
        let mut machine = taking(Stage::Claim(Some(ASKED)));
        machine.take_answered(ANOTHER, rejected(failure));
        assert_eq!(machine.phase(), "take", "an answer to something else");
        machine.take_answered(ASKED, rejected(failure));
        assert_eq!(machine.phase(), "start", "{failure:?}");
        assert_eq!(machine.reason(), Some("a did not answer the claim of the owner record"));
    }
    let mut machine = taking(Stage::Claim(Some(ASKED)));
    machine.take_answered(ASKED, rejected(Failure::Other));
    assert!(matches!(&machine.phase, Phase::Take(Take { stage: Stage::Save, .. })), "{:?}", machine.phase);
}

#[test]
fn it_serves_once_the_marker_was_answered_and_not_when_something_else_was() {
    let mut machine = taking(Stage::Mark(ASKED));
    machine.take_answered(ANOTHER, Ok(Answer::Done));
    assert_eq!(machine.phase(), "take");
    machine.take_answered(ASKED, Ok(Answer::Done));
    assert_eq!(machine.phase(), "serving");
}

#[test]
fn what_was_held_against_a_primary_before_it_was_put_in_charge_is_past() {
    let rejected = |failure| Err(Rejection { failure, detail: "it is said".to_owned() });
    for (answer, phase) in [
        (Ok(Answer::Done), "serving"),
        (rejected(Failure::Other), "serving"),
        (rejected(Failure::Timeout), "down"),
        (rejected(Failure::Refused), "down"),
        (rejected(Failure::OpenFiles), "down"),
    ] {
        let mut machine = taking(Stage::Mark(ASKED));
        machine.endpoint_mut(&"a".into()).expect("it is configured").verdict = Verdict::Down;
        machine.take_answered(ASKED, answer.clone());
        machine.advance();
        assert_eq!(machine.phase(), phase, "{answer:?}: {:?}", machine.reason());
        let vouched = machine.out.contains(&Effect::Vouch("a".into()));
        assert_eq!(vouched, phase == "serving", "{answer:?}");
    }
}

#[test]
fn who_could_not_register_serves_on_and_who_could_waits_until_it_must_be_known() {
    let refused = Err(Rejection { failure: Failure::Other, detail: "it is said".to_owned() });
    for (answer, waits) in [(Ok(Answer::Done), true), (refused, false)] {
        let mut machine = taking(Stage::Register { order: ASKED, known: false });
        machine.ownership.authority = Authority::Follower("so it is said".to_owned());
        machine.take_answered(ASKED, answer.clone());
        let Phase::Take(Take { stage, .. }) = &machine.phase else { panic!("{:?}", machine.phase) };
        let settles = matches!(stage, Stage::Settle(until) if *until == machine.now + machine.settle());
        assert_eq!((settles, matches!(stage, Stage::Save)), (waits, !waits), "{answer:?}: {stage:?}");
    }
}

#[test]
fn what_a_primary_has_lost_by_a_restart_nobody_knows() {
    let lost = Loss::Bounded { at_least: 0, kept_until: None };
    let epoch = Epoch(4);
    for (cause, last, run_id, told) in [
        (Cause::Found, "a", "r", false),
        (Cause::Found, "a", "another", true),
        // Another primary goes on from there: its own loss, if there is one, is told by a failover.
        (Cause::Found, "b", "another", false),
        (Cause::Switchover, "a", "another", false),
        (Cause::Failover, "a", "another", false),
    ] {
        let mut machine = machine();
        machine.posture.primary = Some(last.into());
        let found = Observation { run_id: run_id.to_owned(), ..observation(Role::Primary) };
        machine.begin_take("a".into(), found, cause, Position(1), String::new());
        machine.set_stage(Stage::Saving(epoch));
        machine.epoch_saved(epoch);
        let losses: Vec<_> =
            machine.out.iter().filter(|effect| matches!(effect, Effect::PublishLoss { .. })).collect();
        let expected = Effect::PublishLoss { epoch, endpoint: "a".into(), loss: lost };
        let expected: Vec<_> = told.then_some(&expected).into_iter().collect();
        assert_eq!(losses, expected, "{cause:?} after {last}, process {run_id}");
    }
}
