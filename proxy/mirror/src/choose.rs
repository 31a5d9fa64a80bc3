//! Which mirrors may serve reads. Which one may be promoted is the state machine's affair.

use std::time::Duration;

use foretoken_types::{BootInstant, Link, MirrorRoute, Role};

use crate::Tracker;
use crate::track::{LOOK_FRESH, Mirror, Seen};

impl Tracker {
    /// Mirrors whose data is not older than `limit` and that can be asked: those of our own region first, then the least
    /// stale, then in the order of the configuration.
    ///
    /// Age counts from the last look at the primary that the mirror has caught up with; so while the primary is down it grows.
    #[must_use]
    pub fn eligible_for_reads(&self, limit: Duration, now: BootInstant) -> Vec<MirrorRoute> {
        let mut routes: Vec<_> = self
            .mirrors
            .iter()
            .filter_map(|mirror| Some((mirror, self.staleness(mirror, limit, now)?)))
            .collect();
        routes.sort_by_key(|(mirror, staleness)| (!self.is_near(&mirror.spec), *staleness));
        routes
            .into_iter()
            .map(|(mirror, staleness)| MirrorRoute { endpoint: mirror.spec.endpoint.clone(), staleness })
            .collect()
    }

    fn staleness(&self, mirror: &Mirror, limit: Duration, now: BootInstant) -> Option<Duration> {
        let seen = self.usable(mirror, now)?;
        self.lag_of(seen, now)?.time.filter(|staleness| *staleness <= limit)
    }

    /// A mirror that answers, has its data, and whose data is of our history. A link that is down makes its data older, not
    /// worse.
    fn usable<'a>(&self, mirror: &'a Mirror, now: BootInstant) -> Option<&'a Seen> {
        let seen = mirror.seen.as_ref().filter(|_| mirror.failure.is_none())?;
        let what = &seen.what;
        let whole = !what.loading
            && matches!(what.role, Role::Mirror { link, .. } if link != Link::Synchronizing)
            && what.managed_by.is_none();
        let ours = self.lineage.as_ref().is_some_and(|lineage| lineage.covers(what));
        (whole && ours && now.since(seen.at) <= LOOK_FRESH).then_some(seen)
    }
}

#[cfg(test)]
mod tests;
