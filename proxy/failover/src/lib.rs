//! The pure state machine of switchover and failover, for one store.
//!
//! [`Machine::step`] takes an [`Event`] and an instant and returns the [`Effect`]s to perform, in order. It knows no
//! sockets, no clock and no files; the control loop of `app` feeds it and obeys it. Names and order of states are PROTOCOL
//! 3.1, 5.2, 5.3 and 5.5; `docs/failover.md` has the table.
//!
//! What it promises, and checks after each step in debug builds ([`Broken`] says what): the epoch never falls, and rises
//! only after the registry has it on disk; there is no lease but for the epoch in force; nobody is promoted while a lease of
//! the old epoch may live; the primary is demoted in a planned switchover only when the mirror is equal; who follows
//! changes no roles; a hold never waits without a deadline.
#![warn(missing_docs)]

mod asked;
mod effect;
mod endpoints;
mod event;
mod invariants;
mod knowledge;
mod machine;
mod others;
mod ownership;
mod params;
mod plan;
mod planned;
mod preconditions;
mod reactive;
mod record;
mod repair;
mod rights;
mod start;
mod take;
#[cfg(test)]
mod testing;

pub use effect::{Change, ChangeKind, Check, Effect, Loss, Order, Outcome, Step};
pub use event::{Answer, Claimed, Event, Lag, Rejection, SaveFailure, Settings, Verdict};
pub use invariants::Broken;
pub use machine::Machine;
pub use params::{Params, Rules};
pub use record::{Cause, Intent, Record};
pub use start::primary_by_markers;
