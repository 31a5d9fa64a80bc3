//! The whole program over real servers: switchovers, crashes, freezes, restarts, and what the history says of them.

mod alone;
#[path = "../support/arrived.rs"]
mod arrived;
mod blocks;
mod crash;
mod durable;
mod exhaustion;
mod follow;
mod foretold;
mod freeze;
mod life;
mod model;
mod planned;
mod record;
mod risk;
mod sentinel;
mod shown;
mod support;
mod tls;
mod told;
mod two;
#[cfg(feature = "unsafe-rules")]
mod unsafe_rules;
