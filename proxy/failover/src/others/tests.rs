use foretoken_types::{BootInstant, Link, Position};

use super::*;
use crate::testing::{machine, observation};

/// `a` is the primary of the history "now".
fn mirror(of: &str) -> Observation {
    let link = Link::Up { silent_for: Duration::ZERO };
    observation(Role::Mirror { of: Some(of.into()), link })
}

fn promoted(from: &str) -> Observation {
    Observation { previous_history: Some((from.to_owned(), Position(1))), ..observation(Role::Primary) }
}

fn judged(seen: &[(&str, Observation)], settled: bool) -> Option<Result<String, String>> {
    let ids: Vec<EndpointId> = seen.iter().map(|(id, _)| (*id).into()).collect();
    let seen: Vec<_> = ids.iter().zip(seen.iter().map(|(_, found)| found)).collect();
    let rivals = rivals(&"a".into(), &[&"now".to_owned()], &seen);
    judge(&"a".into(), rivals, settled).map(|word| word.map(|(id, _)| id.to_string()))
}

#[test]
fn a_promotion_counts_by_where_it_comes_from_and_by_whom_the_mirrors_copy() {
    let old = || ("a", observation(Role::Primary));
    let unclear = |word: &Option<Result<String, String>>| {
        word.as_ref()
            .is_some_and(|word| word.as_ref().is_err_and(|why| why.contains("b was promoted by others")))
    };
    // Nobody, and somebody with other data.
    assert_eq!(judged(&[old(), ("b", mirror("a"))], false), None);
    assert_eq!(judged(&[old(), ("b", promoted("elsewhere")), ("c", mirror("b"))], false), None);
    // All that is left copies it.
    assert_eq!(judged(&[old(), ("b", promoted("now")), ("c", mirror("b"))], false), Some(Ok("b".to_owned())));
    // Nobody is left to tell, and waiting does not help.
    for settled in [false, true] {
        assert!(unclear(&judged(&[old(), ("b", promoted("now"))], settled)));
        let divided = [old(), ("b", promoted("now")), ("c", mirror("a")), ("d", mirror("b"))];
        assert!(unclear(&judged(&divided, settled)));
    }
    // The others stay with the old one: in the end it was only taken away.
    let taken_away = [old(), ("b", promoted("now")), ("c", mirror("a"))];
    assert!(unclear(&judged(&taken_away, false)));
    assert_eq!(judged(&taken_away, true), None);
    // Two of them.
    let several = [old(), ("b", promoted("now")), ("c", promoted("now")), ("d", mirror("b"))];
    assert!(judged(&several, true).is_some_and(|word| word.is_err()));
}

#[test]
fn a_primary_that_was_there_beside_the_one_in_charge_is_no_news_and_a_mirror_that_becomes_one_is() {
    let link = Link::Up { silent_for: Duration::ZERO };
    for (role, news) in [(Role::Primary, false), (Role::Mirror { of: Some("c".into()), link }, true)] {
        let mut machine = machine();
        machine.params.follow = Some("others manage it".to_owned());
        let see = |machine: &mut Machine, found: Observation| {
            let endpoint = machine.endpoint_mut(&"b".into()).expect("it is configured");
            endpoint.learn(BootInstant::default(), false, Ok(found));
        };
        see(&mut machine, Observation { role: role.clone(), ..promoted("now") });
        machine.note_rivals(&"a".into());
        see(&mut machine, promoted("now"));
        assert_eq!(machine.contested(&"a".into()).is_some(), news, "{role:?}");
    }
}
