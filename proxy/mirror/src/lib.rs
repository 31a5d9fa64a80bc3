//! Which mirror keeps up.
//!
//! [`Tracker`] is told what was seen of a store's primary and mirrors and answers how far each mirror is behind ([`Lag`]), and
//! which may serve stale reads ([`Tracker::eligible_for_reads`]).
//!
//! What this crate is *not* for: sockets, and decisions about roles (`failover` makes them). Time is a parameter.
//!
//! ```
//! use std::time::Duration;
//! use foretoken_mirror::{MirrorSpec, Tracker};
//! use foretoken_types::BootInstant;
//!
//! let spec = MirrorSpec { endpoint: "b".into(), region: Some("west".into()) };
//! let tracker = Tracker::new(None, [spec]);
//! let now = BootInstant::from_nanos(1);
//! assert!(tracker.eligible_for_reads(Duration::from_secs(5), now).is_empty(), "it was never looked at");
//! ```
//!
//! Promise (PROTOCOL 7.4, I6): a mirror serves reads only when its data provably belongs to the history that the primary was
//! last known by.
#![warn(missing_docs)]

mod choose;
mod history;
mod lag;
mod metrics;
mod track;

pub use lag::Lag;
pub use metrics::{MirrorMetrics, describe};
pub use track::{MirrorSpec, Tracker};

#[cfg(test)]
mod testing;
