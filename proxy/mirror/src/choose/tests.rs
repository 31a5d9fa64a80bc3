use foretoken_types::{Failure, Observation};

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

fn serves(tracker: &Tracker, endpoint: &str, now: BootInstant) -> bool {
    let routes = tracker.eligible_for_reads(Duration::from_secs(60), now);
    routes.iter().any(|route| route.endpoint.as_str() == endpoint)
}

#[test]
fn each_reason_against_a_mirror_counts() {
    let good = mirror("h", 100, UP);
    let seen = |change: fn(&mut Observation)| {
        let mut look = good.clone();
        change(&mut look);
        serves(&with_b(Ok(&look)), "b", at(0))
    };
    assert!(seen(|_| {}));
    assert!(!seen(|look| look.loading = true));
    assert!(!seen(|look| look.role = Role::Primary));
    assert!(!seen(|look| look.history = "x".to_owned()));
    assert!(!seen(|look| look.managed_by = Some("Sentinel".to_owned())));
    assert!(!serves(&with_b(Ok(&mirror("h", 100, Link::Synchronizing))), "b", at(0)));
    let cut_off = mirror("h", 100, Link::Down);
    assert!(serves(&with_b(Ok(&cut_off)), "b", at(0)), "while the primary is down, so is the link");
    let refused = with_b(Err(Failure::Refused));
    assert!(!serves(&refused, "b", at(0)));
    assert!(!serves(&refused, "c", at(0)), "never looked at");
}

#[test]
fn a_look_stands_for_two_seconds_and_a_failed_one_counts_at_once() {
    let mut tracker = with_b(Ok(&mirror("h", 100, UP)));
    assert!(serves(&tracker, "b", at(2000)));
    assert!(!serves(&tracker, "b", at(2001)));
    tracker.mirror(&"b".into(), Ok(&mirror("h", 100, UP)), at(3000));
    assert!(serves(&tracker, "b", at(3000)));
    tracker.mirror(&"b".into(), Err(Failure::Timeout), at(3001));
    assert!(!serves(&tracker, "b", at(3001)));
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
