//! Assembles the proxy and drives the control loop.
#![warn(missing_docs)]

pub mod check;
pub mod client;
mod clock;
pub mod show;
pub mod telemetry;

pub use clock::BootClock;
