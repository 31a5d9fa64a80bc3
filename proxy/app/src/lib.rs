//! Assembles the proxy and drives the control loop.
#![warn(missing_docs)]

mod clock;

pub use clock::BootClock;
