//! Assembles the proxy and drives the control loop.
#![warn(missing_docs)]
