//! What was seen of a store's servers, and when.

use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Failure, Observation, Region};

use crate::Lag;
use crate::history::Lineage;
use crate::lag::Trail;

/// A mirror as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSpec {
    /// Which one.
    pub endpoint: EndpointId,
    /// Where it stands.
    pub region: Option<Region>,
}

/// Everything that is known of one store's mirrors. Holds one entry per configured endpoint and a bounded trail of the
/// primary's positions.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Where this sidecar stands.
    pub(crate) region: Option<Region>,
    /// In the order of the configuration.
    pub(crate) mirrors: Vec<Mirror>,
    /// The history that mirrors must belong to.
    pub(crate) lineage: Option<Lineage>,
    trail: Trail,
}

#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) spec: MirrorSpec,
    pub(crate) seen: Option<Seen>,
    /// Why the last look failed, if it did.
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: BootInstant,
    pub(crate) what: Observation,
}

impl Tracker {
    /// A tracker for the endpoints of one store, in the order of the configuration, seen from `region`. Roles move, so all
    /// endpoints are named, whichever is primary now.
    #[must_use]
    pub fn new(region: Option<Region>, endpoints: impl IntoIterator<Item = MirrorSpec>) -> Self {
        let mirrors = endpoints.into_iter().map(|spec| Mirror { spec, seen: None, failure: None }).collect();
        Self { region, mirrors, lineage: None, trail: Trail::default() }
    }

    /// Takes over what the registry remembers of the primary's history, as long as the primary itself was not seen.
    pub fn remember(&mut self, history: &str) {
        if self.lineage.is_none() && !history.is_empty() {
            self.lineage = Some(Lineage { history: history.to_owned(), previous: None });
        }
    }

    /// The primary in force was looked at. From here on its history is the one that mirrors must belong to, so it is called
    /// only for a primary that is accepted as such (PROTOCOL 7.4: one that came back with another history is not).
    pub fn primary(&mut self, seen: &Observation, now: BootInstant) {
        let lineage = Lineage::of(seen);
        let goes_on = match (&lineage, &self.lineage) {
            (Some(new), Some(old)) => {
                new.history == old.history
                    || new.previous.as_ref().is_some_and(|(name, _)| *name == old.history)
            }
            _ => false,
        };
        if !goes_on {
            self.trail.clear();
        }
        if lineage.is_some() {
            self.lineage = lineage;
        }
        self.trail.push(seen.position, now);
    }

    /// An endpoint was looked at. Unknown endpoints are ignored.
    pub fn mirror(&mut self, endpoint: &EndpointId, look: Result<&Observation, Failure>, now: BootInstant) {
        let Some(mirror) = self.mirrors.iter_mut().find(|mirror| mirror.spec.endpoint == *endpoint) else {
            return;
        };
        match look {
            Ok(what) => {
                mirror.seen = Some(Seen { at: now, what: what.clone() });
                mirror.failure = None;
            }
            Err(failure) => mirror.failure = Some(failure),
        }
    }

    /// How far `endpoint` is behind the primary; `None` when one of the two was never seen, or its data is of another
    /// history.
    #[must_use]
    pub fn lag(&self, endpoint: &EndpointId, now: BootInstant) -> Option<Lag> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.spec.endpoint == *endpoint)?;
        self.lag_of(mirror.seen.as_ref()?, now)
    }

    pub(crate) fn lag_of(&self, seen: &Seen, now: BootInstant) -> Option<Lag> {
        let covered = self.lineage.as_ref().is_some_and(|lineage| lineage.covers(&seen.what));
        covered.then(|| self.trail.lag(seen.what.position, seen.at, now)).flatten()
    }

    pub(crate) fn is_near(&self, spec: &MirrorSpec) -> bool {
        self.region.is_some() && self.region == spec.region
    }
}

/// For how long a look at a mirror stands for the present: eight looks at the default interval.
pub(crate) const LOOK_FRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
