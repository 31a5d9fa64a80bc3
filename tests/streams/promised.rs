//! Clients that depend on each other, while the primary role moves all the time. What they get depends on who is first, so that it
//! is not compared with another server: what must hold of it is looked at.

use std::sync::atomic::Ordering::Relaxed;

use tokio::task::JoinSet;

use crate::moves::Moves;
use crate::news::News;
use crate::rounds::Rounds;
use crate::store::Store;
use crate::wire::address;
use crate::{entries, queue, watched};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_bring_to_each_other_is_neither_lost_nor_there_twice_when_the_role_moves() {
    let mut store = Store::start(3).await;
    let to = address(&store.sidecar.url());
    let mut rounds = Rounds::begin();
    let moves = Moves::default();
    while let Some(seed) = rounds.next() {
        let news = News::start(to, seed).await;
        let work = async {
            let mut work = JoinSet::new();
            work.spawn(queue::run(to, seed));
            work.spawn(entries::run(to, seed));
            work.spawn(watched::run(to, seed));
            work.join_all().await;
        };
        moves.during(&mut store, seed, work).await;
        let status = store.whole().await;
        news.end(status.epoch.0).await;
    }
    eprintln!("{rounds}, {} switchovers", moves.ended.load(Relaxed));
}
