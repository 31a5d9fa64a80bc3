//! The data path: one tower stack per store, generic over the protocol.
#![warn(missing_docs)]
