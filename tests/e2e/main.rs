//! A client, the data path, real servers.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod hold;
mod pass;
mod sharing;
