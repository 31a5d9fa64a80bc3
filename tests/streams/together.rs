//! Many clients at once, over connections that they share: each gets the bytes that it would have got alone, whatever the others
//! send, wherever their bytes are cut, and however they leave.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::both::Both;
use crate::compare::difference;
use crate::grammar::{Grammar, Scope, Speaker};
use crate::pair;
use crate::rounds::Rounds;
use crate::session::{Stream, Temper, session};
use crate::shrink::shrink;
use crate::wire::{Cut, converse, vanish};

/// Clients that are compared; beside them as many pairs and as many that leave as the constants below say.
const CLIENTS: usize = 16;
const PAIRS: usize = 4;
const VANISHING: usize = 6;

/// A client that is compared.
struct Part {
    stream: Stream,
    /// It waits for another one, so that it can't be repeated alone.
    paired: bool,
}

fn cast(grammar: &Grammar, seed: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let speaker = |stem: String, number: usize| {
        let rng = SmallRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32));
        Speaker::new(grammar, &stem, Scope::Among, rng)
    };
    for number in 0..CLIENTS {
        let mut speaker = speaker(format!("c{number}s{seed}"), number);
        let temper = speaker.choose(&[Temper::Plain, Temper::Stateful, Temper::Stateful, Temper::Wild]);
        parts.push(Part { stream: Stream::random(&mut speaker, temper, 200), paired: false });
    }
    for number in 0..PAIRS {
        let first = CLIENTS + 2 * number;
        let mut two =
            [speaker(format!("a{number}s{seed}"), first), speaker(format!("b{number}s{seed}"), first + 1)];
        for (requests, mut speaker) in
            pair::both(&format!("p{number}s{seed}"), &mut two, 8).into_iter().zip(two)
        {
            parts.push(Part { stream: Stream::of(&mut speaker, Temper::Plain, requests), paired: true });
        }
    }
    parts
}

/// Clients that are gone in the middle of something.
fn leavers(grammar: &Grammar, seed: u64) -> Vec<(Vec<u8>, Cut)> {
    let leaver = |number: usize| {
        let rng = SmallRng::seed_from_u64(!seed ^ ((number as u64 + 1) << 32));
        let mut speaker = Speaker::new(grammar, &format!("v{number}s{seed}"), Scope::Among, rng);
        let mut bytes = session(&mut speaker, Temper::Wild, 60).concat();
        bytes.truncate(speaker.rng.random_range(0..bytes.len()));
        (bytes, Cut::any(&mut speaker.rng))
    };
    (0..VANISHING).map(leaver).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_share_connections_get_the_same_bytes_as_alone() {
    let both = Both::start().await;
    let grammar = both.grammar();
    let mut rounds = Rounds::begin();
    while let Some(seed) = rounds.next() {
        both.reset();
        let parts = cast(&grammar, seed);
        let mut all = JoinSet::new();
        for (number, part) in parts.iter().enumerate() {
            for (side, to, cut) in [(0, both.direct(), Cut::WHOLE), (1, both.through(), part.stream.cut)] {
                let (bytes, mut rng) = (part.stream.bytes(), SmallRng::seed_from_u64(seed + number as u64));
                all.spawn(async move { (number, side, converse(to, &bytes, cut, &mut rng).await) });
            }
        }
        for (bytes, cut) in leavers(&grammar, seed) {
            let (to, mut rng) = (both.through(), SmallRng::seed_from_u64(seed));
            // How it ends is nobody's business.
            tokio::spawn(async move { vanish(to, &bytes, cut, &mut rng).await.ok() });
        }
        let mut replies = vec![[Vec::new(), Vec::new()]; parts.len()];
        while let Some(done) = all.join_next().await {
            let (number, side, result) = done.expect("a client does not panic");
            replies[number][side] = result.unwrap_or_else(|error| {
                panic!(
                    "FORETOKEN_SEED={seed} client {number}, {}: {error}",
                    ["direct", "through the sidecar"][side]
                )
            });
        }
        for (number, [wanted, got]) in replies.iter().enumerate() {
            let Some(difference) = difference(wanted, got) else { continue };
            let Part { stream, paired } = &parts[number];
            let fewest = if *paired { String::new() } else { shrink(&both, stream, seed).await };
            panic!("FORETOKEN_SEED={seed} client {number} differs {difference}\n{fewest}");
        }
        same_data(&both, seed).await;
    }
    eprintln!("{rounds}");
}

/// Waits until both servers hold the same: what a client sent that has left may still be on its way.
async fn same_data(both: &Both, seed: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        both.forget("v");
        let [direct, behind] = both.digests();
        if direct == behind {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "FORETOKEN_SEED={seed}: every reply was the same, but the data differ"
        );
        tokio::task::yield_now().await;
    }
}
