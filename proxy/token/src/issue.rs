//! Who gets which token, and what became of it (PROTOCOL 3.4).
//!
//! The issuer decides and remembers; [`crate::compact::seal`] and [`crate::paseto::seal`] sign what it gives.

mod denied;
mod ledger;
mod report;
mod saved;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foretoken_types::{BootInstant, EndpointId, Epoch, StoreId};

pub use denied::Denied;
pub use ledger::{MAX_TOKENS, MAX_TOKENS_PER_SERVICE};
pub use report::Status;
pub use saved::Saved;

use crate::{
    Access, Block, Caller, Claims, Form, Lives, Now, Revocations, SKEW, Situation, Tier, TokenId, UnixMillis,
    random,
};
use ledger::{Entry, Ledger, Origin};

/// The right to issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// g: which leadership it is.
    pub generation: u64,
    /// D_o: nothing is issued from then on, whatever is believed.
    pub until: BootInstant,
}

/// A store as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// Which store.
    pub store: StoreId,
    /// On what the tier depends.
    pub situation: Situation,
    /// The epoch in force, by the registry.
    pub epoch: Epoch,
    /// Its primary, when it is known.
    pub primary: Option<EndpointId>,
    /// The right to issue, if this process has it.
    pub leadership: Option<Leadership>,
}

/// What a caller asks for, of the store of a [`StoreView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which part of it.
    pub block: Block,
    /// To do what. The token gives so much of it as its tier may; with an upgrade it gives more of it, and never more
    /// than it.
    pub access: Access,
    /// In which form. Tokens in the outside form survive a restart.
    pub form: Form,
}

/// Gives tokens and remembers them as long as they live. Bounded by [`MAX_TOKENS`] and [`MAX_TOKENS_PER_SERVICE`].
#[derive(Debug, Default)]
pub struct Issuer {
    lives: Lives,
    ledger: Ledger,
    revoked: Revocations,
    /// When the first T2 of an epoch was given; one for each store.
    provisional: HashMap<StoreId, (Epoch, BootInstant)>,
}

impl Issuer {
    /// An issuer that has given nothing yet.
    #[must_use]
    pub fn new(lives: Lives) -> Self {
        Self { lives, ..Self::default() }
    }

    /// A token of the highest tier that can be had now.
    ///
    /// # Errors
    /// [`Denied`]; nothing was given then.
    pub fn issue(
        &mut self,
        caller: &Caller,
        request: &Request,
        view: &StoreView,
        now: Now,
    ) -> Result<Arc<Claims>, Denied> {
        let leadership = leads(view, now)?;
        permitted(caller, request, view)?;
        let draft = Draft { caller, request, view, leadership, now };
        self.give(&draft, view.situation.tier(), None)
    }

    /// The T1: in advance while the store is at risk, beside a T3 that it does not touch, or the one that is left when there
    /// is no T3. `None` while neither is the case.
    ///
    /// # Errors
    /// [`Denied`]; nothing was given then.
    pub fn issue_predictive(
        &mut self,
        caller: &Caller,
        request: &Request,
        view: &StoreView,
        now: Now,
    ) -> Result<Option<Arc<Claims>>, Denied> {
        let leadership = leads(view, now)?;
        permitted(caller, request, view)?;
        if !view.situation.gives_temporary() {
            return Ok(None);
        }
        let draft = Draft { caller, request, view, leadership, now };
        self.give(&draft, Tier::Temporary, None).map(Some)
    }

    /// The next token of the lineage of `id`: the same block, never more access, and the tier that can be had now. A T1 that
    /// was given in advance stays one until the state has changed.
    ///
    /// When the epoch has moved the caller is told so once, and names the new epoch as `accepted` to go on in it: it has
    /// then learnt that its connections lead to an old primary.
    ///
    /// # Errors
    /// [`Denied::Moved`] when another epoch is in force than the token's, or other [`Denied`].
    pub fn refresh(
        &mut self,
        id: TokenId,
        caller: &Caller,
        accepted: Option<Epoch>,
        view: &StoreView,
        now: Now,
    ) -> Result<Arc<Claims>, Denied> {
        let leadership = leads(view, now)?;
        let entry = self.ledger.get(id).ok_or(Denied::Unknown)?;
        let (claims, origin) = (Arc::clone(&entry.claims), entry.origin);
        let theirs = claims.service == caller.service
            && claims.store == view.store
            && (claims.holder.is_none() || claims.holder == caller.holder);
        if !theirs {
            return Err(Denied::Unknown);
        }
        if self.revoked.contains(id, now.wall) {
            return Err(Denied::Revoked);
        }
        if entry.has_ended(now) {
            return Err(Denied::Expired);
        }
        match view.epoch.cmp(&claims.epoch) {
            Ordering::Equal => {}
            Ordering::Greater if accepted == Some(view.epoch) => {}
            Ordering::Greater | Ordering::Less => {
                return Err(Denied::Moved { new_epoch: view.epoch, endpoint: view.primary.clone() });
            }
        }
        // What the configuration took away since is gone for good, and what it added is for a new token.
        let ceiling = origin.ceiling & caller.may(&view.store, &claims.block);
        if ceiling.is_empty() {
            return Err(Denied::NotPermitted { missing: origin.ceiling });
        }
        let stays = origin.in_advance && view.situation.in_advance();
        let tier = if stays { Tier::Temporary } else { view.situation.tier() };
        let request = Request { block: claims.block.clone(), access: ceiling, form: origin.form };
        // The holder stays the one of the lineage, also where a caller with a certificate refreshes a token without one.
        let caller = Caller { holder: claims.holder, ..caller.clone() };
        let draft = Draft { caller: &caller, request: &request, view, leadership, now };
        self.give(&draft, tier, Some(origin.lineage))
    }

    /// Takes back a token, and all that came and could come of it by refreshing. Says how many were known; one that is not,
    /// perhaps given before a restart, is refused all the same for as long as it can live.
    pub fn revoke(&mut self, id: TokenId, now: Now) -> usize {
        let family = self.family(id);
        if family.is_empty() {
            self.revoked.add(id, now.wall.after(self.lives.longest()), now.wall);
        }
        for (id, expires_at) in &family {
            self.revoked.add(*id, *expires_at, now.wall);
        }
        family.len()
    }

    /// The known tokens of the lineage of `id`, itself included, each with its end: what [`Issuer::revoke`] takes back.
    #[must_use]
    pub fn family(&self, id: TokenId) -> Vec<(TokenId, UnixMillis)> {
        let Some(lineage) = self.ledger.get(id).map(|entry| entry.origin.lineage) else { return Vec::new() };
        let family = self.ledger.iter().filter(|entry| entry.origin.lineage == lineage);
        family.map(|entry| (entry.claims.id, entry.claims.expires_at)).collect()
    }

    /// Takes back every token that gives more than `may` says, with its lineage, and returns their ids: what the
    /// configuration takes away is gone at once, and not when the last token of it ends.
    pub fn revoke_beyond(&mut self, may: impl Fn(&Claims) -> Access, now: Now) -> Vec<TokenId> {
        let lives = |entry: &&Entry| now.wall < entry.claims.expires_at.after(SKEW);
        let beyond = |entry: &&Entry| !may(&entry.claims).contains(entry.claims.access);
        let lineages: HashSet<_> =
            self.ledger.iter().filter(lives).filter(beyond).map(|entry| entry.origin.lineage).collect();
        let mut revoked = Vec::new();
        for entry in self.ledger.iter().filter(lives).filter(|entry| lineages.contains(&entry.origin.lineage))
        {
            // By its id: that all tokens are refused for a moment (see `Revocations`) does not outlast that moment.
            if self.revoked.until(entry.claims.id).is_none() {
                self.revoked.add(entry.claims.id, entry.claims.expires_at, now.wall);
                revoked.push(entry.claims.id);
            }
        }
        revoked
    }

    /// Forgets a token that was given and never handed out, because it could not be written down.
    pub fn withdraw(&mut self, id: TokenId) {
        self.ledger.remove(id);
    }

    /// What was taken back, for verifiers in this process and for `revoked/`.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.revoked
    }

    /// Forgets what has ended. To be called now and then; the bounds hold without it.
    pub fn sweep(&mut self, now: Now) {
        self.ledger.sweep(now);
        self.revoked.sweep(now.wall);
    }

    fn give(
        &mut self,
        draft: &Draft<'_>,
        tier: Tier,
        lineage: Option<TokenId>,
    ) -> Result<Arc<Claims>, Denied> {
        let Draft { caller, request, view, leadership, now } = *draft;
        let access = request.access & tier.may();
        if access.is_empty() {
            return Err(Denied::NothingNow { tier });
        }
        if request.form == Form::Compact && caller.holder.is_none() {
            return Err(Denied::NoHolder);
        }
        let endpoint =
            if tier.names_endpoint() { Some(view.primary.clone().ok_or(Denied::NoPrimary)?) } else { None };
        let first = self.first_provisional(view, now);
        let life = self.lives.of(tier, now.boot.since(first)).ok_or(Denied::ProvisionalOver)?;
        let id = TokenId(random::bytes()?);
        let claims = Arc::new(Claims {
            id,
            service: caller.service.clone(),
            store: view.store.clone(),
            block: request.block.clone(),
            endpoint,
            tier,
            access,
            epoch: view.epoch,
            generation: leadership.generation,
            issued_at: now.wall,
            not_before: now.wall,
            expires_at: now.wall.after(life),
            holder: caller.holder,
        });
        claims.check()?;
        let origin = Origin {
            lineage: lineage.unwrap_or(id),
            ceiling: request.access,
            in_advance: tier == Tier::Temporary && view.situation.in_advance(),
            form: request.form,
        };
        let entry = Entry { claims: Arc::clone(&claims), origin, deadline: now.boot + life };
        self.ledger.insert(entry, now)?;
        if tier == Tier::Provisional {
            self.provisional.insert(view.store.clone(), (view.epoch, first));
        }
        Ok(claims)
    }

    /// When the first T2 of this epoch was given: now, if there was none.
    fn first_provisional(&self, view: &StoreView, now: Now) -> BootInstant {
        let of_epoch = self.provisional.get(&view.store).filter(|(epoch, _)| *epoch == view.epoch);
        of_epoch.map_or(now.boot, |(_, first)| *first)
    }
}

/// All that a token is made from.
struct Draft<'a> {
    caller: &'a Caller,
    request: &'a Request,
    view: &'a StoreView,
    leadership: Leadership,
    now: Now,
}

fn leads(view: &StoreView, now: Now) -> Result<Leadership, Denied> {
    view.leadership.filter(|leadership| now.boot < leadership.until).ok_or(Denied::NotLeader)
}

fn permitted(caller: &Caller, request: &Request, view: &StoreView) -> Result<(), Denied> {
    let missing = request.access.without(caller.may(&view.store, &request.block));
    if missing.is_empty() { Ok(()) } else { Err(Denied::NotPermitted { missing }) }
}

#[cfg(test)]
mod tests;
