//! Who is in charge: the owner record, followers, and what keeps us from managing a store (PROTOCOL 5.5, 7.4).

use std::time::Duration;

use foretoken_types::{
    Authority, BootInstant, EndpointId, Epoch, Failure, InstanceId, Observation, Operation, Persistence,
    Writers,
};

use crate::effect::Order;
use crate::endpoints::is_primary;
use crate::event::{Answer, Claimed, Rejection};
use crate::knowledge::Sent;
use crate::machine::{Machine, Phase};

/// What is known of the owner record.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) authority: Authority,
    /// Who else holds it.
    pub(crate) other: Option<InstanceId>,
    /// Until when it is ours for certain.
    until: Option<BootInstant>,
    /// Since when it is ours without a gap.
    since: Option<BootInstant>,
    /// Until when the owner knows of us, if it looks.
    registered_until: Option<BootInstant>,
    /// Until when nobody can have taken our place without our knowing: the primary has told who is in charge.
    heard_until: Option<BootInstant>,
    /// The primary has refused to renew it because it takes no writes, from anybody.
    pub(crate) unwritable: bool,
    claim: Option<Operation>,
    next_at: BootInstant,
}

impl Ownership {
    pub(crate) const fn next_at(&self) -> BootInstant {
        self.next_at
    }

    /// What the primary told counts no more: it is asked again when it is known who it is.
    pub(crate) fn forget(&mut self) {
        self.heard_until = None;
        if matches!(self.authority, Authority::Follower(_)) {
            self.authority = Authority::Undecided;
        }
    }

    /// The claim or registration that is under way.
    pub(crate) const fn claim(&self) -> Option<Operation> {
        self.claim
    }

    pub(crate) const fn is_claiming(&self) -> bool {
        self.claim.is_some()
    }
}

impl Machine {
    /// Why this sidecar may not manage the store whoever holds the owner record.
    pub(crate) fn unmanageable(&self) -> Option<String> {
        if let Some(why) = &self.params.follow {
            return Some(why.clone());
        }
        let many = self.endpoints.len() > 1;
        for endpoint in &self.endpoints {
            let found = endpoint.look.as_ref().map(|look| &look.found);
            if let Some(by) = found.and_then(|found| found.managed_by.as_ref()) {
                return Some(format!("{} is managed by {by}", endpoint.id));
            }
            if let Some(blocker) = endpoint.blockers.first() {
                return Some(format!("{}: {blocker}", endpoint.id));
            }
            // While it reads its log, Redis says that it keeps none.
            let bare = found.is_some_and(|found| {
                is_primary(found) && !found.loading && found.persistence == Persistence::None
            });
            let current = self.posture.primary.as_ref().is_none_or(|primary| *primary == endpoint.id);
            if many && bare && current {
                return Some(format!(
                    "{} keeps nothing over a restart: it would come back empty and its mirrors would wipe \
                     themselves; switch on its append-only file or snapshots",
                    endpoint.id
                ));
            }
        }
        None
    }

    /// Another instance that some endpoint names as the owner.
    pub(crate) fn owner_elsewhere(&self) -> Option<&InstanceId> {
        let owner = |found: &Observation| self.is_owned_elsewhere(found);
        let found = self.visible().find(|(_, found)| owner(found));
        found.and_then(|(_, found)| found.owner.as_ref()).map(|owner| &owner.instance)
    }

    /// Whether `found` names another sidecar that is in charge now.
    pub(crate) fn is_owned_elsewhere(&self, found: &Observation) -> bool {
        found.owner.as_ref().is_some_and(|owner| owner.instance != self.params.instance)
    }

    /// Whether another sidecar is in charge of `id` and alive: its record is there for longer than one record lives. A claim
    /// that was sent to a frozen server is carried out when that goes on, and tells nothing.
    pub(crate) fn has_living_owner(&self, id: &EndpointId) -> bool {
        let life = self.params.by_any_clock(self.params.owner_life);
        let seen = self.endpoint(id).and_then(|endpoint| endpoint.owned.as_ref().zip(endpoint.look.as_ref()));
        seen.is_some_and(|((owner, since), last)| {
            *owner != self.params.instance && last.asked.since(*since) > life
        })
    }

    /// The newest epoch that any sidecar in charge is known to have marked, also where nothing answers any more.
    pub(crate) fn newest_marker(&self) -> Option<Epoch> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.look.as_ref()?.found.marker).max()
    }

    /// Whether no other sidecar was in charge last, as far as can be told: this one began the registry's epoch in charge and
    /// nobody has marked a newer one, or nobody ever was.
    pub(crate) fn was_in_charge(&self) -> bool {
        let record = self.registry.record.as_ref();
        let marked = |marker| record.is_some_and(|record| record.owned && marker <= record.epoch);
        self.newest_marker().is_none_or(marked)
    }

    /// Whether the owner record is ours for certain now.
    pub(crate) fn owns(&self) -> bool {
        self.ownership.authority == Authority::Owner
            && self.ownership.until.is_some_and(|until| self.now < until)
    }

    /// Whether nobody else can have come to be in charge: the owner record is ours, or it has run out at a primary that takes no
    /// writes, by a look of now. Then only a switchover helps.
    pub(crate) fn is_unrivalled(&self) -> bool {
        let primary = self.posture.primary.as_ref().and_then(|id| self.fresh(id));
        let unclaimed = primary.is_some_and(|found| {
            is_primary(found) && found.refuses_writes.is_some() && !self.is_owned_elsewhere(found)
        });
        let owner = self.ownership.authority == Authority::Owner;
        self.owns() || (owner && self.ownership.unwritable && unclaimed && !self.has_lapsed())
    }

    /// Whether somebody else may have come to be in charge since the primary was last asked. Only a process that was stopped,
    /// or that could not reach the primary for very long, comes to that.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.ownership.heard_until.is_some_and(|until| self.now >= until)
    }

    /// The primary that was asked at `asked` has answered.
    pub(crate) fn heard(&mut self, asked: BootInstant) {
        // Counted from the sending, and by the store's clock: it ends a little earlier for us.
        self.ownership.heard_until = Some(asked + self.params.owner_life - self.params.fence_margin * 2);
    }

    /// From then on no lease can live that a sidecar granted which was in charge before this one, or this one in another
    /// process: it grants none when it has lapsed.
    pub(crate) fn predecessors_end(&self) -> BootInstant {
        self.started().max(self.ownership.since.unwrap_or_default()) + self.params.fence_wait()
    }

    /// Whether the loss of the primary is answered by a failover without anybody's help; else why not.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn automatic_failover(&self) -> Result<(), String> {
        if let Authority::Follower(why) = &self.ownership.authority {
            return Err(format!("this sidecar is not in charge: {why}"));
        }
        if self.params.writers != Writers::ThisSidecar {
            return Err(
                "others may write to the store (writers = \"others\"): they would not be fenced".to_owned()
            );
        }
        if let Some(other) = self.owner_elsewhere() {
            return Err(format!("sidecar {other} holds the owner record"));
        }
        if self.ownership.unwritable && !self.owns() {
            return Err(
                "the primary took no writes, so that other sidecars could not register as followers: their \
                        writes would not be fenced"
                    .to_owned(),
            );
        }
        // Whoever was registered when a primary died can't renew that, and stops to acknowledge before it ends.
        let until = self.registration();
        let last = self.endpoints.iter().filter_map(|endpoint| endpoint.look.as_ref());
        let last = last.filter(|look| self.now.since(look.asked) <= until);
        let followers = last.map(|look| look.found.followers).max().unwrap_or(0);
        if followers > 0 {
            return Err(format!(
                "{followers} other sidecar(s) are registered as followers: their writes would not be fenced"
            ));
        }
        if let Some(why) = self.unmanageable() {
            return Err(why);
        }
        if self.endpoints.len() < 2 {
            return Err("the store has no mirror".to_owned());
        }
        if !self.was_in_charge() {
            return Err("another sidecar was in charge after this one, or instead of it".to_owned());
        }
        Ok(())
    }

    /// Asks for the owner record at the primary.
    pub(crate) fn claim(&mut self, at: &EndpointId) -> Operation {
        let operation = self.order(at, Order::Claim { life: self.params.owner_life });
        self.ownership.claim = Some(operation);
        self.ownership.next_at = self.now + self.params.owner_renew;
        operation
    }

    pub(crate) fn answer_claim(
        &mut self,
        operation: Operation,
        sent: &Sent,
        result: &Result<Answer, Rejection>,
    ) {
        if self.ownership.claim != Some(operation) {
            return;
        }
        self.ownership.claim = None;
        // That somebody else holds the record is not enough to serve on: he must know of us.
        let rightless = match result {
            Ok(answer) => matches!(answer, Answer::Claimed(Claimed::HeldBy(_))),
            Err(rejection) => rejection.failure.is_silence(),
        };
        if !rightless {
            self.heard(sent.at);
        }
        match result {
            Err(Rejection { failure: Failure::NotServing | Failure::Busy, .. }) => {
                self.ownership.unwritable = true;
            }
            // Silence tells nothing of writes, and comes before a loss.
            Err(Rejection { failure, .. }) if failure.is_silence() => {}
            _ => self.ownership.unwritable = false,
        }
        match result {
            Ok(Answer::Claimed(Claimed::Held)) => {
                if !self.owns() {
                    self.ownership.since = Some(self.now);
                }
                self.ownership.other = None;
                self.ownership.until = self.ownership.heard_until;
                self.ownership.authority = Authority::Owner;
            }
            Ok(Answer::Claimed(Claimed::HeldBy(other))) => {
                self.ownership.until = None;
                self.ownership.other = Some(other.clone());
                self.ownership.authority =
                    Authority::Follower(format!("sidecar {other} holds the owner record"));
                self.register(&sent.endpoint);
            }
            Ok(_) => self.ownership.registered_until = Some(sent.at + self.registration()),
            // The primary is in trouble, takes no writes or is none any more: its health and its role will tell. Who was owner
            // stays it for as long as the record lives.
            Err(Rejection { failure: Failure::NotServing | Failure::Busy, .. }) => {}
            Err(Rejection { failure, .. }) if failure.is_silence() => {}
            Err(rejection) => {
                if !self.owns() {
                    self.ownership.other = None;
                    self.ownership.authority = Authority::Follower(format!(
                        "the owner record can't be written: {}",
                        rejection.detail
                    ));
                    if matches!(sent.order, Order::Claim { .. }) {
                        self.register(&sent.endpoint);
                    }
                }
            }
        }
    }

    /// Renews the owner record while the store serves, and gives the role up when somebody else manages the store.
    pub(crate) fn keep_ownership(&mut self) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        if let Some(why) = self.unmanageable() {
            self.ownership.until = None;
            self.ownership.other = None;
            self.ownership.authority = Authority::Follower(why);
            if self.now >= self.ownership.next_at
                && !self.ownership.is_claiming()
                && let Some(primary) = self.posture.primary.clone()
            {
                self.register(&primary);
            }
            return;
        }
        if self.now >= self.ownership.next_at
            && !self.ownership.is_claiming()
            && let Some(primary) = self.posture.primary.clone()
        {
            self.claim(&primary);
        }
    }

    /// Whether the owner has had the time to know of us.
    pub(crate) fn is_known(&self) -> bool {
        self.ownership.registered_until.is_some_and(|until| self.now < until)
    }

    /// Who comes to be in charge and was not so before: until when another sidecar may be at work that has missed it. Nobody
    /// promotes while a follower is registered.
    pub(crate) fn unsettled_until(&self) -> Option<BootInstant> {
        let until = self.ownership.since.unwrap_or(self.now) + self.settle();
        let new = self.ownership.authority == Authority::Owner && !self.was_in_charge() && !self.is_known();
        (new && self.now < until).then_some(until)
    }

    /// From a first registration to the moment from which no owner decides by looks that have missed it.
    pub(crate) fn settle(&self) -> Duration {
        self.params.fresh + self.params.fence_deadline + self.params.retry
    }

    /// How long a registration lives: longer than the last lease that is granted on the strength of it.
    fn registration(&self) -> Duration {
        self.params.owner_life + self.params.fence_wait()
    }

    /// Lets the owner, if there is one, know that its fence would not stop us. What manages a store otherwise reads no such
    /// record.
    pub(crate) fn register(&mut self, at: &EndpointId) -> Option<Operation> {
        let mut looks = self.endpoints.iter().filter_map(|endpoint| endpoint.look.as_ref());
        if looks.any(|look| look.found.managed_by.is_some()) {
            return None;
        }
        let life = self.registration();
        let operation = self.order(at, Order::RegisterFollower { life });
        self.ownership.claim = Some(operation);
        self.ownership.next_at = self.now + self.params.owner_renew;
        Some(operation)
    }
}

#[cfg(test)]
mod tests;
