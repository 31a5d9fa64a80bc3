//! Why no token is given, in words that say what to do.

use foretoken_types::{EndpointId, Epoch};

use crate::{Access, BadClaims, Error, Tier};

/// Why the issuer gives no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// This issuer does not lead now, or can't be sure to (PROTOCOL 3.4, rule 1).
    #[error(
        "this sidecar may not give rights to the store now; ask again in a moment, or ask the one that leads"
    )]
    NotLeader,
    /// The configuration does not give the caller that.
    #[error(
        "the configuration does not give this service {missing} on that block; ask for less, or have it added"
    )]
    NotPermitted {
        /// What was asked for and is not given.
        missing: Access,
    },
    /// The tier that can be had now gives none of what was asked for.
    #[error(
        "only {tier} tokens can be had now, and they give nothing of what was asked for; ask again later"
    )]
    NothingNow {
        /// The tier.
        tier: Tier,
    },
    /// No endpoint is known to be the primary.
    #[error("the store has no known primary; ask again in a moment")]
    NoPrimary,
    /// The new primary was not validated in time.
    #[error("the new primary was not validated in time; see `foretoken status` for what is missing")]
    ProvisionalOver,
    /// A compact token for a caller that can't be recognised again.
    #[error(
        "a compact token is bound to a certificate or a connection, and this caller has none; ask for a PASETO"
    )]
    NoHolder,
    /// No token by that id is known, or it is somebody else's; which one is not told.
    #[error("no such token of this service; ask for a new one")]
    Unknown,
    /// The token has ended.
    #[error("the token has expired; ask for a new one")]
    Expired,
    /// The token was taken back.
    #[error("the token was revoked; ask the operator why before you ask for a new one")]
    Revoked,
    /// The primary has changed since the token was given: `409 EPOCH_MOVED`.
    #[error("epoch {new_epoch} is in force; use the endpoint that it names, and refresh with that epoch")]
    Moved {
        /// The epoch in force.
        new_epoch: Epoch,
        /// Its primary, when it is known.
        endpoint: Option<EndpointId>,
    },
    /// There are as many living tokens as can be remembered.
    #[error("{most} tokens live, which is as many as are allowed; refresh those instead of asking for more")]
    Full {
        /// The bound that was reached.
        most: usize,
    },
    /// What the token would say is not possible.
    #[error("such a token can't be: {0}")]
    Claims(#[from] BadClaims),
    /// No id could be made.
    #[error(transparent)]
    Keys(#[from] Error),
}

impl Denied {
    /// The name, as in the API and as label of a metric.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotLeader => "not_leader",
            Self::NotPermitted { .. } => "not_permitted",
            Self::NothingNow { .. } => "nothing_now",
            Self::NoPrimary => "no_primary",
            Self::ProvisionalOver => "provisional_over",
            Self::NoHolder => "no_holder",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Moved { .. } => "epoch_moved",
            Self::Full { .. } => "full",
            Self::Claims(_) => "claims",
            Self::Keys(_) => "keys",
        }
    }
}
