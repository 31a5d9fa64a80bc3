//! Writes rows to the registry: all that wait go to disk together (group commit), and who asked hears when they are there.

use std::collections::BTreeSet;
use std::sync::Arc;

use foretoken_registry::{Keep, Registry};
use foretoken_token::UnixMillis;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait; more of them wait at their callers.
const DEPTH: usize = 256;
/// Rows whose time is over and that are removed with one write: more are left for the next one.
const REMOVED_MOST: usize = 1024;

/// A change, and until when the row is of use.
pub(super) struct Row {
    pub(super) keep: Keep,
    pub(super) until: Option<UnixMillis>,
}

enum Order {
    Write {
        rows: Vec<Row>,
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Removes rows whose time is over at that moment.
    Sweep(UnixMillis),
}

/// The way to the writer; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Order>);

impl Writer {
    /// Starts it on the present runtime. `rows`: what is on disk already.
    pub(super) fn start(registry: Arc<dyn Registry>, rows: Vec<(UnixMillis, String)>) -> Self {
        let (orders, waiting) = mpsc::channel(DEPTH);
        tokio::spawn(run(registry, waiting, rows.into_iter().collect()));
        Self(orders)
    }

    /// Resolves when `rows` are on disk, or with the reason why they are not.
    pub(super) async fn write(&self, rows: Vec<Row>) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        let gone = || "the sidecar is shutting down".to_owned();
        let (done, written) = oneshot::channel();
        self.0.send(Order::Write { rows, done }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }

    /// Lets it remove what is of no use any more, when it has nothing else to do.
    pub(super) fn sweep(&self, now: UnixMillis) {
        // When it is full it is busy, and comes back to that with the next one.
        self.0.try_send(Order::Sweep(now)).ok();
    }
}

async fn run(
    registry: Arc<dyn Registry>,
    mut waiting: mpsc::Receiver<Order>,
    mut ends: BTreeSet<(UnixMillis, String)>,
) {
    let mut orders = Vec::new();
    while waiting.recv_many(&mut orders, DEPTH).await > 0 {
        let (mut changes, mut asked, mut added, mut removed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for order in orders.drain(..) {
            match order {
                Order::Write { rows, done } => {
                    asked.push(done);
                    for Row { keep, until } in rows {
                        added.extend(until.map(|until| (until, keep.name.clone())));
                        changes.push(keep);
                    }
                }
                Order::Sweep(now) => {
                    while changes.len() < REMOVED_MOST
                        && ends.first().is_some_and(|(until, _)| *until <= now)
                        && let Some(row) = ends.pop_first()
                    {
                        changes.push(Keep::nothing(row.1.clone()));
                        removed.push(row);
                    }
                }
            }
        }
        if changes.is_empty() {
            continue;
        }
        let home = Arc::clone(&registry);
        let written =
            tokio::task::spawn_blocking(move || home.keep(&changes).map_err(|error| chain(&error))).await;
        let result = written.unwrap_or_else(|_| Err("the write was broken off".to_owned()));
        if result.is_err() {
            // What is still there is removed another time.
            ends.extend(removed);
        }
        ends.extend(added);
        for done in asked {
            // Who asked may have gone.
            done.send(result.clone()).ok();
        }
    }
}

/// An error with its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
