//! Real servers on free ports, and the data path under a posture that the test sets.
#![allow(unreachable_pub, dead_code, reason = "several test binaries use a part each")]

pub mod data_path;
pub mod servers;
