//! What it takes to make an endpoint a mirror of the primary, and when that is refused (PROTOCOL 7.3 and 7.4).
//!
//! A native mirror that can't continue throws its data away and takes the primary's, whatever that is: no setting of the
//! store refuses it. So it is refused here, before the mirror is pointed anywhere.

use std::fmt;

use foretoken_types::{EndpointId, Link, Observation, Role};

use crate::Lineage;

/// Whether data of the mirror may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No: only what continues its data is put before it.
    Keep,
    /// Yes: the failover that it lost has published what is lost with it, or a person has said so.
    Discard,
}

/// What to do with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// It copies the primary already.
    Nothing,
    /// Point it at the primary.
    Repoint {
        /// It can't continue from where it is: its data is replaced by a full copy. Without [`Order::Discard`] this happens
        /// only to a server that has never been part of a change stream; whether it holds keys must still be looked at.
        full_copy: bool,
    },
    /// Leave it alone.
    Refuse(Why),
}

/// Why an endpoint is left alone. Its `Display` is for `foretoken status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It loads its data; ask again later.
    Loading,
    /// The primary loads its data; ask again later.
    PrimaryLoading,
    /// What is to be the primary is a mirror itself.
    NotPrimary,
    /// Somebody else manages one of the two.
    ManagedBy(String),
    /// The primary names no history.
    Nameless,
    /// The store was last known by another history, which the primary's does not continue: it came back empty or with older
    /// data.
    PrimaryForgot,
    /// Both have a past, and the primary's does not continue the mirror's.
    Stranger,
    /// It has gone on beyond the place at which the primary's history parted from its own.
    Diverged {
        /// Bytes that only it has.
        bytes: u64,
    },
    /// It goes further than the primary, in the same history: the primary has lost data.
    PrimaryBehind {
        /// Bytes that only the mirror has.
        bytes: u64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading => f.write_str("it loads its data"),
            Self::PrimaryLoading => f.write_str("the primary loads its data"),
            Self::NotPrimary => f.write_str("the server to be copied is no primary"),
            Self::ManagedBy(who) => write!(f, "it is managed by {who}"),
            Self::Nameless => f.write_str("the primary names no history"),
            Self::PrimaryForgot => f.write_str(
                "the primary does not continue the history that the store was last known by (restarted empty?): \
                 copying it would wipe the mirror",
            ),
            Self::Stranger => f.write_str(
                "its data belongs to another history, which the primary does not continue: copying would wipe it",
            ),
            Self::Diverged { bytes } => {
                write!(f, "{bytes} bytes were written to it after the histories parted: copying would lose them")
            }
            Self::PrimaryBehind { bytes } => {
                write!(f, "it has {bytes} bytes that the primary lacks: copying would lose them")
            }
        }
    }
}

/// What it takes to make the server seen as `mirror` copy `primary`, which is `at`.
///
/// `known` is the history that the store was last known by (from the registry or from earlier looks), if any.
#[must_use]
pub fn plan(
    mirror: &Observation,
    primary: &Observation,
    at: &EndpointId,
    known: Option<&str>,
    order: Order,
) -> Setup {
    let discard = order == Order::Discard;
    if let Some(who) = mirror.managed_by.as_ref().or(primary.managed_by.as_ref()) {
        return Setup::Refuse(Why::ManagedBy(who.clone()));
    }
    if primary.role != Role::Primary {
        return Setup::Refuse(Why::NotPrimary);
    }
    if primary.loading {
        return Setup::Refuse(Why::PrimaryLoading);
    }
    if let Role::Mirror { of: Some(of), .. } = &mirror.role
        && of == at
    {
        return Setup::Nothing;
    }
    if mirror.loading {
        return Setup::Refuse(Why::Loading);
    }
    let Some(lineage) = Lineage::of(primary) else { return Setup::Refuse(Why::Nameless) };
    if lineage.continues(&mirror.history, mirror.position) {
        let ahead = primary.position.lag_behind(mirror.position);
        return match ahead {
            0 => Setup::Repoint { full_copy: false },
            _ if discard => Setup::Repoint { full_copy: true },
            bytes => Setup::Refuse(Why::PrimaryBehind { bytes }),
        };
    }
    if discard {
        return Setup::Repoint { full_copy: true };
    }
    if let Some((name, until)) = &lineage.previous
        && *name == mirror.history
    {
        return Setup::Refuse(Why::Diverged { bytes: until.lag_behind(mirror.position) });
    }
    let descends = |name: &str| {
        lineage.history == name || lineage.previous.as_ref().is_some_and(|(before, _)| before == name)
    };
    if known.is_some_and(|known| !known.is_empty() && !descends(known)) {
        return Setup::Refuse(Why::PrimaryForgot);
    }
    // A mirror in the middle of its first copy has nothing yet either.
    let copying = matches!(mirror.role, Role::Mirror { link: Link::Synchronizing, .. });
    if mirror.position.0 == 0 && mirror.previous_history.is_none() && !copying {
        return Setup::Repoint { full_copy: true };
    }
    Setup::Refuse(Why::Stranger)
}

#[cfg(test)]
mod tests;
