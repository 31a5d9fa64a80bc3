//! Who is in charge, by what was asked and heard, and from when until when.

use foretoken_types::{OwnerClaim, Role};

use super::*;
use crate::Event;
use crate::testing::{machine, observation};

const NANOSECOND: Duration = Duration::from_nanos(1);

fn at(ms: u64) -> BootInstant {
    BootInstant::default() + Duration::from_millis(ms)
}

fn see(machine: &mut Machine, asked: BootInstant, found: Observation) {
    machine.endpoint_mut(&"a".into()).expect("it is configured").learn(asked, false, Ok(found));
}

#[test]
fn an_owner_record_is_ours_until_somebody_else_may_have_taken_it() {
    let mut machine = machine();
    let operation = machine.claim(&"a".into());
    machine.step(Event::Answered { operation, result: Ok(Answer::Claimed(Claimed::Held)) }, at(0));
    // 10 s, less twice the 50 ms for what lies between reading a clock and acting on it.
    let end = at(9900);
    for (now, owns) in [(end - NANOSECOND, true), (end, false)] {
        machine.now = now;
        assert_eq!((machine.owns(), machine.has_lapsed()), (owns, !owns));
    }
}

#[test]
fn another_sidecar_is_alive_when_its_record_has_outlived_one_that_was_written_late() {
    let life = machine().params.by_any_clock(machine().params.owner_life);
    let rows = [
        ("another", at(0) + life, false),
        ("another", at(0) + life + NANOSECOND, true),
        // This one's own, of a process before.
        ("one", at(0) + life + NANOSECOND, false),
    ];
    for (owner, last, living) in rows {
        let mut machine = machine();
        let owner = OwnerClaim { instance: InstanceId::new(owner) };
        let found = Observation { owner: Some(owner.clone()), ..observation(Role::Primary) };
        see(&mut machine, at(0), found.clone());
        see(&mut machine, last, found);
        assert_eq!(machine.has_living_owner(&"a".into()), living, "{owner:?}, {last:?}");
    }
}

#[test]
fn leases_of_the_process_before_are_waited_for_from_the_start_on() {
    let mut machine = machine();
    machine.step(Event::Tick, at(5000));
    machine.step(Event::Tick, at(6000));
    assert_eq!(machine.predecessors_end(), at(5000) + machine.params.fence_wait());
}

#[test]
fn a_primary_that_keeps_nothing_over_a_restart_is_managed_when_it_has_no_mirror_to_wipe() {
    for (servers, managed) in [(1, true), (2, false)] {
        let mut machine = machine();
        machine.endpoints.truncate(servers);
        let bare = Observation { persistence: Persistence::None, ..observation(Role::Primary) };
        see(&mut machine, at(0), bare);
        assert_eq!(machine.unmanageable().is_none(), managed, "{:?}", machine.unmanageable());
    }
}

#[test]
fn who_finds_out_anew_who_is_primary_asks_again_who_is_in_charge() {
    let follower = Authority::Follower("so it is said".to_owned());
    for (before, after) in [(follower, Authority::Undecided), (Authority::Owner, Authority::Owner)] {
        let mut machine = machine();
        machine.ownership.authority = before;
        machine.heard(at(0));
        machine.now = at(10_000);
        assert!(machine.has_lapsed());
        machine.find_out_anew();
        assert_eq!(machine.ownership.authority, after);
        assert!(!machine.has_lapsed(), "what the old primary told is the past");
    }
}

#[test]
fn the_owner_record_is_renewed_when_that_is_due_and_the_last_answer_has_come() {
    let mut machine = machine();
    (machine.phase, machine.posture.primary) = (Phase::Serving, Some("a".into()));
    machine.keep_ownership();
    let operation = machine.ownership.claim().expect("it is due at once");
    machine.now = machine.ownership.next_at();
    machine.keep_ownership();
    assert_eq!(machine.ownership.claim(), Some(operation), "the first is not answered yet");
    let sent = machine.sent[&operation].clone();
    machine.answer_claim(operation, &sent, &Ok(Answer::Claimed(Claimed::Held)));
    machine.keep_ownership();
    assert!(machine.ownership.claim().is_some_and(|next| next != operation));
}

#[test]
fn that_the_primary_takes_no_writes_is_unsaid_by_any_other_answer_and_not_by_silence() {
    for (failure, unwritable) in [
        (Failure::Refused, true),
        (Failure::Timeout, true),
        (Failure::OpenFiles, true),
        (Failure::Busy, true),
        (Failure::Credentials, false),
        (Failure::Other, false),
    ] {
        let mut machine = machine();
        for failure in [Failure::NotServing, failure] {
            let operation = machine.claim(&"a".into());
            let result = Err(Rejection { failure, detail: "it is said".to_owned() });
            machine.step(Event::Answered { operation, result }, at(0));
        }
        assert_eq!(machine.ownership.unwritable, unwritable, "{failure:?}");
    }
}
