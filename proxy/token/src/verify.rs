//! Whether a token is good here and now.
//!
//! A signature is verified once per token (PROTOCOL 3.3); everything else that may have changed since is compared each time:
//! key, epoch, time, revocation, and what the token is used for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foretoken_types::{Epoch, StoreId};
use sha2::{Digest as _, Sha256};

use crate::{
    Access, Block, Claims, Fingerprint, Form, KeyId, PublicKeys, Refusal, Revocations, SKEW, ServiceId,
    UnixMillis, compact, paseto,
};

/// How many verified tokens are remembered.
pub const CACHE_CAPACITY: usize = 1024;

/// A token as it was received.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// The form inside.
    Compact(&'a [u8]),
    /// The form outside.
    Paseto(&'a str),
}

impl Presented<'_> {
    fn form(self) -> Form {
        match self {
            Self::Compact(_) => Form::Compact,
            Self::Paseto(_) => Form::Paseto,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Compact(token) => token,
            Self::Paseto(token) => token.as_bytes(),
        }
    }

    fn key_id(self) -> Result<KeyId, Refusal> {
        match self {
            Self::Compact(token) => compact::key_id(token),
            Self::Paseto(token) => paseto::key_id(token),
        }
    }

    fn open(self, key: &crate::VerifyingKey) -> Result<Claims, Refusal> {
        match self {
            Self::Compact(token) => compact::open(token, key),
            Self::Paseto(token) => paseto::open(token, key),
        }
    }
}

/// What a token is used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// One key.
    Key(&'a [u8]),
    /// All keys of a block.
    Block(&'a Block),
    /// No data: a greeting, a status.
    Nothing,
}

/// What a token is used for.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// Who uses it.
    pub service: &'a ServiceId,
    /// The certificate or connection that it came over; `None` when there is none. A token that is bound to one is then
    /// refused.
    pub holder: Option<Fingerprint>,
    /// On what.
    pub target: Target<'a>,
    /// To do what.
    pub access: Access,
}

#[derive(Debug)]
struct Verified {
    claims: Arc<Claims>,
    key: KeyId,
}

/// Verifies tokens of one store.
#[derive(Debug)]
pub struct Verifier {
    store: StoreId,
    epoch: Epoch,
    cache: HashMap<(Form, [u8; 32]), Verified>,
    /// Oldest first; as long as the cache.
    order: VecDeque<(Form, [u8; 32])>,
    signatures: u64,
}

impl Verifier {
    /// For the tokens of `store`, in which `epoch` is in force.
    #[must_use]
    pub fn new(store: StoreId, epoch: Epoch) -> Self {
        Self { store, epoch, cache: HashMap::new(), order: VecDeque::new(), signatures: 0 }
    }

    /// The epoch in force is `epoch` now, unless it is older than what is known already. All tokens of the epoch before end.
    pub fn moved_to(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.cache.clear();
            self.order.clear();
        }
    }

    /// How many signatures were verified; what the cache spared us is not counted.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.signatures
    }

    /// What the token says, if it is good for that use at `now`.
    ///
    /// # Errors
    /// The first reason against it. A reason that tells something about the token is given only to who holds it.
    pub fn verify(
        &mut self,
        token: Presented<'_>,
        wanted: &Use<'_>,
        keys: &PublicKeys,
        revoked: &Revocations,
        now: UnixMillis,
    ) -> Result<Arc<Claims>, Refusal> {
        let place = (token.form(), Sha256::digest(token.bytes()).into());
        if let Some(known) = self.cache.get(&place) {
            // The key may have been withdrawn since.
            keys.find(token.form(), known.key, now).ok_or(Refusal::UnknownKey(known.key))?;
            self.judge(&known.claims, wanted, revoked, now)?;
            return Ok(Arc::clone(&known.claims));
        }
        let id = token.key_id()?;
        let key = keys.find(token.form(), id, now).ok_or(Refusal::UnknownKey(id))?;
        self.signatures += 1;
        let claims = Arc::new(token.open(key)?);
        self.judge(&claims, wanted, revoked, now)?;
        if self.order.len() >= CACHE_CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.cache.remove(&oldest);
        }
        self.order.push_back(place);
        self.cache.insert(place, Verified { claims: Arc::clone(&claims), key: id });
        Ok(claims)
    }

    fn judge(
        &self,
        claims: &Claims,
        wanted: &Use<'_>,
        revoked: &Revocations,
        now: UnixMillis,
    ) -> Result<(), Refusal> {
        if claims.holder.is_some() && claims.holder != wanted.holder {
            return Err(Refusal::OtherHolder);
        }
        if claims.service != *wanted.service {
            return Err(Refusal::OtherService(claims.service.clone()));
        }
        if claims.store != self.store {
            return Err(Refusal::OtherStore(claims.store.clone()));
        }
        standing(claims, self.epoch, revoked, now)?;
        let covered = match wanted.target {
            Target::Key(key) => claims.block.covers_key(key),
            Target::Block(block) => claims.block.covers(block),
            Target::Nothing => true,
        };
        if !covered {
            return Err(Refusal::OtherBlock(claims.block.clone()));
        }
        let missing = wanted.access.without(claims.access);
        if !missing.is_empty() {
            return Err(Refusal::NotAllowed { tier: claims.tier, missing });
        }
        Ok(())
    }
}

/// Whether the token lives, whoever uses it for whatever: epoch, revocation, time (PROTOCOL 3.4, rule 4, in that order).
pub(crate) fn standing(
    claims: &Claims,
    current: Epoch,
    revoked: &Revocations,
    now: UnixMillis,
) -> Result<(), Refusal> {
    if claims.epoch < current {
        return Err(Refusal::OldEpoch { token: claims.epoch, current });
    }
    if claims.epoch > current {
        return Err(Refusal::FutureEpoch { token: claims.epoch, current });
    }
    if revoked.contains(claims.id, now) {
        return Err(Refusal::Revoked);
    }
    if now.after(SKEW) < claims.not_before {
        return Err(Refusal::NotYet(claims.not_before));
    }
    if now >= claims.expires_at.after(SKEW) {
        return Err(Refusal::Expired(claims.expires_at));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
