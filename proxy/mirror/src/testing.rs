//! Looks and instants for the tests of this crate.

use foretoken_types::{BootInstant, Epoch, Link, Observation, Persistence, Position, Role};

use crate::{MirrorSpec, Tracker};

pub(crate) fn at(ms: u64) -> BootInstant {
    BootInstant::from_nanos(1_000_000_000_000 + ms * 1_000_000)
}

/// A primary of `history` at `position`.
pub(crate) fn primary(history: &str, position: u64) -> Observation {
    Observation {
        role: Role::Primary,
        run_id: "r".to_owned(),
        history: history.to_owned(),
        previous_history: None,
        position: Position(position),
        writable: true,
        refuses_writes: None,
        loading: false,
        persistence: Persistence::Log,
        keys: 1,
        replicas: 1,
        marker: Some(Epoch(1)),
        owner: None,
        followers: 0,
        managed_by: None,
    }
}

/// A mirror of `a` with the same history, its link in state `link`.
pub(crate) fn mirror(history: &str, position: u64, link: Link) -> Observation {
    let role = Role::Mirror { of: Some("a".into()), link };
    Observation { role, writable: false, replicas: 0, ..primary(history, position) }
}

/// Endpoints `a`, `b`, `c`, `d`, of which `d` stands in our own region.
pub(crate) fn tracker() -> Tracker {
    let spec =
        |(name, region): (&str, &str)| MirrorSpec { endpoint: name.into(), region: Some(region.into()) };
    let endpoints = [("a", "west"), ("b", "west"), ("c", "west"), ("d", "east")].map(spec);
    Tracker::new(Some("east".into()), endpoints)
}
