//! Samples and observations to a verdict: up, suspect, down.
#![warn(missing_docs)]
