//! A planned switchover (PROTOCOL 5.2): hold, drain, equality, demote, promote; or not at all.

use std::time::Duration;

use foretoken_types::{Authority, BootInstant, EndpointId, HoldScope, Operation, Position, StoreState};

use crate::effect::{ChangeKind, Check, Order, Outcome};
use crate::endpoints::is_primary;
use crate::event::{Answer, Rejection};
use crate::machine::{LAPSED, Machine, Phase};
use crate::record::{Cause, Intent, Record};

/// Pause between two readings of the mirror's position.
const EQUAL_AGAIN: Duration = Duration::from_millis(1);
/// How long a promoted mirror has to take a write.
const VERIFY: Duration = Duration::from_millis(500);
/// Pause between two looks at a mirror that was just promoted.
const VERIFY_AGAIN: Duration = Duration::from_millis(2);

/// A switchover under way.
#[derive(Debug)]
pub(crate) struct Planned {
    from: EndpointId,
    to: EndpointId,
    /// The state to go back to.
    previous: StoreState,
    stage: Stage,
    /// The hold is given up then.
    deadline: Option<BootInstant>,
    /// When the primary was told to let writes wait.
    paused: Option<BootInstant>,
}

#[derive(Debug)]
enum Stage {
    /// The intent is being written. Nothing is held yet.
    Intend,
    /// Data threads finish what is under way.
    Drain,
    /// The primary lets everybody's writes wait.
    Pause(Operation),
    /// Its position is read.
    Position(Operation),
    /// The mirror's position is read until it has come up.
    Equal { target: Position, order: Option<Operation>, again: BootInstant },
    /// The old primary becomes a mirror. No way back by forgetting from here on.
    Demote { order: Operation, position: Position },
    /// The mirror becomes the primary.
    Promote { order: Operation, position: Position },
    /// It must take a write.
    Verify { order: Option<Operation>, again: BootInstant, until: BootInstant, position: Position },
}

impl Stage {
    /// The order whose answer ends it.
    const fn order(&self) -> Option<Operation> {
        match self {
            Self::Intend | Self::Drain => None,
            Self::Pause(order) | Self::Position(order) => Some(*order),
            Self::Demote { order, .. } | Self::Promote { order, .. } => Some(*order),
            Self::Equal { order, .. } | Self::Verify { order, .. } => *order,
        }
    }
}

impl Planned {
    /// Why it must be given up, if it must: it takes too long, and nothing is changed yet.
    fn is_late(&self, now: BootInstant) -> Option<&'static str> {
        let waits = match &self.stage {
            Stage::Drain => "requests under way did not end",
            Stage::Equal { .. } => "the mirror did not become equal",
            Stage::Pause(_) | Stage::Position(_) => "the primary did not answer",
            Stage::Intend | Stage::Demote { .. } | Stage::Promote { .. } | Stage::Verify { .. } => {
                return None;
            }
        };
        self.deadline.is_some_and(|deadline| now >= deadline).then_some(waits)
    }

    /// Whether no role was touched yet.
    const fn is_untouched(&self) -> bool {
        !matches!(self.stage, Stage::Demote { .. } | Stage::Promote { .. } | Stage::Verify { .. })
    }

    /// Whether writes are held.
    pub(crate) const fn holds(&self) -> bool {
        !matches!(self.stage, Stage::Intend)
    }

    pub(crate) fn next_deadline(&self, now: BootInstant) -> BootInstant {
        let deadline = self.deadline.unwrap_or(now + Duration::from_secs(1));
        match &self.stage {
            Stage::Equal { order: None, again, .. } => deadline.min(*again),
            Stage::Verify { order, again, until, .. } => {
                if order.is_some() {
                    *until
                } else {
                    (*again).min(*until)
                }
            }
            Stage::Demote { .. } | Stage::Promote { .. } => now + Duration::from_secs(1),
            _ => deadline,
        }
    }
}

impl Machine {
    /// Begins the switchover `from` one endpoint `to` another, for which every check has passed.
    pub(crate) fn begin_planned(
        &mut self,
        command: u64,
        from: EndpointId,
        to: EndpointId,
        checks: Vec<Check>,
    ) {
        let Some(record) = self.registry.record.clone() else { return };
        self.begin_plan(ChangeKind::Switchover, Some(command), Some(from.clone()), Some(to.clone()));
        if let Some(plan) = &mut self.plan {
            plan.checks = checks;
        }
        let intent = Some(Intent { from: from.clone(), to: to.clone() });
        self.save(Record { intent, ..record });
        let previous = self.posture.state;
        let stage = Stage::Intend;
        self.enter(Phase::Planned(Planned { from, to, previous, stage, deadline: None, paused: None }));
    }

    pub(crate) fn advance_planned(&mut self) {
        let Phase::Planned(planned) = &self.phase else { return };
        let (from, holds) = (planned.from.clone(), planned.holds());
        if !holds {
            self.advance_intent(&from);
            return;
        }
        if self.give_up_when_late() {
            return;
        }
        let all_held = self.all_held();
        let Phase::Planned(planned) = &self.phase else { return };
        // A claim that was under way when it began has been answered.
        if let (Authority::Follower(why), true) = (&self.ownership.authority, planned.is_untouched()) {
            let why = format!("not in charge any more: {why}");
            self.abort(&why);
            return;
        }
        match &planned.stage {
            Stage::Drain if all_held => {
                self.step_done("drain");
                let (now, at_most) = (self.now, self.params.pause);
                if self.params.rules().pause {
                    let order = self.order(&from, Order::PauseWrites { at_most });
                    self.set_planned(Stage::Pause(order));
                } else {
                    let order = self.order(&from, Order::Position);
                    self.set_planned(Stage::Position(order));
                }
                if let Phase::Planned(planned) = &mut self.phase {
                    planned.paused = Some(now);
                }
            }
            Stage::Equal { order: None, again, .. } if self.now >= *again => {
                let to = planned.to.clone();
                let look = self.order(&to, Order::Position);
                if let Phase::Planned(Planned { stage: Stage::Equal { order, .. }, .. }) = &mut self.phase {
                    *order = Some(look);
                }
            }
            Stage::Verify { order, again, until, .. } => {
                if self.now >= *until {
                    self.broken_off("the new primary takes no writes", true);
                } else if order.is_none() && self.now >= *again {
                    let to = planned.to.clone();
                    let look = self.order(&to, Order::Observe { probe: true });
                    if let Phase::Planned(Planned { stage: Stage::Verify { order, .. }, .. }) =
                        &mut self.phase
                    {
                        *order = Some(look);
                    }
                }
            }
            _ => {}
        }
    }

    /// The intent is on its way to the disk, and the store serves on.
    fn advance_intent(&mut self, from: &EndpointId) {
        if self.has_lapsed() {
            self.begin_moving(LAPSED.to_owned());
            return;
        }
        if self.primary_changed(from) {
            return;
        }
        if self.now >= self.renew_at() {
            self.grant();
            self.publish();
        }
        if self.is_saving() {
            return;
        }
        if let Some(trouble) = self.registry.trouble.clone() {
            self.abort(&trouble);
            return;
        }
        self.step_done("intent");
        // The lease is fresh at the start of the hold and is not renewed in it: it outlives the deadline.
        self.grant();
        self.posture.state = StoreState::Holding;
        self.hold(HoldScope::Writes, false);
        self.publish();
        let deadline = self.now + self.params.hold_deadline;
        if let Phase::Planned(planned) = &mut self.phase {
            planned.deadline = Some(deadline);
            planned.stage = Stage::Drain;
        }
    }

    /// A hold that takes too long is given up. Whether it was.
    fn give_up_when_late(&mut self) -> bool {
        let Phase::Planned(planned) = &self.phase else { return false };
        let Some(waited) = planned.is_late(self.now) else { return false };
        self.abort(&format!("{waited} within {} ms", self.params.hold_deadline.as_millis()));
        true
    }

    fn set_planned(&mut self, stage: Stage) {
        if let Phase::Planned(planned) = &mut self.phase {
            planned.stage = stage;
        }
    }

    /// Gives the switchover up: the old primary serves on in the same epoch, as if nothing had happened.
    fn abort(&mut self, why: &str) {
        let Phase::Planned(planned) = &self.phase else { return };
        let (from, previous, paused) = (planned.from.clone(), planned.previous, planned.paused);
        if paused.is_some() {
            self.order(&from, Order::ResumeWrites);
        }
        self.end_plan(Outcome::Aborted, why);
        self.resume(previous);
        crate::repair::forget_intent(self);
    }

    /// Roles were touched, and it is not known how they are now: find out, and end it one way or the other.
    fn broken_off(&mut self, why: &str, demoted: bool) {
        let Phase::Planned(planned) = &self.phase else { return };
        let intent = Intent { from: planned.from.clone(), to: planned.to.clone() };
        self.begin_resolve(intent, demoted);
        self.reason = Some(format!("a switchover was broken off: {why}"));
    }

    pub(crate) fn planned_answered(&mut self, operation: Operation, result: Result<Answer, Rejection>) {
        // A process that was stopped hears in its next life what was true before: the pause at the primary may be over.
        if self.give_up_when_late() {
            return;
        }
        let (now, pause) = (self.now, self.params.pause - self.params.fence_margin);
        let Phase::Planned(planned) = &mut self.phase else { return };
        if planned.stage.order() != Some(operation) {
            return;
        }
        let (from, to) = (planned.from.clone(), planned.to.clone());
        let paused = planned.paused.is_some_and(|since| now < since + pause);
        match &mut planned.stage {
            Stage::Pause(_) => match result {
                Ok(_) => {
                    self.step_done("pause");
                    let order = self.order(&from, Order::Position);
                    self.set_planned(Stage::Position(order));
                }
                Err(rejection) => self.abort(&format!("{from} could not be paused: {}", rejection.detail)),
            },
            Stage::Position(_) => match result {
                Ok(Answer::Position(target)) => {
                    self.set_planned(Stage::Equal { target, order: None, again: now });
                    if !self.params.rules().equality {
                        self.demote_old(&from, &to, target);
                    }
                }
                Ok(_) => self.abort(&format!("{from} did not tell its position")),
                Err(rejection) => {
                    self.abort(&format!("{from} did not tell its position: {}", rejection.detail))
                }
            },
            Stage::Equal { target, order, again } => {
                *order = None;
                *again = now + EQUAL_AGAIN;
                let target = *target;
                match result {
                    Ok(Answer::Position(position)) if position >= target => {
                        self.step_done("equality");
                        self.demote_old(&from, &to, position);
                    }
                    // Behind, or no answer this time: the deadline ends it.
                    _ => {}
                }
            }
            Stage::Demote { position, .. } => {
                let position = *position;
                match result {
                    // When it obeyed is not known: others may have written after the pause.
                    Ok(_) if !paused => {
                        self.broken_off("the demotion took longer than the pause of writes", false)
                    }
                    Ok(_) => {
                        self.step_done("demote");
                        let order = self.order(&to, Order::Promote);
                        self.set_planned(Stage::Promote { order, position });
                    }
                    Err(rejection) => self.broken_off(&rejection.detail, false),
                }
            }
            Stage::Promote { position, .. } => {
                let position = *position;
                match result {
                    Ok(_) => {
                        self.step_done("promote");
                        let until = now + VERIFY;
                        self.set_planned(Stage::Verify { order: None, again: now, until, position });
                    }
                    Err(rejection) => self.broken_off(&rejection.detail, true),
                }
            }
            Stage::Verify { order, again, position, .. } => {
                *order = None;
                *again = now + VERIFY_AGAIN;
                let position = *position;
                if let Ok(Answer::Observed(found)) = result
                    && is_primary(&found)
                    && found.writable
                {
                    if !self.holds_our_data(&found) {
                        self.broken_off(
                            "the mirror was restarted, and nothing proves that it has all data",
                            true,
                        );
                        return;
                    }
                    self.step_done("verify");
                    let detail = format!("{to} is the primary");
                    self.begin_take(to, *found, Cause::Switchover, position, detail);
                }
            }
            Stage::Intend | Stage::Drain => {}
        }
    }

    /// Demote first: what the old primary would still add to its stream after a promotion would make its history longer than
    /// the mirror's, and cost a full copy (PROTOCOL 7.3).
    fn demote_old(&mut self, from: &EndpointId, to: &EndpointId, position: Position) {
        self.posture.state = StoreState::Flipping;
        self.publish();
        let order = self.order(from, Order::Demote { of: to.clone() });
        self.set_planned(Stage::Demote { order, position });
    }
}
