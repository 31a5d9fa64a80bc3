use foretoken_types::{Epoch, Link, Position};

use super::*;
use crate::testing::{observation, record};

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
