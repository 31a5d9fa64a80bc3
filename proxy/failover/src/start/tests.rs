use foretoken_types::{Epoch, Link, Position, Writers};

use super::*;
use crate::Effect;
use crate::testing::{machine, observation, record};

fn found(role: Role, history: &str) -> Observation {
    Observation { history: history.to_owned(), ..observation(role) }
}

#[test]
fn data_is_continued_by_who_bears_its_name_or_marker_or_is_copied_by_who_had_it() {
    let record = record();
    let primary = |history: &str| found(Role::Primary, history);
    let marked = |epoch: u64| Observation { marker: Some(Epoch(epoch)), ..primary("other") };
    let after = |history: &str| Observation {
        previous_history: Some((history.to_owned(), Position(1))),
        ..primary("other")
    };
    let mirror = |history: &str| found(Role::Mirror { of: Some("b".into()), link: Link::Down }, history);
    for (found, old, continues) in [
        (primary("now"), None, true),
        (primary("before"), None, false),
        (primary("other"), None, false),
        (after("now"), None, true),
        (after("before"), None, false),
        (marked(2), None, false),
        (marked(3), None, true),
        (marked(4), None, true),
        // Whoever had the data copies it now: it has it, too.
        (primary("other"), Some(mirror("other")), true),
        (primary("other"), Some(mirror("another")), false),
        (primary("other"), Some(primary("other")), false),
    ] {
        assert_eq!(descends(&found, &record, old.as_ref()), continues, "{found:?} {old:?}");
    }
}

#[test]
fn a_registered_primary_that_is_not_seen_is_waited_for_in_words_that_tell_whether_it_is_configured() {
    for (registered, words) in [
        ("a", "a, the primary by the registry, does not serve"),
        ("z", "the registry names z as the primary, which is not configured any more"),
    ] {
        let mut machine = machine();
        machine.endpoint_mut(&"a".into()).expect("it is configured").verdict = Verdict::Suspect;
        let record = Record { primary: registered.into(), ..record() };
        let Decision::Wait(why) = machine.decide_by_record(&record, &[], machine.now) else {
            panic!("{registered}")
        };
        assert_eq!(why, words);
    }
}

/// A machine that ends a switchover from `a` to `b`, at a time when no lease of before can live. Whether `a` has confirmed
/// its demotion, and what a look at each finds now: of `b` also whether that was a probe for writes.
fn resolving(demoted: bool, old: Option<Observation>, new: Option<(Observation, bool)>) -> Machine {
    let mut machine = machine();
    machine.begin_resolve(Intent { from: "a".into(), to: "b".into() }, demoted);
    let now = machine.now + Duration::from_secs(100);
    machine.now = now;
    for (id, look) in [("a", old.map(|found| (found, false))), ("b", new)] {
        if let Some((found, probed)) = look {
            machine.endpoint_mut(&id.into()).expect("it is configured").learn(now, probed, Ok(found));
        }
    }
    machine
}

/// The phase that it comes to, and the orders that it gives, but for looks.
fn resolved(mut machine: Machine) -> (&'static str, Vec<(String, Order)>) {
    machine.advance_resolve();
    let orders = machine.out.iter().filter_map(|effect| match effect {
        Effect::Order { order: Order::Observe { .. }, .. } => None,
        Effect::Order { endpoint, order, .. } => Some((endpoint.to_string(), order.clone())),
        _ => None,
    });
    (machine.phase(), orders.collect())
}

#[test]
fn a_broken_off_switchover_is_taken_back_unless_the_new_primary_may_take_writes() {
    let mirror = || observation(Role::Mirror { of: Some("b".into()), link: Link::Down });
    let new = |writable: bool| Observation { writable, ..observation(Role::Primary) };
    let back = vec![("a".to_owned(), Order::ResumeWrites), ("a".to_owned(), Order::Promote)];
    let resume = vec![("a".to_owned(), Order::ResumeWrites)];
    let elsewhere = |before: Option<&str>| Observation {
        history: "elsewhere".to_owned(),
        previous_history: before.map(|history| (history.to_owned(), Position(1))),
        ..new(true)
    };
    for (new, phase, orders) in [
        // The old one has copied it already: there is nothing to go back to.
        (Some((new(true), true)), "take", resume.clone()),
        // It was promoted, or was restarted with whatever it had.
        (Some((elsewhere(Some("now")), true)), "take", resume),
        (Some((elsewhere(None), true)), "resolve", back.clone()),
        (Some((elsewhere(Some("other")), true)), "resolve", back.clone()),
        // Nobody has tried a write yet.
        (Some((new(true), false)), "resolve", vec![]),
        (Some((new(false), true)), "resolve", back.clone()),
        (Some((mirror(), false)), "resolve", back.clone()),
        (None, "resolve", back),
    ] {
        let found = resolved(resolving(false, Some(mirror()), new.clone()));
        assert_eq!(found, (phase, orders), "{new:?}");
    }
}

#[test]
fn with_the_old_primary_gone_the_new_one_is_promoted_or_failed_over_to_unless_it_is_primary_already() {
    let mirror = || observation(Role::Mirror { of: Some("a".into()), link: Link::Down });
    let primary = || Observation { writable: false, ..observation(Role::Primary) };
    let promote = vec![("b".to_owned(), Order::Promote)];
    for (demoted, new, phase, orders) in [
        (true, mirror(), "resolve", promote),
        (false, mirror(), "down", vec![]),
        (true, primary(), "resolve", vec![]),
        (false, primary(), "resolve", vec![]),
    ] {
        let found = resolved(resolving(demoted, None, Some((new.clone(), true))));
        assert_eq!(found, (phase, orders), "demoted {demoted}: {new:?}");
    }
}

#[test]
fn an_old_primary_that_was_restarted_leaves_the_role_to_a_mirror_that_has_more_by_order_or_by_failover() {
    let restarted = |role: Role| Observation {
        run_id: "another".to_owned(),
        history: "now".to_owned(),
        ..observation(role)
    };
    let (primary, copies) =
        (|| restarted(Role::Primary), || restarted(Role::Mirror { of: Some("b".into()), link: Link::Down }));
    let mirror =
        |history: &str| Some(found(Role::Mirror { of: Some("a".into()), link: Link::Down }, history));
    let promote = vec![("b".to_owned(), Order::Promote)];
    // Whether a failover may be done unasked, and whether the old one has confirmed its demotion.
    for (automatic, demoted, old, new, phase, orders) in [
        (false, true, primary(), mirror("now"), "resolve", promote.clone()),
        (false, false, copies(), mirror("now"), "resolve", promote.clone()),
        // It may never have been told, and have acknowledged since.
        (false, false, primary(), mirror("now"), "down", vec![]),
        (false, true, primary(), None, "down", vec![]),
        (false, true, primary(), mirror("elsewhere"), "down", vec![]),
        (true, true, primary(), mirror("now"), "down", vec![]),
    ] {
        let case = format!("automatic {automatic}, demoted {demoted}, {old:?}, {new:?}");
        let mut machine = resolving(demoted, Some(old), new.map(|found| (found, false)));
        machine.posture.primary = Some("a".into());
        if automatic {
            machine.params.writers = Writers::ThisSidecar;
        }
        assert_eq!(resolved(machine), (phase, orders), "{case}");
    }
}

#[test]
fn who_knows_only_the_registry_gives_the_role_back_to_one_with_its_data_of_which_the_mirror_has_not_more() {
    let resume = vec![("a".to_owned(), Order::ResumeWrites)];
    let mirror = |position: u64| {
        let role = Role::Mirror { of: Some("a".into()), link: Link::Down };
        Observation { position: Position(position), ..found(role, "now") }
    };
    for (history, mirror, phase, orders) in [
        ("now", None, "take", resume.clone()),
        ("now", Some(mirror(1)), "take", resume),
        ("now", Some(mirror(2)), "down", vec![]),
        ("elsewhere", None, "down", vec![]),
        ("elsewhere", Some(mirror(1)), "down", vec![]),
    ] {
        let mut machine =
            resolving(false, Some(found(Role::Primary, history)), mirror.clone().map(|found| (found, false)));
        machine.identity = None;
        assert_eq!(resolved(machine), (phase, orders), "{history}, {mirror:?}");
    }
}

#[test]
fn a_broken_off_switchover_is_ended_only_by_who_was_in_charge_last_and_still_may_be() {
    let in_charge = || resolving(false, None, None);
    assert_eq!(resolved(in_charge()), ("resolve", vec![]));
    let mut succeeded = in_charge();
    let newer = Observation { marker: Some(Epoch(4)), ..observation(Role::Primary) };
    let now = succeeded.now;
    succeeded.endpoint_mut(&"b".into()).expect("it is configured").learn(now, false, Ok(newer));
    assert_eq!(resolved(succeeded), ("start", vec![]), "somebody has begun a newer epoch");
    let mut follower = in_charge();
    follower.ownership.authority = Authority::Follower("so it is said".to_owned());
    assert_eq!(resolved(follower), ("start", vec![]));
}
