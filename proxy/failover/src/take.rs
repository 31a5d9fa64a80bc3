//! Putting a primary in charge: owner record, registry, marker, and then the posture (PROTOCOL 5.2 steps 7 and 8).
//!
//! The common end of the start, of a switchover, of a failover and of following somebody else's change. Whoever comes here
//! has made sure that nothing of the epoch before can be acknowledged any more.

use foretoken_types::{
    Authority, BootInstant, EndpointId, Epoch, Observation, Operation, Position, StoreState,
};

use crate::effect::{Effect, Loss, Order, Outcome};
use crate::event::{Answer, Rejection, Verdict};
use crate::knowledge::Identity;
use crate::machine::{LAPSED, Machine, Phase};
use crate::record::{Cause, Record};
use crate::repair;

/// A primary on its way to being in charge.
#[derive(Debug)]
pub(crate) struct Take {
    primary: EndpointId,
    found: Observation,
    cause: Cause,
    position: Position,
    state: StoreState,
    detail: String,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Taking the owner record.
    Claim(Option<Operation>),
    /// Not the owner: registering as a follower. The owner must know of us before we acknowledge anything.
    Register { order: Operation, known: bool },
    /// Registered or in charge for the first time, or anew after a gap: who has missed it may be moving the role just now.
    Settle(BootInstant),
    /// Raising the epoch.
    Save,
    /// The save is under way.
    Saving(Epoch),
    /// Writing the marker.
    Mark(Operation),
}

impl Stage {
    /// The order whose answer ends it.
    const fn order(&self) -> Option<Operation> {
        match self {
            Self::Claim(order) => *order,
            Self::Register { order, .. } | Self::Mark(order) => Some(*order),
            Self::Settle(_) | Self::Save | Self::Saving(_) => None,
        }
    }
}

impl Take {
    pub(crate) fn next_deadline(&self, machine: &Machine) -> BootInstant {
        match self.stage {
            Stage::Settle(until) => until,
            _ => machine.registry.retry_at,
        }
    }
}

impl Machine {
    /// Begins to put `primary`, which was `found` so, in charge.
    pub(crate) fn begin_take(
        &mut self,
        primary: EndpointId,
        found: Observation,
        cause: Cause,
        position: Position,
        detail: String,
    ) {
        let state = match cause {
            Cause::Found => StoreState::Healthy,
            Cause::Switchover | Cause::Failover => StoreState::FailedOver,
        };
        // The sidecar that was in charge of the old primary is so of the one that it has promoted; everybody else must ask.
        let stage = if cause != Cause::Found && self.owns() {
            self.heard(self.now);
            Stage::Save
        } else {
            Stage::Claim(None)
        };
        self.note_rivals(&primary);
        self.enter(Phase::Take(Take { primary, found, cause, position, state, detail, stage }));
    }

    pub(crate) fn advance_take(&mut self) {
        let why = self.unmanageable();
        let Phase::Take(take) = &self.phase else { return };
        match take.stage {
            Stage::Claim(None) => {
                let primary = take.primary.clone();
                if let Some(why) = why {
                    self.ownership.authority = Authority::Follower(why);
                    self.register(&primary);
                    self.set_stage_of_registration();
                    self.advance_take();
                } else if !self.ownership.is_claiming() {
                    let operation = self.claim(&primary);
                    self.set_stage(Stage::Claim(Some(operation)));
                }
            }
            Stage::Save => self.save_epoch(),
            Stage::Saving(epoch) if !self.is_saving() => self.epoch_saved(epoch),
            // Roles as they are now: they may have changed since.
            Stage::Settle(until) if self.now >= until => self.find_out_anew(),
            Stage::Settle(_)
            | Stage::Claim(Some(_))
            | Stage::Register { .. }
            | Stage::Saving(_)
            | Stage::Mark(_) => {}
        }
    }

    /// Waits for a registration that is under way, if there is one.
    fn set_stage_of_registration(&mut self) {
        let known = self.is_known();
        let register = |order| Stage::Register { order, known };
        let stage = self.ownership.claim().map_or(Stage::Save, register);
        self.set_stage(stage);
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Phase::Take(take) = &mut self.phase {
            take.stage = stage;
        }
    }

    fn save_epoch(&mut self) {
        let epoch = self.highest_epoch().next();
        let Phase::Take(take) = &self.phase else { return };
        let old = self.registry.record.as_ref();
        let moved = old.filter(|old| old.primary != take.primary);
        let history = take.found.history.clone();
        let record = Record {
            epoch,
            primary: take.primary.clone(),
            previous: match moved {
                Some(old) => Some(old.primary.clone()),
                None => old.and_then(|old| old.previous.clone()),
            },
            descends: match old {
                Some(old) if old.history != history => Some(old.history.clone()),
                Some(old) => old.descends.clone(),
                None => None,
            },
            history,
            position: match (take.cause, old) {
                // The place from which the last failover went on is what its loss is measured from.
                (Cause::Found, Some(old)) if moved.is_none() => old.position,
                _ => take.position,
            },
            cause: match (take.cause, old) {
                (Cause::Found, Some(old)) if moved.is_none() => old.cause,
                (cause, _) => cause,
            },
            owned: self.ownership.authority == Authority::Owner,
            intent: None,
        };
        if self.save(record).is_some() {
            self.set_stage(Stage::Saving(epoch));
        }
    }

    fn epoch_saved(&mut self, epoch: Epoch) {
        if let Some(trouble) = self.registry.trouble.clone() {
            self.reason = Some(trouble);
            self.close();
            self.set_stage(Stage::Save);
            return;
        }
        self.step_done("registry");
        let Phase::Take(take) = &self.phase else { return };
        // An epoch that goes on with the same primary has lost nothing more, unless it is another process: then nobody knows.
        let restarted = self.posture.primary.as_ref() == Some(&take.primary)
            && self.identity.as_ref().is_some_and(|identity| identity.run_id != take.found.run_id);
        if take.cause == Cause::Failover {
            self.loss_published = false;
        } else if take.cause == Cause::Found && restarted {
            let (endpoint, loss) = (take.primary.clone(), Loss::Bounded { at_least: 0, kept_until: None });
            self.out.push(Effect::PublishLoss { epoch, endpoint, loss });
        }
        if self.ownership.authority == Authority::Owner {
            let primary = take.primary.clone();
            let operation = self.order(&primary, Order::Mark(epoch));
            self.set_stage(Stage::Mark(operation));
        } else {
            self.serve();
        }
    }

    pub(crate) fn take_answered(&mut self, operation: Operation, result: Result<Answer, Rejection>) {
        let Phase::Take(take) = &self.phase else { return };
        if take.stage.order() != Some(operation) {
            return;
        }
        // Who answers is alive, whatever it says.
        let silent = result.as_ref().is_err_and(|rejection| rejection.failure.is_silence());
        let (primary, stage) = (take.primary.clone(), take.stage.clone());
        if !silent {
            self.vouch(&primary);
        }
        match stage {
            // A marker that can't be written (out of memory, say) is written later: the epoch holds without it.
            Stage::Mark(_) => {
                self.step_done("mark");
                self.serve();
            }
            _ if silent => {
                self.reason = Some(format!("{primary} did not answer the claim of the owner record"));
                self.find_out_anew();
            }
            Stage::Register { known: false, .. } if result.is_ok() => {
                self.reason = Some("waiting until the sidecar in charge knows of this one".to_owned());
                self.set_stage(Stage::Settle(self.now + self.settle()));
            }
            _ => match self.unsettled_until() {
                Some(until) => {
                    self.reason =
                        Some("waiting until whoever was in charge before knows of this one".to_owned());
                    self.set_stage(Stage::Settle(until));
                }
                None => self.set_stage_of_registration(),
            },
        }
    }

    /// What was held against `primary` before it answered is past: it may have been found down while it was frozen.
    pub(crate) fn vouch(&mut self, primary: &EndpointId) {
        if let Some(endpoint) = self.endpoint_mut(primary) {
            endpoint.verdict = Verdict::Unknown;
        }
        self.out.push(Effect::Vouch(primary.clone()));
    }

    fn serve(&mut self) {
        if self.has_lapsed() {
            self.reason = Some(LAPSED.to_owned());
            self.find_out_anew();
            return;
        }
        let Some(record) = self.registry.record.clone() else { return };
        let Phase::Take(take) = &self.phase else { return };
        let (primary, detail, cause) = (take.primary.clone(), take.detail.clone(), take.cause);
        let old = self.posture.primary.clone();
        match (cause, &old) {
            (Cause::Found, Some(old)) if *old != primary => {
                self.moved_by_others =
                    Some(format!("the primary role was moved by others, from {old} to {primary}"));
            }
            (Cause::Found, _) => {}
            (Cause::Switchover | Cause::Failover, _) => self.moved_by_others = None,
        }
        let loss = std::mem::take(&mut self.positions).loss(record.position);
        self.identity = Some(Identity::of(&take.found));
        self.posture.state = take.state;
        self.posture.epoch = record.epoch;
        self.posture.primary = Some(primary.clone());
        self.posture.mirrors.retain(|route| route.endpoint != primary);
        self.reason = None;
        self.mark_at = self.now + self.params.retry;
        self.serving_since = Some(self.now);
        self.end_hold();
        self.grant();
        self.enter(Phase::Serving);
        if cause == Cause::Found && !repair::is_old_primary_back(self, &record) {
            self.posture.state = StoreState::FailedOver;
        }
        self.publish();
        if let (Cause::Failover, Some(endpoint), Some(loss)) = (cause, old, loss) {
            self.out.push(Effect::PublishLoss { epoch: record.epoch, endpoint, loss });
        }
        self.finish_roles(&primary, cause);
        let aborted = self.plan.as_ref().is_some_and(|plan| plan.to.as_ref() != Some(&primary));
        self.end_plan(if aborted { Outcome::Aborted } else { Outcome::Done }, detail);
    }

    /// What follows a switchover and need not be waited for.
    fn finish_roles(&mut self, primary: &EndpointId, cause: Cause) {
        if cause == Cause::Switchover
            && let Some(old) = self.plan.as_ref().and_then(|plan| plan.from.clone())
            && old != *primary
        {
            self.order(&old, Order::DisconnectClients);
            self.order(&old, Order::ResumeWrites);
        }
    }
}

#[cfg(test)]
mod tests;
