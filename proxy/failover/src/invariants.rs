//! What must hold after each step, whatever happened. Checked in debug builds and in every test.

use std::collections::BTreeMap;

use foretoken_types::{Authority, BootInstant, EndpointId, Epoch, HoldScope, Operation, Position, Posture};

use crate::effect::{Effect, Order};
use crate::event::{Answer, Event};
use crate::{Params, Record};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant broken: {}", self.0)
    }
}

impl std::error::Error for Broken {}

/// What the rules look at, besides events and effects.
pub(crate) struct Facts<'a> {
    pub(crate) params: &'a Params,
    pub(crate) now: BootInstant,
    pub(crate) authority: &'a Authority,
    pub(crate) next_deadline: Option<BootInstant>,
    pub(crate) phase: &'static str,
}

/// An account of what was told and done, kept apart from the machine's own.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    posture: Option<Posture>,
    /// Until when a lease that was published may live.
    lease_end: Option<BootInstant>,
    /// The highest epoch that the registry has confirmed.
    durable: Option<Epoch>,
    saving: BTreeMap<Operation, Record>,
    /// Readings under way, and what the endpoints said in the hold in force.
    reading: BTreeMap<Operation, EndpointId>,
    positions: BTreeMap<EndpointId, Position>,
    held: std::collections::BTreeSet<usize>,
}

impl Invariants {
    pub(crate) fn heard(&mut self, event: &Event) {
        match event {
            Event::Loaded(Some(record)) => self.durable = self.durable.max(Some(record.epoch)),
            Event::Saved { operation, result } => {
                if let Some(record) = self.saving.remove(operation)
                    && result.is_ok()
                {
                    self.durable = self.durable.max(Some(record.epoch));
                }
            }
            Event::Answered { operation, result } => {
                if let (Some(endpoint), Ok(Answer::Position(position))) =
                    (self.reading.remove(operation), result)
                {
                    self.positions.insert(endpoint, *position);
                }
            }
            Event::Held { operation, thread, .. } => {
                let hold = self.posture.as_ref().and_then(|posture| posture.hold);
                if hold.is_some_and(|hold| hold.operation == *operation) {
                    self.held.insert(*thread);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn did(&mut self, effects: &[Effect], facts: &Facts<'_>) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Publish(posture) => self.published(posture, facts)?,
                Effect::Save { operation, record, .. } => {
                    self.saving.insert(*operation, record.clone());
                }
                Effect::Order { operation, endpoint, order } => {
                    self.ordered(*operation, endpoint, order, facts)?
                }
                Effect::Vouch(_) | Effect::Report(_) | Effect::PublishLoss { .. } => {}
            }
        }
        let held = self.posture.as_ref().is_some_and(|posture| posture.hold.is_some());
        if held && facts.next_deadline.is_none() {
            return Err(Broken(format!("a hold without a deadline in phase {}", facts.phase)));
        }
        Ok(())
    }

    fn published(&mut self, new: &Posture, facts: &Facts<'_>) -> Result<(), Broken> {
        let broken = |what: String| Err(Broken(what));
        if let Some(old) = &self.posture {
            if new.epoch < old.epoch {
                return broken(format!("the epoch fell from {} to {}", old.epoch, new.epoch));
            }
            if new.epoch == old.epoch
                && new.epoch > Epoch(0)
                && old.primary.is_some()
                && new.primary != old.primary
            {
                return broken(format!("two primaries in epoch {}", new.epoch));
            }
            let obeyed = old.hold.is_some_and(|hold| hold.scope == HoldScope::All)
                && self.held.len() >= facts.params.threads;
            if obeyed && new.lease.is_none() {
                // Nothing is under way, and nothing can begin: who obeyed has seen the end of the lease before anything else.
                self.lease_end = None;
            }
            if old.hold.map(|hold| hold.operation) != new.hold.map(|hold| hold.operation) {
                self.positions.clear();
                self.held.clear();
            }
        }
        if let Some(lease) = new.lease {
            if lease.epoch != new.epoch {
                return broken(format!("a lease of epoch {} in epoch {}", lease.epoch, new.epoch));
            }
            if self.durable < Some(new.epoch) {
                return broken(format!("epoch {} is served before it is durable", new.epoch));
            }
            if new.primary.is_none() {
                return broken("a lease without a primary".to_owned());
            }
            // `acknowledge_until` is the grant, the life and less the guard.
            let granted = lease.acknowledge_until + facts.params.lease.guard - facts.params.lease.ttl;
            self.lease_end = self.lease_end.max(Some(granted + facts.params.fence_wait()));
        }
        self.posture = Some(new.clone());
        Ok(())
    }

    fn ordered(
        &mut self,
        operation: Operation,
        endpoint: &EndpointId,
        order: &Order,
        facts: &Facts<'_>,
    ) -> Result<(), Broken> {
        if matches!(order, Order::Promote | Order::Demote { .. } | Order::Fence { .. })
            && matches!(facts.authority, Authority::Follower(_))
        {
            return Err(Broken(format!("a follower changes the role of {endpoint}")));
        }
        match order {
            Order::Position => {
                self.reading.insert(operation, endpoint.clone());
            }
            Order::Promote if facts.params.rules().lease_wait => {
                let posture = self.posture.as_ref();
                let hold = posture.and_then(|posture| posture.hold);
                let obeyed = hold.is_some() && self.held.len() >= facts.params.threads;
                // A planned switchover holds writes only: reads at the old primary are no acknowledgements of writes.
                let enough = hold.is_some_and(|hold| hold.scope == HoldScope::All || facts.phase != "down");
                let dead = self.lease_end.is_none_or(|end| facts.now >= end);
                if !(dead || (obeyed && enough)) {
                    return Err(Broken(format!("{endpoint} is promoted while a lease may live")));
                }
            }
            Order::Demote { of } if facts.phase == "planned" && facts.params.rules().equality => {
                let (old, new) = (self.positions.get(endpoint), self.positions.get(of));
                if old.is_none() || new < old {
                    return Err(Broken(format!("{endpoint} is demoted at {old:?} while {of} is at {new:?}")));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
