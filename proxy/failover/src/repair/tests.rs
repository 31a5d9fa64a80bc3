use foretoken_types::{BootInstant, Epoch, Position};

use super::*;
use crate::endpoints::Paused;
use crate::testing::{machine, observation, record};

#[test]
fn a_mirror_is_attached_to_the_primary_or_in_the_middle_of_a_copy_from_somewhere() {
    let mirror = |of: Option<&str>, link: Link| Role::Mirror { of: of.map(Into::into), link };
    for (role, attached) in [
        (mirror(Some("a"), Link::Down), true),
        (mirror(Some("b"), Link::Down), false),
        (mirror(None, Link::Synchronizing), true),
        (mirror(None, Link::Down), false),
        (Role::Primary, false),
    ] {
        assert_eq!(is_attached(&observation(role.clone()), &"a".into()), attached, "{role:?}");
    }
}

#[test]
fn data_belongs_to_the_store_by_its_history_or_by_a_marker_that_is_not_too_new() {
    let record = record();
    let known = |history: &str| Observation { history: history.to_owned(), ..observation(Role::Primary) };
    let descends = |history: &str| Observation {
        previous_history: Some((history.to_owned(), Position(1))),
        ..observation(Role::Primary)
    };
    let marked = |epoch: u64| Observation { marker: Some(Epoch(epoch)), ..observation(Role::Primary) };
    for (found, ours) in [
        (observation(Role::Primary), false),
        (known("now"), true),
        (known("before"), true),
        (descends("now"), true),
        (descends("before"), true),
        (descends("elsewhere"), false),
        (marked(3), true),
        (marked(4), false),
    ] {
        assert_eq!(belongs(&found, &record), ours, "{found:?}");
    }
}

#[test]
fn a_repair_is_tried_again_when_its_time_has_come() {
    let mut machine = machine();
    let due = BootInstant::default() + Duration::from_secs(100);
    machine.now = due;
    let strayed = Observation { history: "now".to_owned(), ..observation(Role::Primary) };
    let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.learn(due, false, Ok(strayed));
    endpoint.repair_at = due;
    for (now, tries) in [(due - Duration::from_nanos(1), false), (due, true)] {
        machine.now = now;
        attach(&mut machine, &"b".into(), &"a".into(), &record());
        assert_eq!(!machine.out.is_empty(), tries, "{:?}", machine.out);
    }
}

#[test]
fn a_server_that_was_told_to_pause_answers_by_a_look_from_afterwards_and_is_past_that_when_the_pause_is() {
    let mut machine = machine();
    let told = BootInstant::default() + Duration::from_secs(100);
    let moment = Duration::from_nanos(1);
    let pause = machine.params.pause;
    let since = told + Duration::from_secs(1);
    let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.paused = Some(Paused { told, answers: None });
    for (asked, now, answers) in [
        // It may have been answered before the server was told.
        (told, since - moment, Some(None)),
        (told + moment, since, Some(Some(since))),
        (since, since + pause, Some(Some(since))),
        (since, since + pause + moment, None),
    ] {
        let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
        endpoint.learn(asked, false, Ok(observation(Role::Primary)));
        machine.now = now;
        note_answers(&mut machine);
        let paused = machine.endpoint(&"b".into()).and_then(|endpoint| endpoint.paused);
        assert_eq!(paused.map(|paused| paused.answers), answers, "{:?} after it was told", now.since(told));
    }
}
