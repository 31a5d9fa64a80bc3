//! Single tokens that were taken back before their end (`revoked/<token id>` of PROTOCOL 2).

use std::collections::BTreeMap;

use crate::{SKEW, TokenId, UnixMillis};

/// How many are remembered. Tokens live for seconds, so this many are taken back only when something is very wrong.
pub const MAX_REVOCATIONS: usize = 8192;

/// The ids of tokens that are good no more although they have not expired.
///
/// It forgets none before its end. When there are more than [`MAX_REVOCATIONS`] it takes every token for revoked until the
/// last of those that it had no room for has ended: seconds without service, and not a token that was taken back in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    until: BTreeMap<TokenId, UnixMillis>,
    all_until: UnixMillis,
}

impl Revocations {
    /// Takes back the token `id`, which expires at `expires_at`.
    pub fn add(&mut self, id: TokenId, expires_at: UnixMillis, now: UnixMillis) {
        if self.until.len() >= MAX_REVOCATIONS && !self.until.contains_key(&id) {
            self.sweep(now);
            if self.until.len() >= MAX_REVOCATIONS {
                self.all_until = self.all_until.max(expires_at.after(SKEW));
                return;
            }
        }
        let until = self.until.entry(id).or_default();
        *until = expires_at.after(SKEW).max(*until);
    }

    /// Whether the token `id` was taken back.
    #[must_use]
    pub fn contains(&self, id: TokenId, now: UnixMillis) -> bool {
        now < self.all_until || self.until.contains_key(&id)
    }

    /// Until when it has to be remembered that the token `id` was taken back, if it was by its id.
    #[must_use]
    pub fn until(&self, id: TokenId) -> Option<UnixMillis> {
        self.until.get(&id).copied()
    }

    /// Forgets those that have expired everywhere.
    pub fn sweep(&mut self, now: UnixMillis) {
        self.until.retain(|_, until| now < *until);
    }

    /// What is remembered: ids, and from when on they need not be.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, UnixMillis)> {
        self.until.iter().map(|(id, until)| (*id, *until))
    }
}

#[cfg(test)]
mod tests;
