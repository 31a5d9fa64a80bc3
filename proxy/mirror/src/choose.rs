//! Which mirrors may serve reads, and which may be promoted.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Failure, Link, MirrorRoute, Position, Role};

use crate::track::{LOOK_FRESH, Mirror, Seen};
use crate::{Lag, Tracker};

/// How one mirror stands as a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which one.
    pub endpoint: EndpointId,
    /// How far its data goes, when it was last looked at.
    pub position: Option<Position>,
    /// Its distance to the primary, when that is known.
    pub lag: Option<Lag>,
    /// Why it may not be promoted; `None`: it may.
    pub unfit: Option<Unfit>,
}

/// Why a mirror may not be used. Its `Display` is for `foretoken status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It was never looked at.
    NeverSeen,
    /// The last look at it failed.
    Failing(Failure),
    /// The last look is too long ago.
    NotSeenFor(Duration),
    /// It is a primary, not a mirror.
    Primary,
    /// It loads its data.
    Loading,
    /// It receives a full copy; its data is none.
    Synchronizing,
    /// The primary's own history is not known, so nothing can be proved.
    HistoryUnknown,
    /// Its data belongs to another history than the primary's.
    Stranger(String),
    /// Somebody else manages it.
    ManagedBy(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverSeen => f.write_str("not looked at yet"),
            Self::Failing(Failure::Refused) => f.write_str("it refuses connections"),
            Self::Failing(Failure::Timeout) => f.write_str("it does not answer"),
            Self::Failing(Failure::NotServing) => f.write_str("it answers that it can't serve now"),
            Self::Failing(Failure::Credentials) => f.write_str("it refuses our credentials"),
            Self::Failing(Failure::Other) => f.write_str("it can't be asked (name, TLS or malformed reply)"),
            Self::NotSeenFor(age) => write!(f, "last looked at {} ms ago", age.as_millis()),
            Self::Primary => f.write_str("it is a primary, not a mirror"),
            Self::Loading => f.write_str("it loads its data"),
            Self::Synchronizing => f.write_str("it receives a full copy"),
            Self::HistoryUnknown => f.write_str("the primary's history is not known yet"),
            Self::Stranger(history) => {
                write!(f, "its data belongs to another history ({history}) than the primary's")
            }
            Self::ManagedBy(who) => write!(f, "it is managed by {who}"),
        }
    }
}

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
        let seen = self.usable(mirror, now).ok()?;
        self.lag_of(seen, now)?.time.filter(|staleness| *staleness <= limit)
    }

    /// Every configured endpoint but `primary`, those that may be promoted first: the greatest position leads, then our own
    /// region, then the order of the configuration. A link that is down does not speak against a mirror: when it counts,
    /// the primary is down, and what is missing is lost anyway.
    #[must_use]
    pub fn candidates(&self, primary: Option<&EndpointId>, now: BootInstant) -> Vec<Standing> {
        let mut standings: Vec<_> = self
            .mirrors
            .iter()
            .filter(|mirror| Some(&mirror.spec.endpoint) != primary)
            .map(|mirror| (self.standing(mirror, now), self.is_near(&mirror.spec)))
            .collect();
        standings
            .sort_by_key(|(standing, near)| (standing.unfit.is_some(), Reverse(standing.position), !near));
        standings.into_iter().map(|(standing, _)| standing).collect()
    }

    fn standing(&self, mirror: &Mirror, now: BootInstant) -> Standing {
        let seen = mirror.seen.as_ref();
        Standing {
            endpoint: mirror.spec.endpoint.clone(),
            position: seen.map(|seen| seen.what.position),
            lag: seen.and_then(|seen| self.lag_of(seen, now)),
            unfit: self.usable(mirror, now).err(),
        }
    }

    /// What holds for every use: it answers, is a mirror, has its data, and the data is of our history.
    fn usable<'a>(&self, mirror: &'a Mirror, now: BootInstant) -> Result<&'a Seen, Unfit> {
        if let Some(failure) = mirror.failure {
            return Err(Unfit::Failing(failure));
        }
        let seen = mirror.seen.as_ref().ok_or(Unfit::NeverSeen)?;
        let age = now.since(seen.at);
        if age > LOOK_FRESH {
            return Err(Unfit::NotSeenFor(age));
        }
        if let Some(who) = &seen.what.managed_by {
            return Err(Unfit::ManagedBy(who.clone()));
        }
        if seen.what.loading {
            return Err(Unfit::Loading);
        }
        match seen.what.role {
            Role::Primary => return Err(Unfit::Primary),
            Role::Mirror { link: Link::Synchronizing, .. } => return Err(Unfit::Synchronizing),
            Role::Mirror { .. } => {}
        }
        match &self.lineage {
            None => Err(Unfit::HistoryUnknown),
            Some(lineage) if lineage.covers(&seen.what) => Ok(seen),
            Some(_) => Err(Unfit::Stranger(seen.what.history.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
