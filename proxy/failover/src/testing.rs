//! What unit tests begin with: an observation, a record and a machine, of which they change what they are about.

use foretoken_types::{Epoch, InstanceId, Observation, Persistence, Position, Role};

use crate::knowledge::Identity;
use crate::{Cause, Machine, Params, Record};

/// What a server says that has some data, of another history than [`record`] knows.
pub(crate) fn observation(role: Role) -> Observation {
    Observation {
        role,
        run_id: "r".to_owned(),
        history: "other".to_owned(),
        previous_history: None,
        position: Position(1),
        writable: true,
        refuses_writes: None,
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

/// In charge of a store of `a` and `b` since [`record`] was made, whose looks are still to come.
pub(crate) fn machine() -> Machine {
    let endpoints = vec!["a".into(), "b".into()];
    let mut machine = Machine::new(Params::new("cache".into(), InstanceId::new("one"), endpoints, 2));
    machine.identity = Some(Identity { run_id: "r".to_owned(), history: "now".to_owned() });
    machine.registry.record = Some(record());
    machine
}
