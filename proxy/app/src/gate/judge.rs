//! Whether who presents a token is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use foretoken_token::{
    Access, Block, Claims, Fingerprint, Presented, Refusal, Revocations, SKEW, ServiceId, Target, TokenId,
    UnixMillis, Use, Verifier,
};
use foretoken_types::{EndpointId, Epoch, StoreId};

use super::word::Word;
use crate::passes::SIDECAR;

/// Tokens that were presented and have not expired: each is good for one connection. They live for seconds, so this many
/// are 30 000 new connections a second.
const SEEN_MAX: usize = 65_536;

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The token is not good.
    #[error("{0}")]
    Token(#[from] Refusal),
    /// It has let a connection in already.
    #[error("it was presented before: each connection brings a token of its own")]
    Replayed,
    /// It is for another server.
    #[error("for endpoint {0}, and this gate stands in front of {1}")]
    OtherEndpoint(EndpointId, EndpointId),
    /// It only reads, and this server takes writes: the gate can't tell the one from the other.
    #[error("it gives {0} only, and this server is the primary: present a token that gives write")]
    ReadsOnly(Access),
    /// Too many tokens are remembered.
    #[error("more than {SEEN_MAX} tokens were presented within their life; try again in a moment")]
    TooMany,
}

impl Refused {
    /// The label in metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.as_str(),
            Self::Replayed => "replayed",
            Self::OtherEndpoint(..) => "other_endpoint",
            Self::ReadsOnly(_) => "reads_only",
            Self::TooMany => "too_many",
        }
    }

    /// Whether the next word of the sidecar may make it good: the token is ahead of what was heard.
    pub(crate) const fn may_change(&self) -> bool {
        matches!(self, Self::Token(Refusal::FutureEpoch { .. } | Refusal::UnknownKey(_)))
    }
}

/// Every reason, for the metrics.
pub(crate) const REASONS: [&str; 22] = [
    "malformed",
    "unknown_key",
    "forged",
    "not_yet",
    "expired",
    "other_service",
    "other_store",
    "other_block",
    "old_epoch",
    "future_epoch",
    "other_holder",
    "revoked",
    "not_allowed",
    "replayed",
    "other_endpoint",
    "reads_only",
    "too_many",
    "no_token",
    "too_long",
    "late",
    "silence",
    "full",
];

/// Judges the tokens of one gate.
#[derive(Debug)]
pub(crate) struct Judge {
    endpoint: EndpointId,
    service: ServiceId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    verifier: Verifier,
    seen: Seen,
}

/// The tokens that have let somebody in, by when they are good no more anyway.
#[derive(Debug, Default)]
struct Seen {
    ids: BTreeMap<TokenId, UnixMillis>,
    ends: BTreeSet<(UnixMillis, TokenId)>,
}

impl Seen {
    fn add(&mut self, claims: &Claims, now: UnixMillis) -> Result<(), Refused> {
        while let Some((end, id)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, id));
            self.ids.remove(&id);
        }
        if self.ids.contains_key(&claims.id) {
            return Err(Refused::Replayed);
        }
        if self.ids.len() >= SEEN_MAX {
            return Err(Refused::TooMany);
        }
        // As long as the verifier takes it, and a little longer.
        let end = claims.expires_at.after(2 * SKEW);
        self.ids.insert(claims.id, end);
        self.ends.insert((end, claims.id));
        Ok(())
    }
}

impl Judge {
    pub(crate) fn new(store: StoreId, endpoint: EndpointId) -> Self {
        let state = State { verifier: Verifier::new(store, Epoch::default()), seen: Seen::default() };
        Self { endpoint, service: ServiceId::from(SIDECAR), state: Mutex::new(state) }
    }

    /// The epoch of the connection that `token` lets in.
    ///
    /// The gate does not look into what passes, so a token has to cover all of the store, and to give writes where writes
    /// are taken. `admin` lets control connections in, whose work begins where the right to write ends.
    pub(crate) fn admit(
        &self,
        token: &[u8],
        holder: Option<Fingerprint>,
        word: &Word,
        now: UnixMillis,
    ) -> Result<Epoch, Refused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.verifier.moved_to(word.epoch);
        let wanted =
            Use { service: &self.service, holder, target: Target::Block(&Block::ALL), access: Access::NONE };
        let presented = Presented::Compact(token);
        let none = Revocations::default();
        let claims = state.verifier.verify(presented, &wanted, &word.keys, &none, now)?;
        match &claims.endpoint {
            Some(endpoint) if *endpoint != self.endpoint => {
                return Err(Refused::OtherEndpoint(endpoint.clone(), self.endpoint.clone()));
            }
            _ => {}
        }
        let writes = claims.access.contains(Access::WRITE) || claims.access.contains(Access::ADMIN);
        // A mirror refuses writes by itself; who is no mirror for sure is taken for the primary.
        let mirror = word.primary.as_ref().is_some_and(|primary| *primary != self.endpoint);
        if !writes && !mirror {
            return Err(Refused::ReadsOnly(claims.access));
        }
        state.seen.add(&claims, now)?;
        Ok(claims.epoch)
    }
}

#[cfg(test)]
mod tests;
