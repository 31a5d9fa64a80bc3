//! Looks at one endpoint, over and over, on a connection of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foretoken_outbound::Sight;
use foretoken_protocol::Control;
use foretoken_types::{Clock, Failure, Home, Role};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::Live;
use super::signal::Signal;

/// Between two looks that are wished for: one does for all the connections that were made meanwhile.
const WISHES_APART: Duration = Duration::from_millis(2);
/// How often limits are asked for.
const CAPACITY_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked where it lives: a server that was started again is another process.
const HOME_EVERY: Duration = Duration::from_secs(5);
/// How often the preflight is repeated: what it reads is configuration.
const EXAMINE_EVERY: Duration = Duration::from_secs(30);

/// Where figures of an endpoint's machine come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostSource {
    /// It is this machine.
    Local,
    /// Its node_exporter.
    NodeExporter(String),
    /// Nowhere.
    Unknown,
}

impl HostSource {
    /// This machine, when the host is a loopback address or its name.
    #[must_use]
    pub(crate) fn of(host: &str) -> Self {
        let loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if loopback || host == "localhost" { Self::Local } else { Self::Unknown }
    }
}

/// What a watcher is given.
pub(super) struct Watcher {
    pub(super) endpoint: usize,
    pub(super) control: Box<dyn Control>,
    /// Where what it says of its home goes.
    pub(super) home: watch::Sender<Option<Home>>,
    pub(super) live: watch::Receiver<Live>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signals: mpsc::Sender<Signal>,
    /// Whether writes may be probed now.
    pub(super) probe_writes: watch::Receiver<bool>,
    /// Asks for looks.
    pub(super) sight: Sight,
}

impl Watcher {
    /// Looks until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut every = Duration::ZERO;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let start = Instant::now();
        let (mut capacity_at, mut examine_at, mut home_at) = (start, start, start);
        let (mut is_primary, mut looked) = (false, start);
        loop {
            let wished = self.live.borrow_and_update().probe_interval;
            if std::mem::replace(&mut every, wished) != wished {
                tick = tokio::time::interval(every);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
            tokio::select! {
                _ = tick.tick() => {}
                () = until_wished(&self.sight, looked) => {}
                // A long interval must not delay a short one.
                Ok(()) = self.live.changed() => continue,
                () = self.signals.closed() => return,
            }
            let Some(well) = self.look(&mut is_primary).await else { return };
            let now = Instant::now();
            looked = now;
            if well && now >= examine_at {
                if let Ok(preflight) = self.control.preflight().await {
                    self.tell(Signal::Examined { endpoint: self.endpoint, preflight }).await;
                    examine_at = now + EXAMINE_EVERY;
                }
            } else if well && now >= capacity_at {
                if let Ok(capacity) = self.control.capacity().await {
                    self.tell(Signal::Capacity { endpoint: self.endpoint, capacity: Box::new(capacity) })
                        .await;
                }
                capacity_at = now + CAPACITY_EVERY;
            } else if well && now >= home_at {
                if let Ok(home) = self.control.home().await {
                    self.home.send_replace(Some(home));
                }
                home_at = now + HOME_EVERY;
            }
        }
    }

    async fn tell(&mut self, signal: Signal) {
        // A closed channel ends the watcher at its next turn.
        self.signals.send(signal).await.ok();
    }

    /// One look; whether it went well. `None`: nobody listens any more.
    async fn look(&mut self, is_primary: &mut bool) -> Option<bool> {
        let asked = self.clock.now();
        self.signals.send(Signal::Asked { endpoint: self.endpoint, at: asked }).await.ok()?;
        let probed = *self.probe_writes.borrow_and_update() && *is_primary;
        let result = self.control.observe(probed).await;
        let took = self.clock.now().since(asked);
        let failure = match &result {
            Ok(found) => {
                *is_primary = found.role == Role::Primary;
                None
            }
            Err(refused) => Some(refused.failure),
        };
        let found = result.map(Box::new);
        self.signals
            .send(Signal::Looked { endpoint: self.endpoint, asked, probed, found, took })
            .await
            .ok()?;
        if matches!(failure, Some(Failure::Refused | Failure::Timeout | Failure::Other)) {
            let result = self.control.reach().await.map_err(|refused| refused.failure);
            self.signals.send(Signal::Reached { endpoint: self.endpoint, result }).await.ok()?;
        }
        Some(failure.is_none())
    }
}

/// Resolves when a look is wanted and the one at `looked` is a moment ago.
async fn until_wished(sight: &Sight, looked: Instant) {
    sight.wished().await;
    tokio::time::sleep_until(looked + WISHES_APART).await;
}
