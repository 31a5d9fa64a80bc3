//! tower layers that know nothing about Foretoken.
//!
//! [`Hold`] lets a request wait at a gate before it goes on; [`Sensor`] tells an observer how each request ended.
//! Both add nothing to the heap on their way.
#![warn(missing_docs)]

mod hold;
mod sensor;

pub use hold::{Gate, Hold, HoldFuture, HoldLayer};
pub use sensor::{Ended, Observe, Sensor, SensorFuture, SensorLayer};
