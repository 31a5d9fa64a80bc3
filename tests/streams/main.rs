//! Random streams of commands, to one server directly and to another one through the sidecar: the replies are the same bytes.
//!
//! Commands and arguments come from the server's own table (`commands.rs`, `grammar.rs`, `words.rs`), their order and the state of
//! the connection from `session.rs`, and writes end where chance has it (`wire.rs`). Everything but time depends on a seed, which a
//! failure prints: `FORETOKEN_SEED=7` begins with that one. `FORETOKEN_SECONDS` says for how long each test begins new rounds.
//! `unlike.rs` has all that two servers rightly answer differently. What depends on who is first can't be compared: `promised.rs`
//! looks at what must hold of it.

mod alone;
mod both;
mod cast;
mod client;
mod commands;
mod compare;
mod entries;
mod grammar;
mod moved;
mod moves;
mod news;
mod pair;
mod promised;
mod queue;
mod rounds;
mod session;
mod shrink;
#[path = "../failover/support.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod store;
#[path = "../support/mod.rs"]
mod support;
mod together;
mod unlike;
mod valid;
mod watched;
mod wire;
mod words;
