//! Which mirror keeps up, and which may be promoted.
#![warn(missing_docs)]
