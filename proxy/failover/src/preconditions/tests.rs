//! What is said of a mirror that is to take over, and of who would let it.

use std::time::Duration;

use foretoken_types::{BootInstant, Failure};

use super::*;
use crate::testing::{machine, observation};
use crate::{Answer, Claimed, Event, Rejection};

/// What fails of `b`, and which of that comes by itself.
fn failed(machine: &Machine) -> Vec<(String, bool)> {
    let findings = machine.check_target(Some(&"b".into()), Some(&"a".into()));
    let failed = findings.into_iter().filter(|finding| !finding.check.passed);
    failed.map(|finding| (finding.check.detail, finding.comes)).collect()
}

fn copies(of: &str, link: Link) -> Observation {
    observation(Role::Mirror { of: Some(of.into()), link })
}

/// The primary is `a`, and `b` shows itself so.
fn seeing(found: Result<Observation, Failure>) -> Machine {
    let mut machine = machine();
    let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.version = vec![7];
    endpoint.learn(BootInstant::default(), false, found);
    machine
}

#[test]
fn a_mirror_that_is_being_copied_is_no_stranger() {
    let no_lag = ("how far it is behind is not known".to_owned(), true);
    let up = Link::Up { silent_for: Duration::ZERO };
    let copied = "it is being copied: its data is not of the primary's history yet";
    let rows = [
        (copies("a", Link::Synchronizing), "b is being copied from a: it has no whole copy yet", copied),
        (copies("a", Link::Down), "b does not copy a over a live link", copied),
        (
            copies("c", Link::Synchronizing),
            "b does not copy a over a live link",
            "its data is of another history",
        ),
        (copies("c", Link::Down), "b does not copy a over a live link", "its data is of another history"),
        (copies("a", up), "", "its data is of another history"),
    ];
    for (found, link, history) in rows {
        let mut expected: Vec<_> =
            [link, history].into_iter().map(|words| (words.to_owned(), true)).collect();
        expected.retain(|(words, _)| !words.is_empty());
        expected.insert(expected.len() - 1, no_lag.clone());
        assert_eq!(failed(&seeing(Ok(found))), expected);
    }
}

#[test]
fn what_does_not_come_by_itself_is_told_apart() {
    let primary = failed(&seeing(Ok(observation(Role::Primary))));
    let hard: Vec<_> = primary.iter().filter(|(_, comes)| !comes).map(|(words, _)| words.as_str()).collect();
    assert_eq!(hard, ["b does not copy a over a live link", "its data is of another history"]);

    assert_eq!(failed(&seeing(Err(Failure::Timeout))), [("b does not answer".to_owned(), false)]);
    assert_eq!(failed(&machine()), [("b was not looked at yet".to_owned(), true)]);

    let mut far = seeing(Ok(copies("a", Link::Down)));
    let endpoint = far.endpoint_mut(&"b".into()).expect("it is configured");
    endpoint.lag = Lag { bytes: Some(2_000_000), time: Some(Duration::ZERO) };
    endpoint.note = Some("is left alone".to_owned());
    let hard: Vec<_> = failed(&far).into_iter().filter(|(_, comes)| !comes).map(|(words, _)| words).collect();
    assert_eq!(hard, ["2000000 bytes and 0 ms behind (at most 1048576 bytes and 1000 ms)", "is left alone"]);
}

/// A mirror that can take over.
fn fit(machine: &mut Machine, id: &str) {
    let link = Link::Up { silent_for: Duration::ZERO };
    let found = Observation { history: "now".to_owned(), ..copies("a", link) };
    let endpoint = machine.endpoint_mut(&id.into()).expect("it is configured");
    endpoint.version = vec![7, 0, 15];
    endpoint.lag = Lag { bytes: Some(0), time: Some(Duration::ZERO) };
    endpoint.learn(BootInstant::default(), false, Ok(found));
}

/// The primary is `a`, and `b` and `c` can take over.
fn with_two_mirrors() -> Machine {
    let mut machine = machine();
    machine.endpoints.push(Endpoint::new("c".into()));
    machine.posture.primary = Some("a".into());
    machine.endpoint_mut(&"a".into()).expect("it is configured").version = vec![7, 0, 15];
    fit(&mut machine, "b");
    fit(&mut machine, "c");
    machine
}

#[test]
fn a_mirror_that_can_take_over_is_described_by_what_was_found() {
    let findings = with_two_mirrors().check_target(Some(&"b".into()), Some(&"a".into()));
    let found: Vec<_> =
        findings.iter().map(|Finding { check, .. }| (check.passed, check.detail.as_str())).collect();
    let expected = [
        "b copies a, link up",
        "0 bytes and 0 ms behind (at most 1048576 bytes and 1000 ms)",
        "its data is of the primary's history",
        "mirror 7.0.15, primary 7.0.15",
        "it keeps its data over a restart",
    ];
    assert_eq!(found, expected.map(|words| (true, words)));
}

#[test]
fn a_mirror_of_an_older_version_or_of_none_that_is_known_does_not_take_over() {
    let rows: [(&[u64], &[u64], bool); 6] = [
        (&[7, 0, 15], &[7, 0, 15], true),
        (&[7, 2], &[7, 0, 15], true),
        (&[6, 2, 16], &[7, 0, 15], false),
        (&[7, 0], &[7, 0, 15], false),
        (&[], &[7, 0, 15], false),
        (&[], &[], false),
    ];
    for (mirror, primary, passes) in rows {
        let mut machine = with_two_mirrors();
        for (id, version) in [("b", mirror), ("a", primary)] {
            machine.endpoint_mut(&id.into()).expect("it is configured").version = version.to_vec();
        }
        let Finding { check, .. } = machine.check_version(&"b".into(), &"a".into());
        assert_eq!(check.passed, passes, "{}", check.detail);
    }
}

#[test]
fn a_mirror_that_lacks_something_for_good_is_chosen_after_one_that_lacks_more_for_a_moment() {
    type Lack = (&'static str, fn(&mut Endpoint));
    let lacks: [Lack; 3] = [
        ("persistence", |endpoint| {
            let look = endpoint.look.as_mut().expect("it was looked at");
            look.found.persistence = Persistence::None;
        }),
        ("version", |endpoint| endpoint.version = vec![6]),
        ("lag", |endpoint| endpoint.lag.bytes = Some(u64::MAX)),
    ];
    for (name, lack) in lacks {
        for (unfit, other) in [("b", "c"), ("c", "b")] {
            let mut machine = with_two_mirrors();
            lack(machine.endpoint_mut(&unfit.into()).expect("it is configured"));
            assert_eq!(machine.best_target(), Some(other.into()), "{unfit} lacks {name}");
            let endpoint = machine.endpoint_mut(&other.into()).expect("it is configured");
            endpoint.lag = Lag::default();
            endpoint.learn(BootInstant::default(), false, Ok(copies("a", Link::Down)));
            assert_eq!(machine.best_target(), Some(other.into()), "{unfit} lacks {name}");
        }
    }
}

#[test]
fn it_is_told_what_being_in_charge_rests_on() {
    let mut machine = machine();
    machine.posture.primary = Some("a".into());
    let answer = |machine: &mut Machine, result| {
        let operation = machine.claim(&"a".into());
        let now = machine.now;
        machine.step(Event::Answered { operation, result }, now);
    };
    let told = |machine: &Machine| {
        let (_, findings) = machine.check_store();
        let in_charge = findings.into_iter().find(|finding| finding.check.name == "in charge");
        in_charge.map(|Finding { check, comes }| (check.detail, check.passed, comes)).expect("it is told")
    };
    answer(&mut machine, Ok(Answer::Claimed(Claimed::Held)));
    assert_eq!(told(&machine), ("the owner record is ours".to_owned(), true, false));
    machine.now = machine.now + Duration::from_secs(5);
    let refused = Rejection { failure: Failure::NotServing, detail: "OOM".to_owned() };
    answer(&mut machine, Err(refused));
    assert_eq!(told(&machine), ("the owner record is ours".to_owned(), true, false), "it has not run out");
    machine.now = machine.now + Duration::from_secs(5);
    assert_eq!(told(&machine), ("the owner record has not been renewed in time".to_owned(), false, true));
    let found = Observation { refuses_writes: Some("OOM".to_owned()), ..observation(Role::Primary) };
    let now = machine.now;
    machine.endpoint_mut(&"a".into()).expect("it is configured").learn(now, true, Ok(found));
    let words = "nobody can be instead: the primary takes no writes".to_owned();
    assert_eq!(told(&machine), (words, true, false));
}
