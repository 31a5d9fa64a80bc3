//! Samples and looks at an endpoint to a verdict: up, suspect, down (PROTOCOL 10).
//!
//! [`Window`] folds what live traffic met in the last ten seconds into [`Figures`]; [`Detector`] weighs live traffic, probes
//! and what the mirrors say of their link into a [`Verdict`]; [`HostFigures`] reads the machine. Everything is a function of
//! values: an instant is a parameter, and nothing here has a socket, a file or a clock, save [`host::local`], [`host::disk`]
//! and [`Process`], which look at this machine.
//!
//! ```
//! use std::time::Duration;
//! use foretoken_health::{DetectParams, Detector, Verdict};
//! use foretoken_types::{BootInstant, EndpointId, Failure, Link};
//!
//! let (mut detector, mirror) = (Detector::new("a".into(), DetectParams::default()), EndpointId::from("b"));
//! let now = BootInstant::from_nanos(1_000_000_000);
//! detector.probe_started(now);
//! detector.looked(Err(Failure::Refused), Duration::from_millis(1), now);
//! detector.mirror_link(&mirror, Some(Link::Down), now);
//! assert!(matches!(detector.verdict(now), Verdict::Down { .. }));
//! ```
//!
//! Promises: an endpoint is never [`Verdict::Down`] unless it was suspect for [`DetectParams::confirm`], or refused
//! connections while its mirrors had lost it (or while there was no mirror to ask); credentials that are refused never make
//! it so; and what can't prove anything (one stuck request beside probes that pass) is never evidence.
#![warn(missing_docs)]

mod detector;
mod evidence;
pub mod host;
mod metrics;
mod phi;
pub mod process;
mod window;

pub use detector::{DetectParams, Detector, Verdict};
pub use evidence::Evidence;
pub use host::{Disk, HostFigures};
pub use metrics::{EndpointMetrics, describe};
pub use process::{Process, Quota};
pub use window::{Figures, Window};
