//! What the machine is told.

use std::time::Duration;

use foretoken_types::{
    BootInstant, EndpointId, Failure, InstanceId, MirrorRoute, Observation, Operation, Position,
    WriteConcern, Writers,
};

use crate::record::Record;

/// The detector's word on an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was not looked at yet.
    #[default]
    Unknown,
    /// It answers as it should.
    Up,
    /// It may be down.
    Suspect,
    /// It is down.
    Down,
}

/// How far a mirror is behind; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// In bytes of the change stream.
    pub bytes: Option<u64>,
    /// In time.
    pub time: Option<Duration>,
}

/// What an order brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// The look that was asked for.
    Observed(Box<Observation>),
    /// The position that was asked for.
    Position(Position),
    /// What became of the claim.
    Claimed(Claimed),
    /// It is fenced.
    Fenced {
        /// History and position that it had as a primary. `None`: it was a mirror already.
        had: Option<(String, Position)>,
    },
}

/// Settings that can change while the machine runs; the fields of the same names in [`Params`](crate::Params).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who else writes.
    pub writers: Writers,
    /// When writes are acknowledged.
    pub durability: WriteConcern,
    /// How long a planned switchover may hold writes until it is given up.
    pub hold_deadline: Duration,
    /// For how long the primary itself is told to let writes wait.
    pub pause: Duration,
    /// Lag in bytes up to which a planned switchover begins.
    pub lag_bytes_max: u64,
    /// Lag in time up to which a planned switchover begins.
    pub lag_max: Duration,
}

/// What became of a claim of the owner record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours.
    Held,
    /// Somebody else holds it.
    HeldBy(InstanceId),
}

/// Why an order was not carried out. It may have been, if there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For deciding.
    pub failure: Failure,
    /// For people.
    pub detail: String,
}

/// Why the registry was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveFailure {
    /// It did not hold what was expected, but this.
    Conflict(Option<Record>),
    /// The disk failed, in words.
    Failed(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time went by.
    Tick,
    /// What the registry holds.
    Loaded(Option<Record>),
    /// A look of a watcher ended.
    Observed {
        /// At which endpoint.
        endpoint: EndpointId,
        /// When it began: what happened later it may have missed.
        asked: BootInstant,
        /// Whether it probed for writes.
        probed: bool,
        /// What was found.
        found: Result<Box<Observation>, Failure>,
    },
    /// The detector's word on an endpoint.
    Health {
        /// Which.
        endpoint: EndpointId,
        /// The word.
        verdict: Verdict,
        /// What it rests on, for people.
        why: String,
    },
    /// What an endpoint is, apart from its role.
    Examined {
        /// Which.
        endpoint: EndpointId,
        /// Its version, as numbers.
        version: Vec<u64>,
        /// Whether it holds no data, where that is known.
        empty: Option<bool>,
        /// What keeps it from being managed.
        blockers: Vec<String>,
    },
    /// How the mirrors stand.
    Mirrors {
        /// Those that may serve stale reads, best first. Each change is published, so their staleness comes in steps.
        routes: Vec<MirrorRoute>,
        /// How far each is behind.
        lags: Vec<(EndpointId, Lag)>,
    },
    /// A data thread obeys a hold.
    Held {
        /// The hold.
        operation: Operation,
        /// The thread.
        thread: usize,
        /// Writes that it declared in doubt.
        in_doubt: u64,
    },
    /// An order was carried out, or not.
    Answered {
        /// The order.
        operation: Operation,
        /// What it brought.
        result: Result<Answer, Rejection>,
    },
    /// The registry was written, or not.
    Saved {
        /// The save.
        operation: Operation,
        /// Whether it is durable.
        result: Result<(), SaveFailure>,
    },
    /// The primary is expected to become unavailable, and why; `None`: no longer. Raises durability and prepares stale reads
    /// (PROTOCOL 3.1).
    Risk(Option<String>),
    /// The configuration was changed. In force at once, or after the switchover that is under way.
    Configured(Settings),
    /// An operator wants the primary to move.
    Switchover {
        /// Names the order in its report.
        command: u64,
        /// Where to; the best mirror when not said.
        to: Option<EndpointId>,
        /// Only check.
        dry_run: bool,
    },
}
