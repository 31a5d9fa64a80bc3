//! Looks at one endpoint whenever a data thread has made a new connection to it, so that the thread knows who answers there.
//!
//! On a connection of its own, and without a write probe: the regular look may stand in a pause of writes that an operator ordered.

use std::sync::Arc;
use std::time::Duration;

use foretoken_outbound::Sight;
use foretoken_protocol::Control;
use foretoken_types::Clock;
use tokio::sync::mpsc;

use super::signal::Signal;

/// Between two looks: one does for all the connections that were made meanwhile.
const APART: Duration = Duration::from_millis(1);

/// What it is given.
pub(super) struct Sighting {
    pub(super) endpoint: usize,
    pub(super) control: Box<dyn Control>,
    /// Says when a look is wanted.
    pub(super) sight: Sight,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signals: mpsc::Sender<Signal>,
}

impl Sighting {
    /// Looks until nobody listens any more; for the first time at once, so that its connection is there before those of clients.
    pub(super) async fn run(mut self) {
        while !self.signals.is_closed() {
            let asked = self.clock.now();
            let found = self.control.observe(false).await;
            let found = found.map(Box::new).map_err(|refused| refused.failure);
            // A closed channel ends it at once. After a failure the next regular look is as good.
            self.signals.send(Signal::Sighted { endpoint: self.endpoint, asked, found }).await.ok();
            tokio::time::sleep(APART).await;
            tokio::select! {
                () = self.sight.wished() => {}
                () = self.signals.closed() => {}
            }
        }
    }
}
