//! What a restart keeps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Issuer;
use super::ledger::{Entry, Origin};
use crate::{Claims, Error, Form, Now, TokenId, UnixMillis};

/// The format of [`Saved`]. Higher ones are refused.
pub(super) const FORMAT: u32 = 1;

/// What must survive a restart (PROTOCOL 3.4, rule 6): tokens that were given through the API, and revocations. Leases never
/// do. The caller writes it down, and syncs it, before it hands out the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub(super) format: u32,
    pub(super) tokens: Vec<SavedToken>,
    pub(super) revoked: Vec<(TokenId, UnixMillis)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedToken {
    pub(super) claims: Claims,
    pub(super) origin: Origin,
}

impl Issuer {
    /// What has to be on disk: the living tokens of the outside form, and revocations.
    #[must_use]
    pub fn export(&self, now: Now) -> Saved {
        let kept = |entry: &&Entry| entry.origin.form == Form::Paseto && !entry.has_ended(now);
        let saved = |entry: &Entry| SavedToken { claims: (*entry.claims).clone(), origin: entry.origin };
        let mut tokens: Vec<_> = self.ledger.iter().filter(kept).map(saved).collect();
        tokens.sort_by_key(|token| token.claims.id);
        Saved { format: FORMAT, tokens, revoked: self.revoked.iter().collect() }
    }

    /// One token of it alone, for who keeps each in a row of its own. `None`: it is not known, or is a lease.
    #[must_use]
    pub fn export_token(&self, id: TokenId) -> Option<Saved> {
        let entry = self.ledger.get(id).filter(|entry| entry.origin.form == Form::Paseto)?;
        let token = SavedToken { claims: (*entry.claims).clone(), origin: entry.origin };
        Some(Saved { format: FORMAT, tokens: vec![token], revoked: Vec::new() })
    }

    /// One revocation of it alone, and until when it has to be kept. `None`: there is none of that token.
    #[must_use]
    pub fn export_revocation(&self, id: TokenId) -> Option<(Saved, UnixMillis)> {
        let until = self.revoked.until(id)?;
        Some((Saved { format: FORMAT, tokens: Vec::new(), revoked: vec![(id, until)] }, until))
    }

    /// Takes in what was on disk, and says how many tokens of it still live. They stay in their epoch: where a restart
    /// raises it, their holders are told to move on.
    ///
    /// # Errors
    /// [`Error::Newer`] for a format that is not known here; nothing was taken in then.
    pub fn import(&mut self, saved: Saved, now: Now) -> Result<usize, Error> {
        if saved.format > FORMAT {
            return Err(Error::Newer {
                found: u8::try_from(saved.format).unwrap_or(u8::MAX),
                known: FORMAT as u8,
            });
        }
        for (id, until) in saved.revoked.into_iter().filter(|(_, until)| now.wall < *until) {
            // `until` has the skew in it already; a moment more does no harm.
            self.revoked.add(id, until, now.wall);
        }
        let mut taken = 0;
        for SavedToken { claims, origin } in saved.tokens {
            // Our own clock began anew. A wall clock that was set back must not make a token older than it can get.
            let left = now.wall.until(claims.expires_at).min(self.lives.longest());
            let entry = Entry { claims: Arc::new(claims), origin, deadline: now.boot + left };
            // The ceiling is what refreshes give: it must hold what the token gave.
            let sound = entry.claims.check().is_ok() && origin.ceiling.contains(entry.claims.access);
            let new = self.ledger.get(entry.claims.id).is_none() && !entry.has_ended(now);
            if sound && new && self.ledger.insert(entry, now).is_ok() {
                taken += 1;
            }
        }
        Ok(taken)
    }
}
