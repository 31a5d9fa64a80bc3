//! A role that moves all the time.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foretoken_app::client::model::SwitchoverOutcome;

use crate::store::Store;

/// What has begun and what has ended of the switchovers.
#[derive(Default)]
pub(crate) struct Moves {
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
}

impl Moves {
    /// Moves the role, again and again, until `work` is done; at least once.
    pub(crate) async fn during<T>(&self, store: &mut Store, seed: u64, work: impl Future<Output = T>) -> T {
        let done = Cell::new(false);
        let working = async {
            let result = work.await;
            done.set(true);
            result
        };
        let moving = async {
            let mut moved = false;
            while !(moved && done.get()) {
                store.whole().await;
                self.begun.fetch_add(1, Relaxed);
                let report = store.switch().await;
                // On a busy machine a mirror may fall behind between the look at the store and the order: that is refused, changes
                // nothing, and is tried again.
                let ends = [SwitchoverOutcome::Done, SwitchoverOutcome::Refused];
                assert!(ends.contains(&report.outcome), "FORETOKEN_SEED={seed} {report:?}");
                moved |= report.outcome == SwitchoverOutcome::Done;
                self.ended.fetch_add(1, Relaxed);
            }
        };
        tokio::join!(working, moving).0
    }
}
