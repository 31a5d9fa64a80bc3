//! Rows of features to a risk of exhaustion, its causes, and what to do about it.
//!
//! What is predicted is *exhaustion*: memory, connections, disk, CPU that run out, and queries that pile up. A power cut gives
//! no notice; for that there is the reactive path.
//!
//! A [`Row`] a step goes into a [`Window`]; [`assess`] weighs it by a rule that needs no model (`headroom`) and by a model,
//! takes the greater and says why; [`Alarms`] makes alarms of it, with hysteresis; [`decide`] says whether to watch, to
//! prepare or to move. Everything is a function of values: no runtime, no socket, no clock.
//!
//! ```
//! use foretoken_predict::{Calibration, Feature, Row, Window, assess};
//!
//! let mut window = Window::default();
//! for step in 0..60 {
//!     let mut row = Row::default();
//!     row.set(Feature::DiskRatio, Some(0.3 + 0.01 * f64::from(step)));
//!     window.push(row);
//! }
//! let found = assess(&window, None, &Calibration::default());
//! assert!(found.risk.is_some_and(|risk| risk.longest() > 0.9));
//! assert_eq!(found.causes[0].words, "disk at 88 % of the limit, +1.00 points a step: full in 12 steps");
//! ```
//!
//! Promises: a risk is three probabilities that don't fall with the horizon; a model that is missing, refused or talks
//! nonsense leaves the rule in charge; nothing is switched to a mirror that would run out just as soon.
#![warn(missing_docs)]

mod calibrate;
pub mod contract;
mod features;
mod headroom;
mod ledger;
mod model;
mod policy;
pub mod record;
mod risk;
mod threshold;
mod trust;

pub use calibrate::Calibration;
pub use contract::Feature;
pub use features::{Cores, Readings, Row, Window};
pub use headroom::{Resource, Standing, standings};
pub use ledger::{Ledger, has_failed};
pub use model::{BadModel, Model};
pub use policy::{Action, Candidate, Decision, Params, Policy, Situation, Usage, Usages, Why, decide};
pub use risk::{Assessment, Cause, Cure, Predictor, Risk, Subject, Unknown, assess, assess_by_model};
pub use threshold::{Alarms, BadThresholds, Thresholds};
pub use trust::{Doubt, Trust};
