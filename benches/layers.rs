//! What each layer of the data path costs by itself, without sockets.
//!
//! `make bench-layers` runs it with criterion: requests found and classified, the tower stack, replies found and split, the
//! clock, and tokens. `docs/performance.md` adds it up. The whole, sockets included, is `load.rs`.

#[path = "layers/clock.rs"]
mod clock;
#[path = "layers/echo.rs"]
mod echo;
#[path = "layers/stack.rs"]
mod stack;
#[path = "layers/token.rs"]
mod token;
#[path = "layers/wire.rs"]
mod wire;

use criterion::{criterion_group, criterion_main};

criterion_group!(layers, wire::requests, stack::stack, wire::replies, clock::clock, token::tokens);
criterion_main!(layers);
