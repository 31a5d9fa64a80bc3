use std::time::Duration;

use foretoken_types::{EndpointId, Link, Position};

use crate::Tracker;
use crate::testing::{at, mirror, primary, tracker};

const UP: Link = Link::Up { silent_for: Duration::ZERO };

#[test]
fn lag_is_unknown_until_both_were_seen() {
    let mut tracker = tracker();
    let b = "b".into();
    assert_eq!(tracker.lag(&b, at(0)), None);
    tracker.mirror(&b, Ok(&mirror("h", 90, UP)), at(0));
    assert_eq!(tracker.lag(&b, at(0)), None, "the primary was not seen");
    tracker.primary(&primary("h", 100), at(0));
    assert_eq!(tracker.lag(&b, at(0)).map(|lag| (lag.bytes, lag.time)), Some((10, None)));
    tracker.mirror(&b, Ok(&mirror("h", 100, UP)), at(250));
    let lag = tracker.lag(&b, at(250)).map(|lag| (lag.bytes, lag.time));
    assert_eq!(lag, Some((0, Some(Duration::from_millis(250)))));
    assert_eq!(tracker.lag(&"x".into(), at(250)), None, "it is not configured");
}

#[test]
fn data_of_another_history_has_no_distance() {
    let mut tracker = tracker();
    let b = "b".into();
    tracker.primary(&primary("h", 100), at(0));
    tracker.mirror(&b, Ok(&mirror("other", 100, UP)), at(0));
    assert_eq!(tracker.lag(&b, at(0)), None);
}

#[test]
fn a_promotion_continues_the_history_up_to_where_it_happened() {
    let mut tracker = tracker();
    let b = "b".into();
    tracker.primary(&primary("h1", 100), at(0));
    let mut promoted = primary("h2", 150);
    promoted.previous_history = Some(("h1".to_owned(), Position(120)));
    tracker.primary(&promoted, at(250));
    tracker.mirror(&b, Ok(&mirror("h1", 120, UP)), at(250));
    assert_eq!(tracker.lag(&b, at(250)).map(|lag| lag.bytes), Some(30), "exactly where they parted");
    assert!(
        tracker.lag(&b, at(250)).is_some_and(|lag| lag.time.is_some()),
        "older positions are still known"
    );
    tracker.mirror(&b, Ok(&mirror("h1", 121, UP)), at(250));
    assert_eq!(tracker.lag(&b, at(250)), None, "a byte beyond it is another past");
}

#[test]
fn a_primary_with_another_past_makes_the_old_positions_void() {
    let mut tracker = tracker();
    let b = "b".into();
    tracker.primary(&primary("h1", 100), at(0));
    tracker.primary(&primary("h2", 200), at(1000));
    tracker.mirror(&b, Ok(&mirror("h2", 150, UP)), at(1000));
    let lag = tracker.lag(&b, at(1000)).map(|lag| (lag.bytes, lag.time));
    assert_eq!(lag, Some((50, None)), "position 100 of h1 is no age for data of h2");
}

#[test]
fn what_the_registry_remembers_gives_way_to_what_is_seen() {
    let mut tracker = tracker();
    let (b, seen) = (EndpointId::from("b"), mirror("h", 100, UP));
    let covers = |tracker: &Tracker| tracker.lineage.as_ref().is_some_and(|lineage| lineage.covers(&seen));
    tracker.remember("");
    tracker.mirror(&b, Ok(&seen), at(0));
    assert!(!covers(&tracker), "an empty name is no history");
    tracker.remember("h");
    assert!(covers(&tracker));
    tracker.primary(&primary("seen", 1), at(0));
    tracker.remember("h");
    assert!(!covers(&tracker));
}

#[test]
fn looks_at_endpoints_that_are_not_configured_are_ignored() {
    let mut tracker = tracker();
    tracker.mirror(&"x".into(), Ok(&mirror("h", 1, UP)), at(0));
    assert_eq!(tracker.lag(&"x".into(), at(0)), None);
}
