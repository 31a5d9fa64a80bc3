//! Why a token is refused, in words that say what to do.

use foretoken_types::{Epoch, StoreId};

use crate::{Access, Block, KeyId, ServiceId, Tier, UnixMillis};

/// Why a token is not good here and now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no token, or one of a version that is not known here.
    #[error("this is no token ({0}); send it as it was received, whole and unchanged")]
    Malformed(&'static str),
    /// No key by that name is known.
    #[error(
        "key {0} is not known or no longer valid; read the keys again (GET /v1/keys), or ask for a new token"
    )]
    UnknownKey(KeyId),
    /// The signature is not of that key, or the token was altered.
    #[error("the signature does not fit: the token was altered, or not made by us; ask for a new one")]
    Forged,
    /// It is not good yet.
    #[error("not valid before {} ms; compare this machine's clock with the issuer's", .0.0)]
    NotYet(UnixMillis),
    /// It is over.
    #[error("expired at {} ms; refresh a token at a third of its life", .0.0)]
    Expired(UnixMillis),
    /// It was given to another service.
    #[error("given to service {0}; each service asks for its own token")]
    OtherService(ServiceId),
    /// It is for another store.
    #[error("for store {0}; ask for a token of this store")]
    OtherStore(StoreId),
    /// It is for another part of the store.
    #[error("for block {0} only; ask for a token of the block that you use")]
    OtherBlock(Block),
    /// The primary has changed since: such a token authorises no write anywhere (PROTOCOL 1, I5).
    #[error(
        "of epoch {token}, and epoch {current} is in force: the primary has changed; refresh the token and use the \
         endpoint that it names"
    )]
    OldEpoch {
        /// The token's epoch.
        token: Epoch,
        /// The epoch in force.
        current: Epoch,
    },
    /// This verifier has not heard of the token's epoch yet.
    #[error("of epoch {token}, and only epoch {current} is known here yet; try again in a moment")]
    FutureEpoch {
        /// The token's epoch.
        token: Epoch,
        /// The newest epoch known here.
        current: Epoch,
    },
    /// Somebody presents it who is not its holder.
    #[error("bound to another certificate or connection; a token can't be passed on, ask for your own")]
    OtherHolder,
    /// It was taken back.
    #[error("revoked; ask the operator why before you ask for a new one")]
    Revoked,
    /// It does not give that right.
    #[error("a {tier} token that does not give {missing}; {}", remedy(*tier, *missing))]
    NotAllowed {
        /// The token's tier.
        tier: Tier,
        /// What was asked for and is not given.
        missing: Access,
    },
}

impl Refusal {
    /// The name, as in the API and as label of a metric.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownKey(_) => "unknown_key",
            Self::Forged => "forged",
            Self::NotYet(_) => "not_yet",
            Self::Expired(_) => "expired",
            Self::OtherService(_) => "other_service",
            Self::OtherStore(_) => "other_store",
            Self::OtherBlock(_) => "other_block",
            Self::OldEpoch { .. } => "old_epoch",
            Self::FutureEpoch { .. } => "future_epoch",
            Self::OtherHolder => "other_holder",
            Self::Revoked => "revoked",
            Self::NotAllowed { .. } => "not_allowed",
        }
    }
}

fn remedy(tier: Tier, missing: Access) -> &'static str {
    if tier.may().contains(missing) {
        "ask for a token with that right"
    } else {
        "refresh it when the store has a primary again"
    }
}
