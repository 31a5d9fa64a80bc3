//! What is said of a mirror that can't take over yet.

use std::time::Duration;

use foretoken_types::{BootInstant, Failure};

use super::*;
use crate::testing::{machine, observation};

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
