//! The data path: one tower stack per store, generic over the protocol.
//!
//! [`DataPlane`] owns the data threads. Each is a `current_thread` runtime that shares nothing with the others: clients are
//! handed to the least loaded, and all that concerns a client stays on its thread. The control plane reaches a thread
//! through one `watch` of [`foretoken_types::Posture`]; the thread answers through one channel of
//! [`foretoken_types::Report`].
//!
//! The path of a request: `accept` > `session` (bytes to batches) > `stack` > an upstream connection of `pool` > back up >
//! `session` (bytes to the client, checked once more against the lease).
//!
//! What it promises: a reply is forwarded only while the epoch that its request was sent under is current and its lease
//! alive (PROTOCOL 3.4, rule 5; of what comes over a relay, replies to writes: the rest was said while both were so, and is told
//! even if the client is slow to take it); nothing is sent twice unless it certainly was not executed, or is a read; a held request
//! waits within the bounds of [`Tunables`]; replies keep the order of requests.
#![warn(missing_docs)]

mod accept;
mod authorize;
mod clock;
mod durable;
mod gate;
mod lookout;
mod metrics;
mod obey;
mod own_writes;
mod policy;
mod pool;
mod relay;
mod request;
mod rescue;
mod retry;
mod route;
mod session;
mod stack;
mod store;
mod tally;
#[cfg(feature = "testing")]
pub mod testing;
mod view;

pub use accept::{DataPlane, Error, REFUSALS_MOST, StoreFactory};
pub use durable::Ask;
pub use lookout::{Lookout, Sight, lookout};
pub use metrics::describe;
pub use policy::{Policies, Policy, ReadFrom};
pub use store::{EndpointParams, Rules, StoreParams, Tunables};
