//! A client, the data path, real servers.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod bounds;
mod hold;
mod pass;
mod relay;
mod sharing;
