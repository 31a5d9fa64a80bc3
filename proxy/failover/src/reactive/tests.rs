use foretoken_types::InstanceId;

use super::*;
use crate::Params;
use crate::knowledge::Identity;
use crate::testing::{observation, record};

/// In charge of a store whose data is called "now", was called "before" until position 10, and whose primary was `a`.
fn machine() -> Machine {
    let mut machine =
        Machine::new(Params::new("cache".into(), InstanceId::new("one"), vec!["a".into(), "b".into()], 2));
    machine.identity = Some(Identity { run_id: "r".to_owned(), history: "now".to_owned() });
    machine.registry.record = Some(record());
    machine
}

fn found(role: Role, history: &str, position: u64) -> Observation {
    Observation {
        history: history.to_owned(),
        position: Position(position),
        writable: false,
        ..observation(role)
    }
}

#[test]
fn a_mirror_takes_over_when_it_has_a_whole_copy_of_this_data() {
    let mirror = |link: Link| Role::Mirror { of: Some("a".into()), link };
    let copy = |history: &str, position: u64| found(mirror(Link::Down), history, position);
    let promoted = |before: &str| Observation {
        previous_history: Some((before.to_owned(), Position(1))),
        ..found(Role::Primary, "new", 1)
    };
    let other = Some("holds data of another history");
    let (itself, partly) = (Some("is a primary itself"), Some("has no whole copy of the data"));
    let rows = [
        (copy("now", 1), false, None),
        (copy("now", 11), false, None),
        (copy("before", 10), false, None),
        (copy("before", 11), false, other),
        (copy("elsewhere", 1), false, other),
        (Observation { loading: true, ..copy("now", 1) }, false, partly),
        (found(mirror(Link::Synchronizing), "now", 1), false, partly),
        (promoted("now"), true, None),
        (promoted("now"), false, itself),
        (promoted("elsewhere"), true, itself),
        (found(Role::Primary, "now", 1), true, itself),
    ];
    for (found, tried, why) in rows {
        assert_eq!(machine().why_not(&found, tried).as_deref(), why, "{found:?}, tried {tried}");
    }
    let mut ignorant = machine();
    (ignorant.identity, ignorant.registry.record) = (None, None);
    let why = ignorant.why_not(&copy("now", 1), false);
    assert_eq!(why.as_deref(), Some("can't be compared: no history is known"));
}

#[test]
fn status_tells_why_an_endpoint_could_not_take_over_now() {
    let mut machine = machine();
    let now = BootInstant::default() + Duration::from_secs(100);
    machine.now = now;
    machine.posture.primary = Some("a".into());
    let why = |machine: &Machine, id: &str| machine.why_not_eligible(&id.into());
    assert_eq!(why(&machine, "z").as_deref(), Some("is not configured"));
    assert_eq!(why(&machine, "a").as_deref(), Some("is the primary"));
    assert_eq!(why(&machine, "b").as_deref(), Some("does not answer"));
    let copies = found(Role::Mirror { of: Some("a".into()), link: Link::Down }, "now", 1);
    let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.learn(now, false, Ok(copies));
    assert_eq!(why(&machine, "b"), None);
    machine.endpoint_mut(&"b".into()).expect("it is configured").note = Some("is left alone".to_owned());
    assert_eq!(why(&machine, "b").as_deref(), Some("is left alone"));
}
