//! What is told about tokens that were given.

use std::time::Duration;

use foretoken_types::{Epoch, StoreId};

use super::Issuer;
use super::ledger::Entry;
use crate::verify::standing;
use crate::{Access, Block, Form, Now, Refusal, ServiceId, Tier, TokenId};

/// What became of a token (`TokenStatusCheck`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which token.
    pub id: TokenId,
    /// Why it is not good now; `None`: it is.
    pub reason: Option<Refusal>,
    /// What it is worth.
    pub tier: Tier,
    /// What it gives.
    pub access: Access,
    /// To whom it was given.
    pub service: ServiceId,
    /// For which store.
    pub store: StoreId,
    /// For which part of it.
    pub block: Block,
    /// In which epoch.
    pub epoch: Epoch,
    /// The epoch in force.
    pub current_epoch: Epoch,
    /// How long it still lives, if nothing happens; zero when it has ended.
    pub expires_in: Duration,
    /// Whether it was taken back.
    pub revoked: bool,
}

impl Status {
    /// Whether it is good now.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.reason.is_none()
    }
}

impl Issuer {
    /// Which store a token is for, to look up the [`super::StoreView`] that the other calls want.
    #[must_use]
    pub fn store_of(&self, id: TokenId) -> Option<&StoreId> {
        self.ledger.get(id).map(|entry| &entry.claims.store)
    }

    /// In which form a token was given.
    #[must_use]
    pub fn form_of(&self, id: TokenId) -> Option<Form> {
        self.ledger.get(id).map(|entry| entry.origin.form)
    }

    /// What became of a token; `current` is the epoch in force of its store. `None` when it is not known, or has ended so
    /// long ago that it is forgotten. Whether the caller may know is for the edge to say: the answer names the service.
    #[must_use]
    pub fn status(&self, id: TokenId, current: Epoch, now: Now) -> Option<Status> {
        self.ledger.get(id).map(|entry| self.report(entry, current, now))
    }

    /// The living tokens of a service (or of all) on a store, those that end first first.
    #[must_use]
    pub fn list(
        &self,
        service: Option<&ServiceId>,
        store: &StoreId,
        current: Epoch,
        now: Now,
    ) -> Vec<Status> {
        let asked = |entry: &&Entry| {
            entry.claims.store == *store
                && service.is_none_or(|service| entry.claims.service == *service)
                && !entry.has_ended(now)
        };
        let mut list: Vec<_> =
            self.ledger.iter().filter(asked).map(|entry| self.report(entry, current, now)).collect();
        list.sort_by_key(|status| (status.expires_in, status.id));
        list
    }

    fn report(&self, entry: &Entry, current: Epoch, now: Now) -> Status {
        let claims = &entry.claims;
        let ended = entry.has_ended(now);
        let reason = standing(claims, current, &self.revoked, now.wall).err();
        Status {
            id: claims.id,
            // Where it was given no skew has to be allowed for.
            reason: reason.or_else(|| ended.then(|| Refusal::Expired(claims.expires_at))),
            tier: claims.tier,
            access: claims.access,
            service: claims.service.clone(),
            store: claims.store.clone(),
            block: claims.block.clone(),
            epoch: claims.epoch,
            current_epoch: current,
            expires_in: if ended { Duration::ZERO } else { now.boot.until(entry.deadline) },
            revoked: self.revoked.contains(claims.id, now.wall),
        }
    }
}
