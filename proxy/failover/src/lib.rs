//! The pure state machine of switchover and failover.
#![warn(missing_docs)]
