use foretoken_types::{OwnerClaim, Persistence, Position};

use super::*;

fn at(ms: u64) -> BootInstant {
    BootInstant::default() + Duration::from_millis(ms)
}

fn found(run_id: &str) -> Observation {
    Observation {
        role: Role::Primary,
        run_id: run_id.to_owned(),
        history: "h".to_owned(),
        previous_history: None,
        position: Position(1),
        writable: true,
        refuses_writes: None,
        loading: false,
        persistence: Persistence::Log,
        keys: 0,
        replicas: 0,
        marker: None,
        owner: None,
        followers: 0,
        managed_by: None,
    }
}

/// Which look is remembered.
fn seen(endpoint: &Endpoint) -> Option<&str> {
    endpoint.look.as_ref().map(|look| look.found.run_id.as_str())
}

#[test]
fn an_older_look_is_dropped_and_one_of_the_same_moment_is_not() {
    let mut endpoint = Endpoint::new("a".into());
    endpoint.learn(at(10), false, Ok(found("first")));
    endpoint.learn(at(9), false, Ok(found("older")));
    assert_eq!(seen(&endpoint), Some("first"));
    endpoint.learn(at(10), true, Ok(found("again")));
    assert_eq!(
        (seen(&endpoint), endpoint.look.as_ref().map(|look| look.probed)),
        (Some("again"), Some(true))
    );
    endpoint.learn(at(9), false, Err(Failure::Timeout));
    assert_eq!(endpoint.failed, None);
    endpoint.learn(at(11), false, Ok(found("newer")));
    assert_eq!(seen(&endpoint), Some("newer"));
}

#[test]
fn what_began_before_a_change_of_role_tells_nothing() {
    let mut endpoint = Endpoint::new("a".into());
    endpoint.learn(at(5), false, Ok(found("before")));
    endpoint.forget(at(10));
    assert_eq!((seen(&endpoint), endpoint.tried_since(at(0))), (None, false));
    endpoint.learn(at(9), false, Ok(found("late")));
    assert_eq!(seen(&endpoint), None);
    endpoint.learn(at(10), false, Ok(found("after")));
    assert_eq!(seen(&endpoint), Some("after"));
}

#[test]
fn a_look_is_fresh_for_a_while_and_until_another_fails() {
    let mut endpoint = Endpoint::new("a".into());
    endpoint.learn(at(10), false, Ok(found("x")));
    let within = Duration::from_millis(5);
    assert!(endpoint.fresh(at(15), within).is_some() && endpoint.fresh(at(16), within).is_none());
    assert!(endpoint.seen_since(at(10)).is_some() && endpoint.seen_since(at(11)).is_none());
    assert!(endpoint.tried_since(at(10)) && !endpoint.tried_since(at(11)));
    endpoint.learn(at(12), false, Err(Failure::Timeout));
    assert!(endpoint.fresh(at(12), within).is_none() && endpoint.seen_since(at(10)).is_none());
    assert!(endpoint.tried_since(at(12)), "answered or not");
    assert_eq!(seen(&endpoint), Some("x"), "the last success is remembered");
}

#[test]
fn an_owner_is_the_same_for_as_long_as_every_look_finds_it() {
    let mut endpoint = Endpoint::new("a".into());
    let owned = |owner: &str| {
        let owner = OwnerClaim { instance: InstanceId::new(owner) };
        Ok(Observation { owner: Some(owner), ..found("x") })
    };
    let since = |endpoint: &Endpoint| {
        endpoint.owned.as_ref().map(|(owner, since)| (owner.as_str().to_owned(), *since))
    };
    endpoint.learn(at(1), false, owned("one"));
    endpoint.learn(at(2), false, owned("one"));
    assert_eq!(since(&endpoint), Some(("one".to_owned(), at(1))));
    endpoint.learn(at(3), false, owned("two"));
    assert_eq!(since(&endpoint), Some(("two".to_owned(), at(3))));
    endpoint.learn(at(4), false, Ok(found("x")));
    assert_eq!(since(&endpoint), None);
    endpoint.learn(at(5), false, owned("two"));
    endpoint.learn(at(6), false, Err(Failure::Timeout));
    assert_eq!(since(&endpoint), None, "nobody knows who it was meanwhile");
}

#[test]
fn a_mirror_is_whole_when_it_has_a_copy_and_serves_it() {
    let mirror = |link: Link| Observation { role: Role::Mirror { of: Some("a".into()), link }, ..found("x") };
    let up = Link::Up { silent_for: Duration::ZERO };
    for (found, whole, linked) in [
        (mirror(up), true, true),
        (mirror(Link::Down), true, false),
        (mirror(Link::Synchronizing), false, false),
        (Observation { loading: true, ..mirror(up) }, false, true),
        (found("x"), false, false),
    ] {
        assert_eq!(is_whole_mirror(&found), whole, "{found:?}");
        assert_eq!(is_linked(&found, &"a".into()), linked, "{found:?}");
        assert!(!is_linked(&found, &"b".into()));
    }
}

#[test]
fn only_suspicion_speaks_against_an_endpoint() {
    let mut endpoint = Endpoint::new("a".into());
    for (verdict, well) in
        [(Verdict::Unknown, true), (Verdict::Up, true), (Verdict::Suspect, false), (Verdict::Down, false)]
    {
        endpoint.verdict = verdict;
        assert_eq!(endpoint.is_well(), well, "{verdict:?}");
    }
}

#[test]
fn a_look_is_still_to_come_before_the_first_one_and_after_a_change_of_role() {
    let mut endpoint = Endpoint::new("a".into());
    assert_eq!((endpoint.is_unlooked(), endpoint.silence()), (true, "was not looked at yet"));
    endpoint.learn(at(1), false, Ok(found("x")));
    // Also when that was long ago.
    assert_eq!((endpoint.is_unlooked(), endpoint.silence()), (false, "does not answer"));
    endpoint.forget(at(2));
    assert_eq!((endpoint.is_unlooked(), endpoint.silence()), (true, "was not looked at yet"));
    endpoint.learn(at(3), false, Err(Failure::Timeout));
    assert_eq!((endpoint.is_unlooked(), endpoint.silence()), (false, "does not answer"));
    // Who was silent before its role was changed is no more likely to answer.
    endpoint.forget(at(4));
    assert_eq!((endpoint.is_unlooked(), endpoint.silence()), (false, "does not answer"));
}

#[test]
fn what_was_seen_stands_while_too_many_files_are_open_here_and_grows_old() {
    let within = Duration::from_millis(100);
    let mut endpoint = Endpoint::new("a".into());
    endpoint.learn(at(1), false, Err(Failure::OpenFiles));
    assert_eq!(endpoint.silence(), "can't be looked at: too many files are open here");
    endpoint.learn(at(10), false, Ok(found("x")));
    endpoint.learn(at(20), false, Err(Failure::OpenFiles));
    assert!(endpoint.tried_since(at(20)) && endpoint.fresh(at(110), within).is_some());
    assert!(endpoint.fresh(at(111), within).is_none());
    endpoint.learn(at(30), false, Err(Failure::Timeout));
    assert!(endpoint.fresh(at(31), within).is_none(), "who is asked and does not answer is another matter");
}
