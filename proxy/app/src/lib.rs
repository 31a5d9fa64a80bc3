//! Assembles the proxy and drives the control loop.
#![warn(missing_docs)]

mod build;
pub mod check;
pub mod client;
mod clock;
mod control;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod gate;
mod metrics;
mod open_files;
mod passes;
mod protocols;
mod reload;
#[cfg(feature = "unsafe-rules")]
mod rules;
mod run;
mod scrape;
pub mod show;
mod state_dir;
pub mod telemetry;
mod tokens;

pub use clock::BootClock;
pub use error::Error;
pub use gate::{GateOptions, gate};
pub use run::{RunOptions, run};
