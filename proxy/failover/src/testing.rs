//! What unit tests begin with: an observation and a record, of which they change what they are about.

use foretoken_types::{Epoch, Observation, Persistence, Position, Role};

use crate::{Cause, Record};

/// What a server says that has some data, of another history than [`record`] knows.
pub(crate) fn observation(role: Role) -> Observation {
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

/// Epoch 3, whose primary is `a`: its data is called "now", and was called "before" until position 10.
pub(crate) fn record() -> Record {
    Record {
        epoch: Epoch(3),
        primary: "a".into(),
        previous: None,
        history: "now".to_owned(),
        descends: Some("before".to_owned()),
        position: Position(10),
        cause: Cause::Found,
        owned: true,
        intent: None,
    }
}
