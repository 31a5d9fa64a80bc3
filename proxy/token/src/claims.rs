//! What a token says.

use foretoken_types::{EndpointId, Epoch, StoreId};
use serde::{Deserialize, Serialize};

use crate::{Access, Block, Fingerprint, ServiceId, Tier, TokenId, UnixMillis};

/// The version of what is said (`v`), written into both forms. A verifier refuses what it does not know.
pub const VERSION: u8 = 1;

/// The longest name of a service, a store or an endpoint, in bytes.
pub const MAX_NAME: usize = 128;

/// The content of a token (PROTOCOL 3.3). `v` and `kid` belong to the forms, which write them outside of this.
///
/// The order of the fields is the order on the wire of the compact form: to change it is to change [`VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Names this token, in logs too.
    pub id: TokenId,
    /// `svc`: who asked for it.
    pub service: ServiceId,
    /// Which store it is for.
    pub store: StoreId,
    /// `blk`: which part of it.
    pub block: Block,
    /// `ep`: the primary that it is for; none for a T1.
    pub endpoint: Option<EndpointId>,
    /// What it is worth.
    pub tier: Tier,
    /// `acc`: what it lets its holder do. Never more than the tier may.
    pub access: Access,
    /// `e`: the epoch in which it was given, and with which it ends.
    pub epoch: Epoch,
    /// `g`: which leadership gave it.
    pub generation: u64,
    /// `iat`: when it was given.
    pub issued_at: UnixMillis,
    /// `nbf`: from when it is good.
    pub not_before: UnixMillis,
    /// `exp`: until when it is good, for third parties. The holder has a deadline of its own, on its own clock.
    pub expires_at: UnixMillis,
    /// `cnf`: who holds it. None: whoever has it, which is possible in the outside form only.
    pub holder: Option<Fingerprint>,
}

/// What is wrong with claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClaims {
    /// A name that is empty, too long or not printable.
    #[error("{0} must be 1 to 128 bytes without control characters")]
    Name(&'static str),
    /// A T2 or T3 without an endpoint, or a T1 with one.
    #[error("a token names its endpoint unless it is temporary")]
    Endpoint,
    /// No right at all, or one that the tier does not have.
    #[error("a {tier} token can't give {access}")]
    Access {
        /// The tier.
        tier: Tier,
        /// What it was to give.
        access: Access,
    },
    /// Times out of order.
    #[error("a token is given, then good, then over: iat <= nbf < exp")]
    Times,
}

impl Claims {
    /// Whether they are possible at all; both forms ask this before they sign and after they have verified.
    ///
    /// # Errors
    /// The first fault that was found.
    pub fn check(&self) -> Result<(), BadClaims> {
        name("service", self.service.as_str())?;
        name("store", self.store.as_str())?;
        if let Some(endpoint) = &self.endpoint {
            name("endpoint", endpoint.as_str())?;
        }
        if self.tier.names_endpoint() != self.endpoint.is_some() {
            return Err(BadClaims::Endpoint);
        }
        if self.access.is_empty() || !self.tier.may().contains(self.access) {
            return Err(BadClaims::Access { tier: self.tier, access: self.access });
        }
        if self.issued_at > self.not_before || self.not_before >= self.expires_at {
            return Err(BadClaims::Times);
        }
        Ok(())
    }
}

fn name(what: &'static str, text: &str) -> Result<(), BadClaims> {
    let good = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    good.then_some(()).ok_or(BadClaims::Name(what))
}

#[cfg(test)]
mod tests;
