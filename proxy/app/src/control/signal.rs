//! What comes back from the tasks of a control loop.

use std::time::Duration;

use foretoken_failover::{Answer, Record, Rejection, SaveFailure};
use foretoken_health::HostFigures;
use foretoken_protocol::{Preflight, Refused};
use foretoken_types::{BootInstant, Capacity, Failure, Observation, Operation};

use super::judge;

/// News of one endpoint, named by its number.
pub(super) enum Signal {
    /// A look begins.
    Asked { endpoint: usize, at: BootInstant },
    /// A look ended.
    Looked {
        endpoint: usize,
        asked: BootInstant,
        probed: bool,
        found: Result<Box<Observation>, Refused>,
        took: Duration,
    },
    /// A look for the sake of a new connection of a data thread ended.
    Sighted { endpoint: usize, asked: BootInstant, found: Result<Box<Observation>, Failure> },
    /// A fresh connection was tried.
    Reached { endpoint: usize, result: Result<(), Failure> },
    /// How much of its limits it uses.
    Capacity { endpoint: usize, capacity: Box<Capacity> },
    /// Figures of its machine.
    Host { endpoint: usize, figures: Box<HostFigures> },
    /// What it is and what can be done with it.
    Examined { endpoint: usize, preflight: Preflight },
    /// An order was carried out, or not.
    Answered { operation: Operation, result: Result<Answer, Rejection> },
    /// Rule and model have looked ahead.
    Judged(Box<judge::Answer>),
    /// The registry was read.
    Loaded(Result<Option<Record>, String>),
    /// The registry was written, or not.
    Saved { operation: Operation, result: Result<(), SaveFailure> },
}
