//! The contract: what a store must be able to do for Foretoken to stand in front of it.
//!
//! Two halves, as the whole house has two halves. [`Protocol`], [`Session`], [`Upstream`] and [`Relay`] are the data plane: bytes of
//! a client become [`Batch`]es, batches go to a server, replies come back. [`Control`] is the control plane: one
//! connection of our own to one endpoint, through which it is observed and its role is changed.
//!
//! What this crate is *not* for: behaviour. It names traits and the values that pass through them; a store's folder beside
//! this one (`redis/`) implements them, and nothing outside of that folder knows the store's name.
#![warn(missing_docs)]

mod blocks;
mod chunks;
mod control;
mod data;
mod relay;

pub use blocks::{BlockMap, Blocks};
pub use chunks::{ChunkReceiver, ChunkSender, chunks};
pub use control::{Claim, Control, Dial, Finding, Place, Preflight, Refused, Severity};
pub use data::{
    Batch, Carriage, LET_GO_GRACE, Meter, Protocol, Refusal, Reply, Restore, Retire, Retirement, Session,
    Step, Upstream,
};
pub use relay::{Passed, Relay};
