//! The acts of `foretoken demo`: workload, history checker, report.
#![warn(missing_docs)]
