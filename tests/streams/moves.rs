//! A role that moves all the time.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverReport};

use crate::store::Store;

/// Whether it was refused for nothing but that a mirror is too far behind, or has not said how far: on a busy machine that may come
/// between the look at the store and the order.
fn is_too_early(report: &SwitchoverReport) -> bool {
    report.outcome == SwitchoverOutcome::Refused
        && report.checks.iter().all(|check| check.passed || check.name == "lag")
}

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
                let is_done = report.outcome == SwitchoverOutcome::Done;
                assert!(is_done || is_too_early(&report), "FORETOKEN_SEED={seed} {report:?}");
                moved |= is_done;
                self.ended.fetch_add(1, Relaxed);
            }
        };
        tokio::join!(working, moving).0
    }
}
