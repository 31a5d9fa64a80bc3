//! The tokens that were given and still matter: bounded, and swept by their end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foretoken_types::BootInstant;
use serde::{Deserialize, Serialize};

use super::Denied;
use crate::{Access, Claims, Form, Now, ServiceId, TokenId};

/// How many tokens are remembered, of all services.
pub const MAX_TOKENS: usize = 4096;
/// How many of one service, so that one that asks in a loop leaves room for the others.
pub const MAX_TOKENS_PER_SERVICE: usize = 1024;
/// For so long it is known that a token *has expired*; later it is only unknown. Given up first when room is needed.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) claims: Arc<Claims>,
    pub(super) origin: Origin,
    /// The end on our own clock.
    pub(super) deadline: BootInstant,
}

/// What is known of a token beyond what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The first token of the row of refreshes in which this one stands.
    pub(super) lineage: TokenId,
    /// The most that this lineage was ever promised. Each token of it gives so much of it as its tier may.
    pub(super) ceiling: Access,
    /// A T1 that lies beside a running T3.
    pub(super) in_advance: bool,
    pub(super) form: Form,
}

impl Entry {
    /// Ended on either clock: ours can't be set back, and the other one is what third parties go by.
    pub(super) fn has_ended(&self, now: Now) -> bool {
        now.boot >= self.deadline || now.wall >= self.claims.expires_at
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<TokenId, Entry>,
    of_service: HashMap<ServiceId, usize>,
}

impl Ledger {
    pub(super) fn get(&self, id: TokenId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn insert(&mut self, entry: Entry, now: Now) -> Result<(), Denied> {
        if self.full(&entry.claims.service).is_some() {
            self.retain(|entry| !entry.has_ended(now));
        }
        if let Some(most) = self.full(&entry.claims.service) {
            return Err(Denied::Full { most });
        }
        *self.of_service.entry(entry.claims.service.clone()).or_default() += 1;
        if let Some(replaced) = self.entries.insert(entry.claims.id, entry) {
            let count = self.of_service.entry(replaced.claims.service.clone()).or_default();
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: TokenId) {
        let Some(removed) = self.entries.remove(&id) else { return };
        let service = &removed.claims.service;
        let left = self.of_service.get(service).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => self.of_service.remove(service),
            left => self.of_service.insert(service.clone(), left),
        };
    }

    pub(super) fn sweep(&mut self, now: Now) {
        self.retain(|entry| now.boot < entry.deadline + REMEMBERED);
    }

    fn full(&self, service: &ServiceId) -> Option<usize> {
        if self.entries.len() >= MAX_TOKENS {
            return Some(MAX_TOKENS);
        }
        let of_service = self.of_service.get(service).copied().unwrap_or(0);
        (of_service >= MAX_TOKENS_PER_SERVICE).then_some(MAX_TOKENS_PER_SERVICE)
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.entries.retain(|_, entry| keep(entry));
        self.of_service.clear();
        for entry in self.entries.values() {
            *self.of_service.entry(entry.claims.service.clone()).or_default() += 1;
        }
    }
}
