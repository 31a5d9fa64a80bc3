//! Who answers on a new connection.
//!
//! A server that was killed and restarted between two looks of the control plane listens where the old one did, with an older copy of
//! the data, or none. Its restart breaks every connection, so one that is open leads to the process that a later look sees:
//! a connection carries requests once its endpoint was looked at after the connection was made, and was found to be what the
//! posture takes it for.

use std::sync::Arc;

use foretoken_types::BootInstant;
use tokio::sync::{Notify, watch};

/// The control plane's end, for one endpoint.
#[derive(Clone, Debug)]
pub struct Sight {
    seen: watch::Sender<BootInstant>,
    wish: Arc<Notify>,
}

/// The data threads' end, for one endpoint.
#[derive(Clone, Debug)]
pub struct Lookout {
    seen: watch::Receiver<BootInstant>,
    wish: Arc<Notify>,
}

/// Both ends for one endpoint, which was not seen yet.
#[must_use]
pub fn lookout() -> (Sight, Lookout) {
    let ((sender, receiver), wish) = (watch::channel(BootInstant::default()), Arc::new(Notify::new()));
    (Sight { seen: sender, wish: Arc::clone(&wish) }, Lookout { seen: receiver, wish })
}

impl Sight {
    /// The endpoint is what the posture takes it for, by a look that began at `asked`; a posture that the look asked for was
    /// published before.
    pub fn confirm(&self, asked: BootInstant) {
        self.seen.send_if_modified(|seen| {
            let newer = *seen < asked;
            *seen = (*seen).max(asked);
            newer
        });
    }

    /// Resolves when a look is wanted that begins from now on.
    ///
    /// # Cancel safety
    /// A wish is lost only when it was given out.
    pub async fn wished(&self) {
        self.wish.notified().await;
    }
}

impl Lookout {
    /// Resolves when a look that began at `made` or later has confirmed the endpoint; never, if none does.
    pub(crate) async fn confirmed_since(&self, made: BootInstant) {
        let mut seen = self.seen.clone();
        if *seen.borrow() < made {
            self.wish.notify_one();
        }
        if seen.wait_for(|seen| *seen >= made).await.is_err() {
            // The control plane is gone, and nobody looks any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_nanos(ms * 1_000_000)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_look_that_began_later_confirms_and_it_is_wished_for_once() {
        let (sight, lookout) = lookout();
        sight.confirm(at(10));
        lookout.confirmed_since(at(10)).await;
        let waiting = tokio::spawn(async move { lookout.confirmed_since(at(11)).await });
        sight.wished().await;
        sight.confirm(at(10));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "that look began before the connection was made");
        sight.confirm(at(12));
        sight.confirm(at(9));
        waiting.await.expect("confirmed");
        let again = tokio::time::timeout(std::time::Duration::from_secs(1), sight.wished()).await;
        assert!(again.is_err(), "nobody waits any more");
        assert_eq!(*sight.seen.borrow(), at(12), "an older look takes nothing back");
    }
}
