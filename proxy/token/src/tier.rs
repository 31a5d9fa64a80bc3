//! The three tiers: when each is given, what it may do, how long it lives (PROTOCOL 3.2).

use std::fmt;
use std::time::Duration;

use foretoken_types::{LeaseTimes, StoreState};
use serde::{Deserialize, Serialize};

use crate::Access;

/// How much a token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// T1: stale reads from mirrors, and writes that wait. Good for the time in which nobody can be asked.
    Temporary = 1,
    /// T2: the new primary, until it has been shown to be the right one.
    Provisional = 2,
    /// T3: everything.
    Valid = 3,
}

/// A number that is no tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no tier {0}")]
pub struct UnknownTier(u8);

impl TryFrom<u8> for Tier {
    type Error = UnknownTier;
    fn try_from(number: u8) -> Result<Self, UnknownTier> {
        match number {
            1 => Ok(Self::Temporary),
            2 => Ok(Self::Provisional),
            3 => Ok(Self::Valid),
            _ => Err(UnknownTier(number)),
        }
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> Self {
        tier as Self
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a token's reads may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadsFrom {
    /// From any mirror that is not further behind than the service accepts; never from a primary, because the epoch may
    /// have ended without the holder knowing.
    Mirrors,
    /// From the endpoint that the token names.
    Endpoint,
    /// From the endpoint that the token names, and from mirrors where the service accepts stale reads.
    Anywhere,
}

impl Tier {
    /// The name, as in the API and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Provisional => "provisional",
            Self::Valid => "valid",
        }
    }

    /// The most that a token of this tier may do, whatever is written in it.
    #[must_use]
    pub fn may(self) -> Access {
        match self {
            Self::Temporary => Access::READ | Access::QUEUE,
            Self::Provisional => Access::READ | Access::WRITE,
            Self::Valid => Access::ALL,
        }
    }

    /// Where reads under it go.
    #[must_use]
    pub const fn reads_from(self) -> ReadsFrom {
        match self {
            Self::Temporary => ReadsFrom::Mirrors,
            Self::Provisional => ReadsFrom::Endpoint,
            Self::Valid => ReadsFrom::Anywhere,
        }
    }

    /// Whether it is bound to the primary of its epoch; a T1 names no endpoint.
    #[must_use]
    pub const fn names_endpoint(self) -> bool {
        !matches!(self, Self::Temporary)
    }
}

/// What the tier depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The store's state. AT_RISK is one that is acted upon; where the policy only observes, the state stays HEALTHY.
    pub state: StoreState,
    /// Whether the new primary passed its first validation: it reports the role, its history descends from the one
    /// before, a write succeeded, and the old primary is fenced or its time is over. Counts after a failover only.
    pub validated: bool,
}

impl Situation {
    /// The highest tier that may be given now.
    #[must_use]
    pub const fn tier(self) -> Tier {
        match self.state {
            StoreState::Healthy | StoreState::AtRisk | StoreState::Recovering => Tier::Valid,
            StoreState::FailedOver if self.validated => Tier::Valid,
            StoreState::FailedOver => Tier::Provisional,
            StoreState::Holding
            | StoreState::Flipping
            | StoreState::Unavailable
            | StoreState::FailingOver => Tier::Temporary,
        }
    }

    /// Whether a T1 is given in advance, beside a T3 that runs on: the store works, and is about not to.
    #[must_use]
    pub const fn in_advance(self) -> bool {
        matches!(self.state, StoreState::AtRisk)
    }

    /// Whether there is a T1 to be had: in advance, or because it is all that is left.
    #[must_use]
    pub const fn gives_temporary(self) -> bool {
        self.in_advance() || matches!(self.tier(), Tier::Temporary)
    }
}

/// How long tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// A T1: long, because nobody may be left to renew it, and harmless, because it only reads what is stale anyway.
    pub temporary: Duration,
    /// TTL_w, of a T2 and a T3: every right to write is a lease.
    pub lease: Duration,
    /// How long T2s are given in one epoch, all together, before the new primary has to be validated.
    pub provisional_total: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            temporary: Duration::from_secs(30),
            lease: LeaseTimes::default().ttl,
            provisional_total: Duration::from_secs(60),
        }
    }
}

impl Lives {
    /// The life of one token of `tier`, when T2s have been given for `provisional_for` already in its epoch. `None`: no
    /// more of them.
    #[must_use]
    pub fn of(&self, tier: Tier, provisional_for: Duration) -> Option<Duration> {
        match tier {
            Tier::Temporary => Some(self.temporary),
            Tier::Valid => Some(self.lease),
            Tier::Provisional => {
                let left = self.provisional_total.saturating_sub(provisional_for);
                (!left.is_zero()).then(|| left.min(self.lease))
            }
        }
    }

    /// The longest life of any token: for so long a key that signs no more still has to verify.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.temporary.max(self.lease)
    }
}

#[cfg(test)]
mod tests;
