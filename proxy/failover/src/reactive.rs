//! The primary is suspected or lost (PROTOCOL 5.3): stop renewals, fence, choose, promote, verify.

use std::collections::BTreeSet;
use std::time::Duration;

use foretoken_types::{
    Authority, BootInstant, Durability, EndpointId, Failure, HoldScope, Link, Observation, Operation,
    Position, Role, StoreState, WriteConcern,
};

use crate::effect::{ChangeKind, Order};
use crate::endpoints::{Endpoint, is_primary, is_whole_mirror};
use crate::event::{Answer, Rejection, Verdict};
use crate::machine::{LAPSED, Machine, Phase};
use crate::record::Cause;
use crate::start::Decision;

/// How long a promoted mirror has to take a write.
const VERIFY: Duration = Duration::from_secs(1);
/// Pause between two looks at a mirror that was just promoted.
const VERIFY_AGAIN: Duration = Duration::from_millis(10);

/// The primary is suspected: everything waits, nothing is renewed.
#[derive(Debug)]
pub(crate) struct Suspected {
    since: BootInstant,
    previous: StoreState,
    /// The last lease is dead and the posture says so.
    pub(crate) closed: bool,
}

/// The primary is lost.
#[derive(Debug)]
pub(crate) struct Down {
    lost: EndpointId,
    why: String,
    since: BootInstant,
    previous: StoreState,
    /// The store was served from it until now, so it may go on as if nothing had happened.
    served: bool,
    stage: Stage,
    looks: BTreeSet<Operation>,
    /// The lost primary was told to be a mirror: there is no way back to it as it was.
    fenced_old: bool,
    /// Every mirror was silent as well: what all had in common may end for all of them, for the primary a moment later.
    common: bool,
    /// Since when the primary is waited for: a mirror has answered.
    last_chance: Option<BootInstant>,
    /// The mirror whose promotion was tried.
    attempted: Option<EndpointId>,
    retry_at: BootInstant,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for the fence and for the mirrors' positions.
    Gather,
    /// The lost primary has a moment to obey.
    FenceOld { orders: BTreeSet<Operation>, until: BootInstant, choice: Choice },
    /// The mirror is being promoted.
    Promote { order: Operation, choice: Choice },
    /// It must take a write.
    Verify { order: Option<Operation>, again: BootInstant, until: BootInstant, choice: Choice },
}

/// The mirror that shall be the primary.
#[derive(Clone, Debug)]
struct Choice {
    endpoint: EndpointId,
    position: Position,
}

impl Stage {
    /// The order whose answer ends it.
    const fn order(&self) -> Option<Operation> {
        match self {
            Self::Gather | Self::FenceOld { .. } => None,
            Self::Promote { order, .. } => Some(*order),
            Self::Verify { order, .. } => *order,
        }
    }
}

impl Down {
    pub(crate) fn next_deadline(&self, machine: &Machine) -> BootInstant {
        let soon = machine.now + machine.params.retry;
        match &self.stage {
            Stage::Gather if !machine.is_fenced() => machine.fenced_at(),
            Stage::Gather if !self.looks.is_empty() => {
                soon.min((self.since + machine.params.choice_deadline).max(machine.now))
            }
            Stage::Gather => {
                let chance = self.last_chance.map(|began| began + machine.params.retry);
                chance.filter(|until| *until > machine.now).unwrap_or(soon)
            }
            Stage::FenceOld { until, .. } => *until,
            Stage::Promote { .. } => soon,
            Stage::Verify { again, until, order, .. } => {
                if order.is_some() {
                    *until
                } else {
                    (*again).min(*until)
                }
            }
        }
    }
}

impl Machine {
    pub(crate) fn begin_suspected(&mut self, why: String) {
        self.give_up_plan(&why);
        self.reason = Some(why);
        let previous = self.posture.state;
        self.hold(HoldScope::All, false);
        self.publish();
        self.enter(Phase::Suspected(Suspected { since: self.now, previous, closed: false }));
    }

    pub(crate) fn advance_suspected(&mut self) {
        let Phase::Suspected(Suspected { since, previous, closed }) = self.phase else { return };
        let Some(primary) = self.posture.primary.clone() else { return };
        let Some(endpoint) = self.endpoint(&primary) else { return };
        let (verdict, why) = (endpoint.verdict, endpoint.why.clone());
        if verdict == Verdict::Down {
            self.posture.state = previous;
            self.begin_down(format!("{primary} is down: {why}"));
            return;
        }
        if let Some(found) = endpoint.seen_since(since).filter(|found| !found.loading).cloned() {
            let same = self.identity.as_ref().is_some_and(|identity| identity.continues_in(&found));
            if !same || !is_primary(&found) {
                self.posture.state = previous;
                self.begin_down(format!("{primary} came back with another run id, history or role"));
                return;
            }
            if endpoint.is_well() {
                self.resume(previous);
                return;
            }
        }
        if self.now >= self.fence_end() && !closed {
            self.close();
            if let Phase::Suspected(suspected) = &mut self.phase {
                suspected.closed = true;
            }
        }
    }

    /// The primary serves on, in the same epoch; unless somebody else may have moved the role meanwhile.
    pub(crate) fn resume(&mut self, state: StoreState) {
        if self.has_lapsed() {
            self.reason = Some(LAPSED.to_owned());
            self.find_out_anew();
            return;
        }
        if let Some(why) = self.posture.primary.clone().and_then(|primary| self.contested(&primary)) {
            self.begin_moving(why);
            return;
        }
        self.posture.state = state;
        self.reason = None;
        self.end_hold();
        self.grant();
        self.publish();
        self.enter(Phase::Serving);
    }

    /// The primary is lost: nothing of this epoch is acknowledged any more.
    pub(crate) fn begin_down(&mut self, why: String) {
        let Some(lost) = self.posture.primary.clone() else { return };
        self.give_up_plan(&why);
        let previous = match self.posture.state {
            state @ (StoreState::FailedOver | StoreState::Recovering) => state,
            _ => StoreState::Healthy,
        };
        self.posture.state = StoreState::Unavailable;
        self.posture.lease = None;
        self.hold(HoldScope::All, true);
        self.publish();
        self.enter_down(lost, why, previous, false);
        if let Phase::Down(down) = &mut self.phase {
            down.served = true;
        }
    }

    /// The primary of the registry is lost, and this process never served from it.
    pub(crate) fn begin_down_at_start(&mut self, lost: EndpointId) {
        let why = format!("{lost}, the primary by the registry, is down");
        self.enter_down(lost, why, StoreState::Healthy, false);
    }

    /// The primary of the registry is a mirror already: it may as well be the one that is promoted.
    pub(crate) fn begin_down_of_mirror(&mut self, lost: EndpointId, why: String) {
        self.enter_down(lost, why, StoreState::Healthy, true);
    }

    fn enter_down(&mut self, lost: EndpointId, why: String, previous: StoreState, fenced_old: bool) {
        if self.plan.is_none() && self.automatic_failover().is_ok() {
            self.begin_plan(ChangeKind::Failover, None, Some(lost.clone()), None);
        }
        self.reason = Some(why.clone());
        let mut mirrors = self.endpoints.iter().filter(|endpoint| endpoint.id != lost);
        let common = !mirrors.any(Endpoint::is_well);
        let down = Down {
            lost,
            why,
            since: self.now,
            previous,
            served: false,
            stage: Stage::Gather,
            looks: BTreeSet::new(),
            fenced_old,
            common,
            last_chance: None,
            attempted: None,
            retry_at: self.now,
        };
        self.enter(Phase::Down(down));
        self.look_at_mirrors();
    }

    fn look_at_mirrors(&mut self) {
        let Phase::Down(down) = &self.phase else { return };
        // One that was fenced is a mirror like the others.
        let mirrors = self.endpoints.iter().map(|endpoint| &endpoint.id);
        let mirrors: Vec<EndpointId> =
            mirrors.filter(|id| down.fenced_old || **id != down.lost).cloned().collect();
        let looks: BTreeSet<Operation> =
            mirrors.iter().map(|id| self.order(id, Order::Observe { probe: false })).collect();
        let now = self.now;
        if let Phase::Down(down) = &mut self.phase {
            down.since = now;
            down.looks = looks;
        }
    }

    pub(crate) fn advance_down(&mut self) {
        let Phase::Down(down) = &self.phase else { return };
        match &down.stage {
            Stage::Gather => self.gather(),
            Stage::FenceOld { orders, until, choice } => {
                if orders.is_empty() || self.now >= *until {
                    let choice = choice.clone();
                    self.step_done("fence_old");
                    self.promote_choice(choice);
                }
            }
            Stage::Promote { .. } => {}
            Stage::Verify { order, again, until, choice } => {
                if self.now >= *until {
                    let why = format!("{} was promoted but takes no writes", choice.endpoint);
                    self.fail_promotion(why);
                } else if order.is_none() && self.now >= *again {
                    let endpoint = choice.endpoint.clone();
                    let look = self.order(&endpoint, Order::Observe { probe: true });
                    if let Phase::Down(Down { stage: Stage::Verify { order, .. }, .. }) = &mut self.phase {
                        *order = Some(look);
                    }
                }
            }
        }
    }

    fn gather(&mut self) {
        let Phase::Down(down) = &self.phase else { return };
        let (lost, since, previous, fenced_old) =
            (down.lost.clone(), down.since, down.previous, down.fenced_old);
        let served = down.served;
        if !fenced_old && let Some(found) = self.back(&lost, since).or_else(|| self.back_at_last(&lost)) {
            match self.identity.as_ref().filter(|_| served) {
                None => {
                    self.vouch(&lost);
                    self.give_up_plan("the primary came back");
                    // With looks of now: another sidecar may have promoted somebody meanwhile.
                    self.find_out_anew();
                    return;
                }
                Some(identity) if identity.continues_in(&found) && is_primary(&found) => {
                    self.vouch(&lost);
                    self.give_up_plan("the primary came back as it was");
                    self.resume(previous);
                    return;
                }
                Some(_) => {}
            }
        }
        let Phase::Down(down) = &self.phase else { return };
        let asking = !down.looks.is_empty() && self.now < since + self.params.choice_deadline;
        if !self.is_fenced() || asking || self.now < down.retry_at {
            return;
        }
        let refusal = match self.automatic_failover() {
            Ok(()) => match self.choose() {
                Ok(choice) => {
                    if self.awaits_the_primary(&lost) {
                        return;
                    }
                    // What was refused at first may be allowed by now.
                    if self.plan.is_none() {
                        self.begin_plan(ChangeKind::Failover, None, Some(lost), None);
                    }
                    self.step_done("choose");
                    self.fence_old(choice);
                    return;
                }
                Err(why) => why,
            },
            Err(why) => why,
        };
        if let Phase::Down(down) = &mut self.phase {
            down.last_chance = None;
        }
        self.without_failover(refusal, since);
    }

    /// Whether the primary still has a moment to answer. Who froze or was cut off together with its mirrors has lost nothing, and
    /// it would be chance who is heard first.
    fn awaits_the_primary(&mut self, lost: &EndpointId) -> bool {
        let (now, patience) = (self.now, self.params.retry);
        let Phase::Down(down) = &mut self.phase else { return false };
        if down.fenced_old || !down.common {
            return false;
        }
        if let Some(began) = down.last_chance {
            return now < began + patience;
        }
        down.last_chance = Some(now);
        self.order(lost, Order::Observe { probe: false });
        true
    }

    /// What `lost` showed to the look of its last chance: one is enough, though health asks for more.
    fn back_at_last(&self, lost: &EndpointId) -> Option<Observation> {
        let Phase::Down(Down { last_chance: Some(began), .. }) = &self.phase else { return None };
        self.endpoint(lost)?.seen_since(*began).filter(|found| !found.loading).cloned()
    }

    /// What `lost` shows, if it serves again.
    fn back(&self, lost: &EndpointId, since: BootInstant) -> Option<Observation> {
        let endpoint = self.endpoint(lost)?;
        endpoint.fresh(self.now, self.params.fresh)?;
        endpoint.seen_since(since).filter(|found| endpoint.is_well() && !found.loading).cloned()
    }

    /// No failover is possible now: serve again if the roles as they are allow it, else say why not.
    fn without_failover(&mut self, refusal: String, since: BootInstant) {
        let Phase::Down(down) = &self.phase else { return };
        let (lost, why) = (down.lost.clone(), down.why.clone());
        let mut reason = format!("{why}; no automatic failover: {refusal}");
        match self.decide(since) {
            Decision::Primary(id, found) => match self.may_serve_again(&id, &lost, &found) {
                Ok(()) => {
                    let detail = format!("{id} is the primary: {why}");
                    let position = found.position;
                    if let Some(plan) = &mut self.plan {
                        plan.to = Some(id.clone());
                    }
                    self.begin_take(id, *found, Cause::Found, position, detail);
                    return;
                }
                Err(missing) => reason = format!("{reason}; {missing}"),
            },
            Decision::Nobody(_) => reason = format!("{reason}; no endpoint is a primary"),
            Decision::Wait(roles) if self.fresh(&lost).is_some() => reason = format!("{reason}; {roles}"),
            Decision::Lost(_) | Decision::Wait(_) => {}
        }
        if let Some(stranger) = self.copies_a_stranger() {
            reason = format!("{reason}; {stranger}");
        }
        self.reason = Some(reason);
        self.close();
    }

    /// A primary that restarted has another run id and history: whether its data is good enough for a new epoch, when no
    /// mirror can take over.
    fn may_serve_again(&self, id: &EndpointId, lost: &EndpointId, found: &Observation) -> Result<(), String> {
        let Some(record) = &self.registry.record else { return Ok(()) };
        let follower = matches!(self.ownership.authority, Authority::Follower(_));
        let marked = found.marker.is_some_and(|marker| marker >= record.epoch);
        if id != lost || follower || self.endpoints.len() == 1 || marked {
            Ok(())
        } else {
            Err(format!(
                "{id} answers again, but without the marker of epoch {}: its data may be gone",
                record.epoch
            ))
        }
    }

    /// The eligible mirror whose data goes furthest.
    fn choose(&self) -> Result<Choice, String> {
        let Phase::Down(down) = &self.phase else { return Err("the primary is not lost".to_owned()) };
        if let Some(silent) = self.silent_holder(down) {
            return Err(format!(
                "{silent} does not answer, and may have acknowledged writes that no other mirror has"
            ));
        }
        let mut best: Option<((bool, Position), Choice)> = None;
        let mut reasons = Vec::new();
        for endpoint in &self.endpoints {
            if endpoint.id == down.lost && !down.fenced_old {
                continue;
            }
            let promoted = down.attempted.as_ref() == Some(&endpoint.id);
            // Fresh as well: a process that was stopped knows how it was, and somebody else may be in charge by now.
            let found = self.fresh(&endpoint.id).and(endpoint.seen_since(down.since));
            match found.map(|found| (found, self.why_not(found, promoted))) {
                Some((found, None)) => {
                    // One that could not be promoted comes last, unless it may alone have what was acknowledged.
                    let willing = !promoted || self.posture.durability == Durability::Synchronous;
                    let rank = (willing, found.position);
                    if best.as_ref().is_none_or(|(best, _)| rank > *best) {
                        let choice = Choice { endpoint: endpoint.id.clone(), position: found.position };
                        best = Some((rank, choice));
                    }
                }
                Some((_, Some(why))) => reasons.push(format!("{} {why}", endpoint.id)),
                None => reasons.push(format!("{} does not answer", endpoint.id)),
            }
        }
        best.map(|(_, choice)| choice)
            .ok_or_else(|| format!("no mirror is eligible ({})", reasons.join(", ")))
    }

    /// A mirror that may alone have what was acknowledged by waiting for it, and that has not told its position
    /// (PROTOCOL 5.4).
    fn silent_holder(&self, down: &Down) -> Option<&EndpointId> {
        let answers = |endpoint: &&Endpoint| endpoint.seen_since(down.since).is_some();
        // A process that never served does not know which mirrors counted.
        let unknown = self.identity.is_none() && self.params.durability != WriteConcern::Asynchronous;
        let may_hold = |endpoint: &&Endpoint| {
            let waited = self.posture.durability == Durability::Synchronous;
            endpoint.id != down.lost && (unknown || (waited && self.holders.contains(&endpoint.id)))
        };
        self.endpoints
            .iter()
            .filter(may_hold)
            .find(|endpoint| !answers(endpoint))
            .map(|endpoint| &endpoint.id)
    }

    /// Whether `found` goes on with the data of the last primary: one that was promoted names its history as the one before, one
    /// that was restarted has a new history and names none.
    pub(crate) fn holds_our_data(&self, found: &Observation) -> bool {
        let before = found.previous_history.as_ref().map(|(history, _)| history);
        self.history().is_none_or(|current| found.history == *current || before == Some(current))
    }

    /// The history of the last primary's data, as far as it is known.
    fn history(&self) -> Option<&String> {
        let identity = self.identity.as_ref().map(|identity| &identity.history);
        identity.or(self.registry.record.as_ref().map(|record| &record.history))
    }

    /// Why an endpoint that shows `found` can't take over from the primary. `promoted`: we have tried to promote it.
    fn why_not(&self, found: &Observation, promoted: bool) -> Option<String> {
        let record = self.registry.record.as_ref();
        let Some(current) = self.history() else {
            return Some("can't be compared: no history is known".to_owned());
        };
        let before = found.previous_history.as_ref().map(|(history, _)| history);
        if is_primary(found) {
            return if promoted && before == Some(current) {
                None
            } else {
                Some("is a primary itself".to_owned())
            };
        }
        if found.loading || matches!(found.role, Role::Mirror { link: Link::Synchronizing, .. }) {
            return Some("has no whole copy of the data".to_owned());
        }
        // A mirror that missed the last change of primary has a shorter prefix of the same data.
        let prefix = record.is_some_and(|record| {
            record.descends.as_ref() == Some(&found.history) && found.position <= record.position
        });
        if found.history == *current || prefix {
            None
        } else if self.is_being_copied(found) {
            Some("has no copy of the data yet: waits for a full one".to_owned())
        } else {
            Some("holds data of another history".to_owned())
        }
    }

    /// Why `id` could not be promoted now; `None` when it could. For status.
    #[must_use]
    pub fn why_not_eligible(&self, id: &EndpointId) -> Option<String> {
        let Some(endpoint) = self.endpoint(id) else { return Some("is not configured".to_owned()) };
        if self.posture.primary.as_ref() == Some(id) {
            return Some("is the primary".to_owned());
        }
        let Some(found) = endpoint.fresh(self.now, self.params.fresh) else {
            return Some(endpoint.silence().to_owned());
        };
        if let Some(note) = &endpoint.note {
            return Some(note.clone());
        }
        self.why_not(found, false).or_else(|| (!is_whole_mirror(found)).then(|| "is no mirror".to_owned()))
    }

    /// Whether `found` is a mirror of the primary: then its data, of whatever history, is to be replaced by a copy. That may
    /// take seconds to begin (`repl-diskless-sync-delay`).
    pub(crate) fn is_being_copied(&self, found: &Observation) -> bool {
        let record = self.registry.record.as_ref().map(|record| &record.primary);
        let primary = self.posture.primary.as_ref().or(record);
        matches!(&found.role, Role::Mirror { of: Some(of), .. } if Some(of) == primary)
    }

    fn fence_old(&mut self, choice: Choice) {
        let Phase::Down(down) = &self.phase else { return };
        let lost = down.lost.clone();
        self.posture.state = StoreState::FailingOver;
        self.publish();
        if let Some(plan) = &mut self.plan {
            plan.to = Some(choice.endpoint.clone());
        }
        let gone = self.endpoint(&lost).is_some_and(|endpoint| endpoint.failed == Some(Failure::Refused));
        if gone || lost == choice.endpoint {
            self.promote_choice(choice);
            return;
        }
        let orders = [
            self.order(&lost, Order::Fence { of: choice.endpoint.clone() }),
            self.order(&lost, Order::DisconnectClients),
        ];
        // A switchover that it broke off may have paused it, which would keep it from copying.
        self.order(&lost, Order::ResumeWrites);
        let until = self.now + self.params.fence_deadline;
        if let Phase::Down(down) = &mut self.phase {
            down.fenced_old = true;
            down.stage = Stage::FenceOld { orders: orders.into_iter().collect(), until, choice };
        }
    }

    fn promote_choice(&mut self, choice: Choice) {
        let order = self.order(&choice.endpoint, Order::Promote);
        if let Phase::Down(down) = &mut self.phase {
            down.attempted = Some(choice.endpoint.clone());
            down.stage = Stage::Promote { order, choice };
        }
    }

    fn fail_promotion(&mut self, why: String) {
        let retry_at = self.now + self.params.retry;
        if let Phase::Down(down) = &mut self.phase {
            down.stage = Stage::Gather;
            down.retry_at = retry_at;
        }
        self.reason = Some(why);
        self.close();
        self.look_at_mirrors();
    }

    pub(crate) fn down_answered(&mut self, operation: Operation, result: Result<Answer, Rejection>) {
        let now = self.now;
        let Phase::Down(down) = &mut self.phase else { return };
        down.looks.remove(&operation);
        if let Stage::FenceOld { orders, .. } = &mut down.stage {
            orders.remove(&operation);
        }
        if down.stage.order() != Some(operation) {
            return;
        }
        match &mut down.stage {
            Stage::Gather | Stage::FenceOld { .. } => {}
            Stage::Promote { choice, .. } => match result {
                Ok(_) => {
                    let choice = choice.clone();
                    down.stage = Stage::Verify { order: None, again: now, until: now + VERIFY, choice };
                    self.step_done("promote");
                }
                Err(rejection) => {
                    let why = format!("{} could not be promoted: {}", choice.endpoint, rejection.detail);
                    self.fail_promotion(why);
                }
            },
            Stage::Verify { order, again, choice, .. } => {
                *order = None;
                *again = now + VERIFY_AGAIN;
                if let Ok(Answer::Observed(found)) = result
                    && is_primary(&found)
                    && found.writable
                {
                    let Choice { endpoint, position } = choice.clone();
                    if !self.holds_our_data(&found) {
                        let why =
                            format!("{endpoint} was restarted, and nothing proves that it has all data");
                        self.fail_promotion(why);
                        return;
                    }
                    let Phase::Down(down) = &self.phase else { return };
                    let detail = format!("{endpoint} is the primary: {}", down.why);
                    self.step_done("verify");
                    self.begin_take(endpoint, *found, Cause::Failover, position, detail);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
