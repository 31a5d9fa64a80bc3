//! A resource of the primary runs out while clients work, and what the sidecar does about it, moment by moment.

use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use foretoken_types::Durability;
use tokio::time::Instant;

use crate::Error;
use crate::exhaustion::{Exhaustion, Level};
use crate::sidecar::Sidecar;

/// How long after the end it may take until the server has noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// When something was first seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// An alarm was raised.
    pub at_risk: Option<Instant>,
    /// Writes wait for a mirror.
    pub synchronous: Option<Instant>,
    /// Another primary serves.
    pub moved: Option<Instant>,
    /// The server has nothing left.
    pub gone: Option<Instant>,
}

/// What is told while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// How far it is, at each look.
    Level(Level),
    /// An alarm was raised.
    AtRisk(&'a StoreStatus),
    /// Writes wait for a mirror.
    Synchronous,
    /// Another primary serves.
    Moved(&'a StoreStatus),
    /// The server has nothing left.
    Gone,
}

impl Moments {
    /// How long before the end that was; `None`: not before, or there was no end.
    #[must_use]
    pub fn lead(&self, of: Option<Instant>) -> Option<Duration> {
        of.zip(self.gone).and_then(|(of, gone)| gone.checked_duration_since(of))
    }
}

/// Watches until `exhaustion` of the primary `old` has left nothing, which takes at least `over`.
///
/// # Errors
///
/// The sidecar does not answer.
pub async fn watch(
    sidecar: &Sidecar,
    old: &str,
    exhaustion: &Exhaustion,
    over: Duration,
    mut tell: impl FnMut(Told<'_>),
) -> Result<Moments, Error> {
    let mut moments = Moments::default();
    let mut look = tokio::time::interval(LOOK);
    let deadline = Instant::now() + over + NOTICED_WITHIN;
    while moments.gone.is_none() && Instant::now() < deadline {
        look.tick().await;
        let status = sidecar.status().await?;
        let now = Instant::now();
        if moments.at_risk.is_none() && status.risk.as_ref().is_some_and(|risk| risk.raised) {
            moments.at_risk = Some(now);
            tell(Told::AtRisk(&status));
        }
        if moments.synchronous.is_none() && status.durability == Durability::Synchronous {
            moments.synchronous = Some(now);
            tell(Told::Synchronous);
        }
        if moments.moved.is_none() && has_moved(&status, old) {
            moments.moved = Some(now);
            tell(Told::Moved(&status));
        }
        let level = exhaustion.level();
        tell(Told::Level(level));
        if level.gone.is_some() {
            moments.gone = level.gone;
            tell(Told::Gone);
        }
    }
    Ok(moments)
}

fn has_moved(status: &StoreStatus, old: &str) -> bool {
    status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
}
