//! Rights that are given to the data path, and how they end: leases, holds, stale reads, durability.

use std::time::Duration;

use foretoken_types::{BootInstant, Durability, Hold, HoldScope, Lease, StoreState, WriteConcern};

use crate::effect::Effect;
use crate::machine::{Machine, Phase};

/// For how long stale reads may go on with nobody left to ask.
const TEMPORARY: Duration = Duration::from_secs(30);
/// The right to them is renewed when so much of it is left.
const TEMPORARY_LEFT: Duration = Duration::from_secs(20);

impl Machine {
    pub(crate) fn publish(&mut self) {
        self.posture.temporary_until = self.needs_temporary().then(|| self.now + TEMPORARY);
        self.out.push(Effect::Publish(self.posture.clone()));
    }

    /// Writes wait for a mirror as long as one keeps up, or always, or never. Stays as it is while roles change.
    pub(crate) fn keep_durability(&mut self) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let mirrors = || self.posture.mirrors.iter().map(|route| &route.endpoint);
        if !self.holders.iter().eq(mirrors()) {
            self.holders = mirrors().cloned().collect();
        }
        let durability = match self.params.durability {
            WriteConcern::Synchronous if self.holders.is_empty() => Durability::Asynchronous,
            WriteConcern::Synchronous | WriteConcern::SynchronousStrict => Durability::Synchronous,
            WriteConcern::Asynchronous if self.risk.is_some() && !self.holders.is_empty() => {
                Durability::Synchronous
            }
            WriteConcern::Asynchronous => Durability::Asynchronous,
        };
        if self.posture.durability != durability {
            self.posture.durability = durability;
            self.publish();
        }
    }

    /// HEALTHY and AT_RISK. What has too little redundancy already shows that first.
    pub(crate) fn keep_risk(&mut self) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let state = match (self.posture.state, &self.risk) {
            (StoreState::Healthy, Some(_)) => StoreState::AtRisk,
            (StoreState::AtRisk, None) => StoreState::Healthy,
            _ => return,
        };
        self.posture.state = state;
        self.publish();
    }

    /// Whether the primary may not be there to ask for much longer, or is not: then reads may go to mirrors for a while even
    /// if this machine is not there any more either (T1 of PROTOCOL 3.2).
    fn needs_temporary(&self) -> bool {
        let unsure = matches!(
            self.posture.state,
            StoreState::AtRisk
                | StoreState::Holding
                | StoreState::Flipping
                | StoreState::Unavailable
                | StoreState::FailingOver
        );
        !self.posture.mirrors.is_empty() && (unsure || self.posture.hold.is_some())
    }

    /// When the right to stale reads is to be renewed: well before it ends.
    pub(crate) fn temporary_renewal(&self) -> Option<BootInstant> {
        let until = self.posture.temporary_until?;
        Some(until - TEMPORARY_LEFT)
    }

    pub(crate) fn keep_temporary(&mut self) {
        let due = self.temporary_renewal().is_some_and(|at| self.now >= at);
        if due && self.needs_temporary() {
            self.publish();
        }
    }

    /// Grants a lease of the epoch in force. The caller publishes it.
    pub(crate) fn grant(&mut self) {
        self.posture.lease = Some(Lease::grant(self.posture.epoch, self.now, &self.params.lease));
        self.last_grant = Some(self.now);
    }

    pub(crate) fn renew_at(&self) -> BootInstant {
        self.last_grant.map_or(self.now, |granted| granted + self.params.lease.renew)
    }

    /// From then on no lease can live that was granted so far.
    pub(crate) fn fence_end(&self) -> BootInstant {
        self.last_grant.map_or(BootInstant::default(), |granted| granted + self.params.fence_wait())
    }

    /// Orders a hold. The caller publishes it.
    pub(crate) fn hold(&mut self, scope: HoldScope, fence: bool) {
        let operation = self.operation();
        self.posture.hold = Some(Hold { operation, scope, fence });
        self.held.clear();
        self.held_since.get_or_insert(self.now);
        if let Some(plan) = &mut self.plan {
            plan.held_since.get_or_insert(self.now);
        }
    }

    pub(crate) fn end_hold(&mut self) {
        self.posture.hold = None;
        self.held.clear();
        self.held_since = None;
    }

    /// Whether every data thread obeys the hold in force.
    pub(crate) fn all_held(&self) -> bool {
        self.posture.hold.is_some() && self.held.len() >= self.params.threads
    }

    /// Whether nothing of the old epoch can be acknowledged any more: every data thread said so, or every lease is dead.
    pub(crate) fn is_fenced(&self) -> bool {
        let obeyed = self.all_held() && self.posture.hold.is_some_and(|hold| hold.scope == HoldScope::All);
        let ours = obeyed || self.now >= self.fence_end();
        (ours && self.now >= self.predecessors_end()) || !self.params.rules().lease_wait
    }

    /// Lets nothing through, and waits for nothing: requests wait for a lease by themselves.
    pub(crate) fn close(&mut self) {
        let before = self.posture.clone();
        self.posture.state = StoreState::Unavailable;
        self.posture.lease = None;
        self.end_hold();
        if before != self.posture {
            self.publish();
        }
    }
}
