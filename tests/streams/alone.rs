//! One client at a time: whatever it sends, it gets the bytes that it would have got.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::both::Both;
use crate::grammar::{Scope, Speaker};
use crate::rounds::Rounds;
use crate::session::{Stream, Temper};
use crate::shrink::shrink;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_alone_gets_the_same_bytes() {
    let both = Both::start().await;
    let grammar = both.grammar();
    let mut rounds = Rounds::begin();
    while let Some(seed) = rounds.next() {
        both.reset();
        let mut speaker =
            Speaker::new(&grammar, &format!("c{seed}"), Scope::Alone, SmallRng::seed_from_u64(seed));
        let temper = speaker.choose(&[Temper::Plain, Temper::Stateful, Temper::Wild]);
        let stream = Stream::random(&mut speaker, temper, 120);
        if let Some(difference) = both.compare(&stream, seed).await {
            panic!("FORETOKEN_SEED={seed} differs {difference}\n{}", shrink(&both, &stream, seed).await);
        }
        // What follows `CLIENT REPLY OFF` is executed some time after the client has left.
        let end = Instant::now() + Duration::from_secs(5);
        while both.digests().windows(2).any(|digests| digests[0] != digests[1]) {
            assert!(Instant::now() < end, "FORETOKEN_SEED={seed}: the data differ");
            tokio::task::yield_now().await;
        }
    }
    eprintln!("{rounds}");
}
