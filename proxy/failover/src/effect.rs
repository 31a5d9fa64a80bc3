//! What the machine wants done.

use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Epoch, Operation, Posture};

use crate::record::Record;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let the data plane see this.
    Publish(Posture),
    /// Do this at an endpoint. Answered by [`crate::Event::Answered`]. Orders to one endpoint keep their sequence.
    Order {
        /// Names the order in its answer.
        operation: Operation,
        /// Where.
        endpoint: EndpointId,
        /// What.
        order: Order,
    },
    /// Replace `expected` by `record` in the registry, durably. Answered by [`crate::Event::Saved`].
    Save {
        /// Names the save in its answer.
        operation: Operation,
        /// What the registry must hold.
        expected: Option<Record>,
        /// What it shall hold.
        record: Record,
    },
    /// It has just done what it was told: what was held against it is past.
    Vouch(EndpointId),
    /// A change of primary has ended, one way or another.
    Report(Change),
    /// Writes of the epoch before may not have reached the primary of this one (I4).
    PublishLoss {
        /// The epoch in force.
        epoch: Epoch,
        /// The old primary.
        endpoint: EndpointId,
        /// How much.
        loss: Loss,
    },
}

/// Something to do at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Look at it; with `probe`, also whether it takes writes.
    Observe {
        /// Whether to probe for writes.
        probe: bool,
    },
    /// Read its position.
    Position,
    /// Let writes of everybody wait there.
    PauseWrites {
        /// For how long at most.
        at_most: Duration,
    },
    /// End that.
    ResumeWrites,
    /// Make the lost primary a mirror, be it only when it answers again: not to be given up after the usual time. Answered
    /// with [`Answer::Fenced`](crate::Answer::Fenced).
    Fence {
        /// Of this endpoint.
        of: EndpointId,
    },
    /// Make it a mirror.
    Demote {
        /// Of this one.
        of: EndpointId,
    },
    /// Make it a primary.
    Promote,
    /// End the connections of its clients.
    DisconnectClients,
    /// Write the marker of this epoch.
    Mark(Epoch),
    /// Take or renew the owner record.
    Claim {
        /// For how long.
        life: Duration,
    },
    /// Register as a follower.
    RegisterFollower {
        /// For how long.
        life: Duration,
    },
}

/// How much of the change stream was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// What is known as long as the old primary can't be asked.
    Bounded {
        /// It was seen that far ahead of the new one. In bytes.
        at_least: u64,
        /// What it had acknowledged by then the new one has. `None`: that can be said of nothing in this epoch.
        kept_until: Option<BootInstant>,
    },
    /// What the old primary itself tells. In bytes.
    Exactly(u64),
}

/// Planned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Planned.
    Switchover,
    /// Forced by the loss of the primary.
    Failover,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The role has moved. Of a dry run: it could have.
    Done,
    /// It was begun and taken back.
    Aborted,
    /// A check failed; nothing was begun.
    Refused,
}

/// One precondition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it must be.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

/// One step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// A change of primary that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The order that it answers, if it was ordered.
    pub command: Option<u64>,
    /// Its number, for logs.
    pub plan: u64,
    /// Planned or not.
    pub kind: ChangeKind,
    /// The primary before.
    pub from: Option<EndpointId>,
    /// The primary after, or the one that was to be it.
    pub to: Option<EndpointId>,
    /// Nothing was to be changed.
    pub dry_run: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The preconditions.
    pub checks: Vec<Check>,
    /// The steps.
    pub steps: Vec<Step>,
    /// For how long requests were held.
    pub held_for: Option<Duration>,
    /// Writes that were declared in doubt.
    pub in_doubt: u64,
    /// The epoch in force afterwards.
    pub epoch: Epoch,
    /// The outcome in a sentence.
    pub detail: String,
}
