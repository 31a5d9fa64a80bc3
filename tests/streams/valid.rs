//! The grammar against a server: most of what it makes is valid, and not all of it.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::both::ordered;
use crate::commands;
use crate::grammar::{Grammar, Scope, Speaker};

/// Calls of each command.
const TRIES: usize = 12;

#[tokio::test]
async fn nearly_every_command_is_taken_by_the_server_and_some_calls_are_refused() {
    let server = ordered();
    let mut connection = server.connection();
    let group = redis::cmd("XGROUP")
        .arg("CREATE")
        .arg("c:x1")
        .arg("g1")
        .arg("0")
        .arg("MKSTREAM")
        .exec(&mut connection);
    group.expect("a group for commands that need one");
    let grammar = Grammar::new(commands::all(&mut connection));
    let mut speaker = Speaker::new(&grammar, "c", Scope::Among, SmallRng::seed_from_u64(1));
    let (mut taken, mut calls, mut refused) = (BTreeSet::new(), 0, 0);
    let ours: Vec<_> = grammar.commands().iter().filter(|command| command.group != "cluster").collect();
    for _ in 0..TRIES {
        for command in &ours {
            let mut call = redis::Cmd::new();
            call.arg(speaker.call(command));
            calls += 1;
            match call.query::<redis::Value>(&mut connection) {
                Ok(_) => drop(taken.insert(&command.name)),
                Err(_) => refused += 1,
            }
        }
    }
    let never: Vec<_> =
        ours.iter().map(|command| &command.name).filter(|name| !taken.contains(name)).collect();
    assert!(refused * 20 > calls && refused * 2 < calls, "{refused} of {calls} calls are refused");
    assert!(never.len() * 10 < ours.len(), "never taken: {never:?}");
}
