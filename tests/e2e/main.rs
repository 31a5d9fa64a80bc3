//! A client, the data path, real servers.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod bounds;
mod hold;
mod looked;
mod moved;
mod pass;
mod reads;
mod relay;
mod relay_begins;
mod sharing;
mod wire;
