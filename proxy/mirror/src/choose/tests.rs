use foretoken_types::{EndpointId, Observation};

use crate::testing::{at, mirror, primary, tracker};

use super::*;

const UP: Link = Link::Up { silent_for: Duration::ZERO };

/// The primary `a` at 100 of `h`, and `b` as `look` says.
fn with_b(look: Result<&Observation, Failure>) -> Tracker {
    let mut tracker = tracker();
    tracker.primary(&primary("h", 100), at(0));
    tracker.mirror(&"b".into(), look, at(0));
    tracker
}

fn unfit(tracker: &Tracker, endpoint: &str, now: BootInstant) -> Option<Unfit> {
    let standings = tracker.candidates(Some(&"a".into()), now);
    standings.into_iter().find(|standing| standing.endpoint.as_str() == endpoint)?.unfit
}

fn names(standings: &[Standing]) -> Vec<&str> {
    standings.iter().map(|standing| standing.endpoint.as_str()).collect()
}

#[test]
fn each_reason_against_a_mirror_is_told() {
    let good = mirror("h", 100, UP);
    let seen = |change: fn(&mut Observation)| {
        let mut look = good.clone();
        change(&mut look);
        unfit(&with_b(Ok(&look)), "b", at(0))
    };
    assert_eq!(seen(|_| {}), None);
    assert_eq!(seen(|look| look.loading = true), Some(Unfit::Loading));
    assert_eq!(seen(|look| look.role = Role::Primary), Some(Unfit::Primary));
    assert_eq!(seen(|look| look.history = "x".to_owned()), Some(Unfit::Stranger("x".to_owned())));
    let managed = seen(|look| look.managed_by = Some("Sentinel".to_owned()));
    assert_eq!(managed, Some(Unfit::ManagedBy("Sentinel".to_owned())));
    let copying = mirror("h", 100, Link::Synchronizing);
    assert_eq!(unfit(&with_b(Ok(&copying)), "b", at(0)), Some(Unfit::Synchronizing));
    let cut_off = mirror("h", 100, Link::Down);
    assert_eq!(unfit(&with_b(Ok(&cut_off)), "b", at(0)), None, "while the primary is down, so is the link");
    let refused = with_b(Err(Failure::Refused));
    assert_eq!(unfit(&refused, "b", at(0)), Some(Unfit::Failing(Failure::Refused)));
    assert_eq!(unfit(&refused, "c", at(0)), Some(Unfit::NeverSeen));
}

#[test]
fn without_a_known_history_nobody_is_fit() {
    let mut tracker = tracker();
    tracker.mirror(&"b".into(), Ok(&mirror("h", 100, UP)), at(0));
    assert_eq!(unfit(&tracker, "b", at(0)), Some(Unfit::HistoryUnknown));
}

#[test]
fn a_look_stands_for_two_seconds_and_a_failed_one_counts_at_once() {
    let mut tracker = with_b(Ok(&mirror("h", 100, UP)));
    assert_eq!(unfit(&tracker, "b", at(2000)), None);
    assert_eq!(unfit(&tracker, "b", at(2001)), Some(Unfit::NotSeenFor(Duration::from_millis(2001))));
    tracker.mirror(&"b".into(), Ok(&mirror("h", 100, UP)), at(3000));
    assert_eq!(unfit(&tracker, "b", at(3000)), None);
    tracker.mirror(&"b".into(), Err(Failure::Timeout), at(3001));
    assert_eq!(unfit(&tracker, "b", at(3001)), Some(Unfit::Failing(Failure::Timeout)));
}

#[test]
fn who_has_most_is_promoted_first_then_who_is_near_then_who_is_named_first() {
    let mut tracker = with_b(Ok(&mirror("h", 90, UP)));
    for (name, position) in [("c", 90), ("d", 90)] {
        tracker.mirror(&name.into(), Ok(&mirror("h", position, UP)), at(0));
    }
    let a: EndpointId = "a".into();
    assert_eq!(names(&tracker.candidates(Some(&a), at(0))), ["d", "b", "c"], "d is in our region");
    tracker.mirror(&"c".into(), Ok(&mirror("h", 91, UP)), at(0));
    assert_eq!(names(&tracker.candidates(Some(&a), at(0))), ["c", "d", "b"], "a byte more counts for more");
    tracker.mirror(&"c".into(), Ok(&mirror("x", 99, UP)), at(0));
    assert_eq!(names(&tracker.candidates(Some(&a), at(0))), ["d", "b", "c"], "the unfit come last");
}

#[test]
fn reads_go_to_mirrors_within_the_limit_near_ones_first_then_fresh_ones() {
    let mut tracker = tracker();
    for (ms, position) in [(0, 100), (1000, 200), (2000, 300)] {
        tracker.primary(&primary("h", position), at(ms));
    }
    for (name, position) in [("b", 200), ("c", 300), ("d", 100)] {
        tracker.mirror(&name.into(), Ok(&mirror("h", position, UP)), at(2000));
    }
    let routes = |limit: u64, now: u64| -> Vec<(String, u128)> {
        let routes = tracker.eligible_for_reads(Duration::from_millis(limit), at(now));
        routes.iter().map(|route| (route.endpoint.to_string(), route.staleness.as_millis())).collect()
    };
    let expected = |routes: &[(&str, u128)]| -> Vec<(String, u128)> {
        routes.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect()
    };
    assert_eq!(routes(5000, 2000), expected(&[("d", 2000), ("c", 0), ("b", 1000)]));
    assert_eq!(routes(2000, 2000), expected(&[("d", 2000), ("c", 0), ("b", 1000)]), "at the limit");
    assert_eq!(routes(1999, 2000), expected(&[("c", 0), ("b", 1000)]), "beyond the limit");
    assert_eq!(routes(1500, 3500), expected(&[("c", 1500)]), "age grows while the primary is not seen");
    assert_eq!(routes(60_000, 4001), [], "nobody has looked at the mirrors for too long");
}
