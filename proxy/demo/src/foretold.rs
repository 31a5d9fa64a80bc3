//! A resource of the primary runs out while clients work, and what the sidecar does about it, moment by moment.

use std::time::Duration;

use foretoken_app::client::model::{HorizonStatus, StoreStatus};
use foretoken_types::Durability;
use tokio::time::Instant;

use crate::Error;
use crate::exhaustion::{Exhaustion, Level};
use crate::history::{Ending, Operation};
use crate::sidecar::Sidecar;

/// How long after the end it may take until the server has noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long clients wait before they give up, if they are like many drivers. Shorter than the silence that counts as the end
/// of a server without CPU.
pub const PATIENCE: Duration = Duration::from_millis(800);

/// Operations that were not executed, are in doubt, or took longer than a client waits.
#[must_use]
pub fn failed(history: &[Operation]) -> usize {
    let has_failed = |operation: &&Operation| {
        !matches!(operation.ending, Ending::Done(_)) || operation.ended - operation.invoked > PATIENCE
    };
    history.iter().filter(has_failed).count()
}

/// When something was first seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// What the rule says of a horizon was above its threshold.
    pub rule: Option<Instant>,
    /// What the ONNX model says of a horizon was above its threshold.
    pub model: Option<Instant>,
    /// An alarm was raised.
    pub at_risk: Option<Instant>,
    /// The data path held a temporary token, so that reads could go on with nobody left to ask.
    pub temporary: Option<Instant>,
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
    /// The data path holds a temporary token.
    Temporary,
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
        if says(&status, |horizon| horizon.rule) {
            moments.rule.get_or_insert(now);
        }
        if says(&status, |horizon| horizon.model) {
            moments.model.get_or_insert(now);
        }
        if moments.at_risk.is_none() && status.risk.as_ref().is_some_and(|risk| risk.raised) {
            moments.at_risk = Some(now);
            tell(Told::AtRisk(&status));
        }
        if moments.temporary.is_none() && status.temporary_ms.is_some() {
            moments.temporary = Some(now);
            tell(Told::Temporary);
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

/// Whether `of` a horizon is above its threshold.
fn says(status: &StoreStatus, of: impl Fn(&HorizonStatus) -> Option<f32>) -> bool {
    let horizons = status.risk.iter().flat_map(|risk| &risk.horizons);
    horizons.into_iter().any(|horizon| of(horizon).is_some_and(|risk| risk >= horizon.threshold))
}

fn has_moved(status: &StoreStatus, old: &str) -> bool {
    status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
}
