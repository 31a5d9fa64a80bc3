//! Which mirrors may serve reads, and which may be promoted.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Failure, Link, MirrorRoute, Position, Role};

use crate::track::{LOOK_FRESH, Mirror, Seen};
use crate::{Lag, Tracker};

/// What a promotion asks of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A switchover: the link is up and the lag within both bounds (PROTOCOL 5.2, step 0).
    Switchover {
        /// Most bytes behind.
        bytes: u64,
        /// Most time behind.
        time: Duration,
    },
    /// A failover: the primary is down, so the link may be, and what is missing is lost anyway.
    Failover,
}

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
    /// Its link to the primary is down.
    LinkDown,
    /// The primary's own history is not known, so nothing can be proved.
    HistoryUnknown,
    /// Its data belongs to another history than the primary's.
    Stranger(String),
    /// Its data is too old, or of unknown age.
    Behind(Option<Lag>),
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
            Self::LinkDown => f.write_str("its link to the primary is down"),
            Self::HistoryUnknown => f.write_str("the primary's history is not known yet"),
            Self::Stranger(history) => {
                write!(f, "its data belongs to another history ({history}) than the primary's")
            }
            Self::Behind(None) => f.write_str("how far it is behind is not known"),
            Self::Behind(Some(Lag { bytes, time: None })) => {
                write!(f, "it is {bytes} bytes behind, for longer than is remembered")
            }
            Self::Behind(Some(Lag { bytes, time: Some(time) })) => {
                write!(f, "it is {bytes} bytes and {} ms behind", time.as_millis())
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
            .filter_map(|mirror| Some((mirror, self.staleness(mirror, limit, now).ok()?)))
            .collect();
        routes.sort_by_key(|(mirror, staleness)| (!self.is_near(&mirror.spec), *staleness));
        routes
            .into_iter()
            .map(|(mirror, staleness)| MirrorRoute { endpoint: mirror.spec.endpoint.clone(), staleness })
            .collect()
    }

    /// Why `endpoint` may not serve reads within `limit`; `None` when it may, or is not configured.
    #[must_use]
    pub fn unfit_for_reads(&self, endpoint: &EndpointId, limit: Duration, now: BootInstant) -> Option<Unfit> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.spec.endpoint == *endpoint)?;
        self.staleness(mirror, limit, now).err()
    }

    fn staleness(&self, mirror: &Mirror, limit: Duration, now: BootInstant) -> Result<Duration, Unfit> {
        let seen = self.usable(mirror, now)?;
        let lag = self.lag_of(seen, now);
        match lag.and_then(|lag| lag.time) {
            Some(staleness) if staleness <= limit => Ok(staleness),
            _ => Err(Unfit::Behind(lag)),
        }
    }

    /// Every configured endpoint but `primary`, those that may be promoted first: the greatest position leads, then our own
    /// region, then the order of the configuration.
    #[must_use]
    pub fn candidates(&self, primary: Option<&EndpointId>, need: Need, now: BootInstant) -> Vec<Standing> {
        let mut standings: Vec<_> = self
            .mirrors
            .iter()
            .filter(|mirror| Some(&mirror.spec.endpoint) != primary)
            .map(|mirror| (self.standing(mirror, need, now), self.is_near(&mirror.spec)))
            .collect();
        standings
            .sort_by_key(|(standing, near)| (standing.unfit.is_some(), Reverse(standing.position), !near));
        standings.into_iter().map(|(standing, _)| standing).collect()
    }

    fn standing(&self, mirror: &Mirror, need: Need, now: BootInstant) -> Standing {
        let seen = mirror.seen.as_ref();
        let lag = seen.and_then(|seen| self.lag_of(seen, now));
        let unfit = self.usable(mirror, now).and_then(|seen| match (need, seen.link()) {
            (Need::Failover, _) => Ok(()),
            (Need::Switchover { .. }, Some(Link::Down)) => Err(Unfit::LinkDown),
            (Need::Switchover { bytes, time }, _) => lag
                .filter(|lag| lag.bytes <= bytes && lag.time.is_some_and(|behind| behind <= time))
                .map(|_| ())
                .ok_or(Unfit::Behind(lag)),
        });
        Standing {
            endpoint: mirror.spec.endpoint.clone(),
            position: seen.map(|seen| seen.what.position),
            lag,
            unfit: unfit.err(),
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
