//! The nouns that every room shares.
//!
//! Data plane and control plane meet in two values only: a [`Sample`] goes up (what happened at an endpoint in one
//! interval) and a [`Posture`] comes down (what to do now for one store). Everything else here is vocabulary for the two.
//!
//! What this crate is *not* for: behaviour. No sockets, no tokio, and no clock but the [`Clock`] trait.
#![warn(missing_docs)]

mod address;
mod capacity;
mod clock;
mod fault;
mod home;
mod ids;
mod lease;
mod observation;
mod posture;
mod report;
mod sample;
mod state;

pub use address::{Address, BadAddress};
pub use capacity::Capacity;
pub use clock::{BootInstant, Clock, ManualClock};
pub use fault::{Fault, FaultKind, Resend, Side};
pub use home::Home;
pub use ids::{BlockId, EndpointId, Epoch, InstanceId, Operation, Position, Region, StoreId};
pub use lease::{Lease, LeaseTimes};
pub use observation::{Failure, Link, Observation, OwnerClaim, Persistence, Role};
pub use posture::{Access, Hold, HoldScope, MirrorRoute, Posture};
pub use report::Report;
pub use sample::{ErrorClass, LATENCY_BOUNDS_US, LatencyBuckets, Outcome, Sample};
pub use state::{Authority, Durability, StoreState, WriteConcern, Writers};
