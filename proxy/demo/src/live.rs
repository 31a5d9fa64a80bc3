//! The line that shows what goes on, when somebody watches.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretoken_app::client::{Client, StoreId};
use tokio::task::JoinHandle;

use crate::sidecar::STORE;
use crate::workload::Progress;

const EVERY: Duration = Duration::from_millis(200);

/// The line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Live(Option<JoinHandle<()>>);

impl Live {
    /// Shows how far `progress` is and what the sidecar says of the store. Nothing when standard output is no terminal.
    pub(crate) fn start(progress: &Arc<Progress>, client: &Client) -> Self {
        if !stdout().is_terminal() {
            return Self(None);
        }
        let (progress, client) = (Arc::clone(progress), client.clone());
        Self(Some(tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            let mut before = 0;
            loop {
                tick.tick().await;
                let done = progress.done.load(Ordering::Relaxed);
                let failed = progress.failed.load(Ordering::Relaxed);
                let rate = (done - before) * 1000 / u64::try_from(EVERY.as_millis()).unwrap_or(1);
                before = done;
                let store = match client.store(&StoreId::from(STORE)).await {
                    Ok(status) => {
                        let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str());
                        format!("{}, epoch {}, primary {primary}", status.state, status.epoch)
                    }
                    Err(_) => "the sidecar does not answer".to_owned(),
                };
                line(&format!("  {done} done, {failed} failed or in doubt, {rate}/s; {store}"));
            }
        })))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            line("");
        }
    }
}

/// Writes over the last line of the terminal.
fn line(text: &str) {
    let mut out = stdout().lock();
    // Who closed standard output does not want to see it.
    write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush()).ok();
}
