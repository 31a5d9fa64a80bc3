mod last_chance;

use foretoken_types::{Epoch, Writers};

use super::*;
use crate::testing::{machine, observation};

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
    let elsewhere =
        |of: Option<&str>| found(Role::Mirror { of: of.map(Into::into), link: Link::Down }, "elsewhere", 1);
    let (other, awaited) =
        (Some("holds data of another history"), Some("has no copy of the data yet: waits for a full one"));
    let (itself, partly) = (Some("is a primary itself"), Some("has no whole copy of the data"));
    let rows = [
        (copy("now", 1), false, None),
        (copy("now", 11), false, None),
        (copy("before", 10), false, None),
        (copy("before", 11), false, awaited),
        (copy("elsewhere", 1), false, awaited),
        (elsewhere(Some("b")), false, other),
        (elsewhere(None), false, other),
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
    assert_eq!(why(&machine, "b").as_deref(), Some("was not looked at yet"));
    for (failure, expected) in [
        (Failure::Timeout, "does not answer"),
        (Failure::Credentials, "does not let the sidecar look: credentials or a permission"),
    ] {
        machine.endpoint_mut(&"b".into()).expect("it is configured").learn(now, false, Err(failure));
        assert_eq!(why(&machine, "b").as_deref(), Some(expected));
    }
    let copies = found(Role::Mirror { of: Some("a".into()), link: Link::Down }, "now", 1);
    let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.learn(now, false, Ok(copies));
    assert_eq!(why(&machine, "b"), None);
    machine.endpoint_mut(&"b".into()).expect("it is configured").note = Some("is left alone".to_owned());
    assert_eq!(why(&machine, "b").as_deref(), Some("is left alone"));
}

/// It has lost `a` just now.
fn bereft() -> Machine {
    let mut machine = machine();
    machine.now = BootInstant::default() + Duration::from_secs(100);
    machine.enter_down("a".into(), "a is down".to_owned(), StoreState::Healthy, false);
    machine
}

fn shows(machine: &mut Machine, id: &str, found: Observation) {
    let now = machine.now;
    machine.endpoint_mut(&id.into()).expect("it is configured").learn(now, false, Ok(found));
}

#[test]
fn what_the_roles_are_is_told_of_a_lost_primary_that_answers_and_not_of_one_that_does_not() {
    let reason = |mut machine: Machine| {
        machine.without_failover("not now".to_owned(), machine.now);
        machine.reason.unwrap_or_default()
    };
    assert_eq!(reason(bereft()), "a is down; no automatic failover: not now");
    let mut machine = bereft();
    shows(&mut machine, "a", found(Role::Mirror { of: Some("b".into()), link: Link::Down }, "now", 1));
    shows(&mut machine, "b", found(Role::Primary, "elsewhere", 1));
    assert_eq!(
        reason(machine),
        "a is down; no automatic failover: not now; a is a mirror now, and nothing proves that b continues its data"
    );
}

#[test]
fn only_a_lost_primary_of_ours_that_a_mirror_could_replace_must_bear_the_marker_to_serve_again() {
    let marked =
        |marker: Option<u64>| Observation { marker: marker.map(Epoch), ..observation(Role::Primary) };
    let may = |machine: &Machine, id: &str, marker: Option<u64>| {
        machine.may_serve_again(&id.into(), &"a".into(), &marked(marker)).is_ok()
    };
    let ours = machine();
    assert!(!may(&ours, "a", None) && !may(&ours, "a", Some(2)));
    assert!(may(&ours, "a", Some(3)) && may(&ours, "a", Some(4)));
    assert!(may(&ours, "b", None), "another one was made primary by somebody");
    let mut follower = machine();
    follower.ownership.authority = Authority::Follower("so it is said".to_owned());
    assert!(may(&follower, "a", None), "the marker is the owner's to ask for");
    let mut single = machine();
    single.endpoints.truncate(1);
    assert!(may(&single, "a", None), "there is no other data");
    let mut unknown = machine();
    unknown.registry.record = None;
    assert!(may(&unknown, "a", None));
}

#[test]
fn a_mirror_that_is_primary_already_is_chosen_only_when_we_have_tried_to_promote_it() {
    let promoted = Observation {
        previous_history: Some(("now".to_owned(), Position(1))),
        ..found(Role::Primary, "new", 1)
    };
    for (tried, chosen) in [(None, None), (Some("a"), None), (Some("b"), Some("b"))] {
        let mut machine = bereft();
        shows(&mut machine, "b", promoted.clone());
        let Phase::Down(down) = &mut machine.phase else { panic!("{}", machine.phase()) };
        down.attempted = tried.map(Into::into);
        let choice = machine.choose().ok().map(|choice| choice.endpoint);
        assert_eq!(choice, chosen.map(Into::into), "{tried:?}");
    }
}

#[test]
fn mirrors_are_waited_for_until_their_time_is_over_and_a_failed_promotion_until_it_may_be_tried_again() {
    let mirror = found(Role::Mirror { of: Some("a".into()), link: Link::Down }, "now", 1);
    for asked in [true, false] {
        let mut machine = bereft();
        machine.started = Some(BootInstant::default());
        machine.params.writers = Writers::ThisSidecar;
        shows(&mut machine, "b", mirror.clone());
        let end = machine.now + if asked { machine.params.choice_deadline } else { machine.params.retry };
        let Phase::Down(down) = &mut machine.phase else { panic!("{}", machine.phase()) };
        if !asked {
            (down.looks, down.retry_at) = (BTreeSet::new(), end);
        }
        machine.now = end - Duration::from_nanos(1);
        machine.gather();
        assert_ne!(machine.posture.state, StoreState::FailingOver, "asked {asked}");
        machine.now = end;
        machine.gather();
        assert_eq!(machine.posture.state, StoreState::FailingOver, "asked {asked}: {:?}", machine.reason);
    }
}

#[test]
fn a_mirror_that_could_not_be_promoted_comes_last_unless_it_may_alone_have_what_was_acknowledged() {
    for (durability, chosen) in [(Durability::Asynchronous, "c"), (Durability::Synchronous, "b")] {
        let params = crate::Params::new(
            "cache".into(),
            foretoken_types::InstanceId::new("one"),
            vec!["a".into(), "b".into(), "c".into()],
            2,
        );
        let mut machine = Machine::new(params);
        machine.registry.record = Some(crate::testing::record());
        machine.now = BootInstant::default() + Duration::from_secs(100);
        machine.enter_down("a".into(), "a is down".to_owned(), StoreState::Healthy, false);
        machine.posture.durability = durability;
        let mirror =
            |position: u64| found(Role::Mirror { of: Some("a".into()), link: Link::Down }, "now", position);
        shows(&mut machine, "b", mirror(9));
        shows(&mut machine, "c", mirror(8));
        let choice = |machine: &Machine| machine.choose().map(|choice| choice.endpoint);
        assert_eq!(choice(&machine), Ok("b".into()), "it has most");
        let Phase::Down(down) = &mut machine.phase else { panic!("{}", machine.phase()) };
        down.attempted = Some("b".into());
        assert_eq!(choice(&machine), Ok(chosen.into()), "{durability:?}");
    }
}

#[test]
fn only_one_that_was_promoted_and_not_restarted_holds_our_data() {
    let before = |history: &str| Some((history.to_owned(), Position(1)));
    for (history, previous, holds) in [
        ("new", before("now"), true),
        ("now", None, true),
        ("new", None, false),
        ("new", before("elsewhere"), false),
    ] {
        let seen = Observation { previous_history: previous, ..found(Role::Primary, history, 1) };
        assert_eq!(machine().holds_our_data(&seen), holds, "{seen:?}");
    }
}
