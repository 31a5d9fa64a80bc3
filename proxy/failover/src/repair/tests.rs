use foretoken_types::{Epoch, Persistence, Position};

use super::*;

fn found(role: Role) -> Observation {
    Observation {
        role,
        run_id: "r".to_owned(),
        history: "other".to_owned(),
        previous_history: None,
        position: Position(1),
        writable: true,
        loading: false,
        persistence: Persistence::Log,
        keys: 1,
        replicas: 0,
        marker: None,
        owner: None,
        followers: 0,
        managed_by: None,
    }
}

#[test]
fn a_mirror_is_attached_to_the_primary_or_in_the_middle_of_a_copy_from_somewhere() {
    let mirror = |of: Option<&str>, link: Link| Role::Mirror { of: of.map(Into::into), link };
    for (role, attached) in [
        (mirror(Some("a"), Link::Down), true),
        (mirror(Some("b"), Link::Down), false),
        (mirror(None, Link::Synchronizing), true),
        (mirror(None, Link::Down), false),
        (Role::Primary, false),
    ] {
        assert_eq!(is_attached(&found(role.clone()), &"a".into()), attached, "{role:?}");
    }
}

#[test]
fn data_belongs_to_the_store_by_its_history_or_by_a_marker_that_is_not_too_new() {
    let record = Record {
        epoch: Epoch(3),
        primary: "a".into(),
        previous: None,
        history: "now".to_owned(),
        descends: Some("before".to_owned()),
        position: Position(0),
        cause: Cause::Found,
        owned: true,
        intent: None,
    };
    let known = |history: &str| Observation { history: history.to_owned(), ..found(Role::Primary) };
    let descends = |history: &str| Observation {
        previous_history: Some((history.to_owned(), Position(1))),
        ..found(Role::Primary)
    };
    let marked = |epoch: u64| Observation { marker: Some(Epoch(epoch)), ..found(Role::Primary) };
    for (found, ours) in [
        (found(Role::Primary), false),
        (known("now"), true),
        (known("before"), true),
        (descends("now"), true),
        (descends("before"), true),
        (descends("elsewhere"), false),
        (marked(3), true),
        (marked(4), false),
    ] {
        assert_eq!(belongs(&found, &record), ours, "{found:?}");
    }
}
