//! The machine: what it knows, how it takes events in, and the loop that turns them into effects.
//!
//! Events only add to what is known ([`Machine::take_in`]); decisions are made afterwards, from all that is known
//! ([`Machine::advance`]), so it does not matter in which order two pieces of news arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foretoken_types::{
    Authority, BootInstant, EndpointId, Epoch, Failure, HoldScope, Observation, Operation, Position, Posture,
    Role,
};

use crate::asked::Asked;
use crate::effect::{Effect, Order};
use crate::endpoints::{Endpoint, Paused, is_primary};
use crate::event::{Answer, Event, Rejection, SaveFailure, Settings};
use crate::invariants::{Facts, Invariants};
use crate::knowledge::{Identity, Positions, Registry, Sent};
use crate::ownership::Ownership;
use crate::plan::Plan;
use crate::planned::Planned;
use crate::reactive::{Down, Suspected};
use crate::record::Record;
use crate::start::{Resolve, Start};
use crate::take::Take;
use crate::{Params, repair};

/// The state machine of one store.
#[derive(Debug)]
pub struct Machine {
    pub(crate) params: Params,
    pub(crate) now: BootInstant,
    pub(crate) started: Option<BootInstant>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) registry: Registry,
    pub(crate) posture: Posture,
    pub(crate) phase: Phase,
    pub(crate) ownership: Ownership,
    /// When the last lease was granted.
    pub(crate) last_grant: Option<BootInstant>,
    /// Data threads that obey the hold in force.
    pub(crate) held: BTreeSet<usize>,
    /// When the hold in force began.
    pub(crate) held_since: Option<BootInstant>,
    /// Who the primary is, by the names that it gave itself when it was taken.
    pub(crate) identity: Option<Identity>,
    /// Where the primary was, and when it was asked for that: what bounds the loss when it is lost.
    pub(crate) positions: Positions,
    /// The change of primary that is under way.
    pub(crate) plan: Option<Plan>,
    /// An order to switch over that waits to begin.
    pub(crate) asked: Option<Asked>,
    /// Why the store is not served, or not as it should be.
    pub(crate) reason: Option<String>,
    pub(crate) sent: BTreeMap<Operation, Sent>,
    /// Whether it was told what exactly the last failover has lost.
    pub(crate) loss_published: bool,
    /// What the last primary had that was fenced: its history and position.
    pub(crate) fenced: Option<(EndpointId, String, Position)>,
    /// Why the primary is expected to become unavailable, if it is.
    pub(crate) risk: Option<String>,
    /// Histories of other primaries that were there when this one was put in charge.
    pub(crate) known_rivals: Vec<String>,
    /// How the role came to where it is, if others moved it.
    pub(crate) moved_by_others: Option<String>,
    /// Mirrors that may have acknowledged writes which no other has.
    pub(crate) holders: Vec<EndpointId>,
    /// Settings that are not in force yet.
    pub(crate) configured: Option<Settings>,
    pub(crate) mark_at: BootInstant,
    /// Since when the primary of this epoch serves.
    pub(crate) serving_since: Option<BootInstant>,
    /// The epoch whose primary has shown that it is the right one.
    pub(crate) validated: Option<Epoch>,
    pub(crate) operations: u64,
    pub(crate) plans: u64,
    pub(crate) turned: bool,
    pub(crate) out: Vec<Effect>,
    pub(crate) invariants: Invariants,
}

/// What is being done.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Finding out who is primary.
    Start(Start),
    /// Ending a switchover that was broken off.
    Resolve(Resolve),
    /// Putting a primary in charge: registry, marker.
    Take(Take),
    /// The primary serves.
    Serving,
    /// The primary is suspected.
    Suspected(Suspected),
    /// Roles were changed by somebody else: letting requests wait, to find out anew.
    Moving,
    /// A planned switchover.
    Planned(Planned),
    /// The primary is lost.
    Down(Down),
}

impl Phase {
    const fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Resolve(_) => "resolve",
            Self::Take(_) => "take",
            Self::Serving => "serving",
            Self::Suspected(_) => "suspected",
            Self::Moving => "moving",
            Self::Planned(_) => "planned",
            Self::Down(_) => "down",
        }
    }
}

/// Why roles are found out anew after a stop of this process.
pub(crate) const LAPSED: &str = "the primary could not be asked for too long who is in charge";

impl Machine {
    /// A machine that knows nothing yet. Its first step should be [`Event::Loaded`].
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            now: BootInstant::default(),
            started: None,
            endpoints: params.endpoints.iter().cloned().map(Endpoint::new).collect(),
            registry: Registry {
                loaded: false,
                record: None,
                saving: None,
                retry_at: BootInstant::default(),
                trouble: None,
            },
            posture: Posture::closed(params.store.clone()),
            phase: Phase::Start(Start::default()),
            ownership: Ownership::default(),
            last_grant: None,
            held: BTreeSet::new(),
            held_since: None,
            identity: None,
            positions: Positions::default(),
            plan: None,
            asked: None,
            reason: Some("starting: no endpoint was looked at yet".to_owned()),
            sent: BTreeMap::new(),
            loss_published: false,
            fenced: None,
            risk: None,
            known_rivals: Vec::new(),
            moved_by_others: None,
            holders: Vec::new(),
            configured: None,
            mark_at: BootInstant::default(),
            serving_since: None,
            validated: None,
            operations: 0,
            plans: 0,
            turned: false,
            out: Vec::new(),
            invariants: Invariants::default(),
            params,
        }
    }

    /// Takes an event in and returns what is to be done about it, in order. An instant before the last one counts as the
    /// last one.
    pub fn step(&mut self, event: Event, now: BootInstant) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.started.is_none() {
            self.started = Some(self.now);
            self.phase = Phase::Start(Start { since: self.now });
        }
        if cfg!(debug_assertions) {
            self.invariants.heard(&event);
        }
        self.take_in(event);
        self.keep_asked();
        // A switchover ends by the times with which it began: the primary was told them.
        if !matches!(self.phase, Phase::Planned(_))
            && let Some(settings) = self.configured.take()
        {
            self.params.configure(settings);
        }
        // Each turn is another phase; no chain of phases is as long as that without news from outside.
        for _ in 0..8 {
            self.turned = false;
            self.advance();
            if !self.turned {
                break;
            }
        }
        self.keep_durability();
        self.keep_temporary();
        self.keep_ownership();
        repair::repair(self);
        self.keep_risk();
        self.keep_validated();
        let effects = std::mem::take(&mut self.out);
        if cfg!(debug_assertions) {
            let facts = Facts {
                params: &self.params,
                now: self.now,
                authority: &self.ownership.authority,
                next_deadline: self.next_deadline(),
                phase: self.phase.name(),
            };
            if let Err(broken) = self.invariants.did(&effects, &facts) {
                debug_assert!(false, "{broken}; in phase {}: {:?}", self.phase.name(), self.phase);
            }
        }
        effects
    }

    /// When the next [`Event::Tick`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootInstant> {
        let phase = match &self.phase {
            Phase::Start(_) | Phase::Resolve(_) => self.started.map(|_| self.now + self.params.retry),
            Phase::Take(take) => Some(take.next_deadline(self)),
            Phase::Serving => Some(self.renew_at()),
            Phase::Suspected(suspected) => {
                Some(if suspected.closed { self.now + self.params.retry } else { self.fence_end() })
            }
            Phase::Moving => Some(self.fenced_at()),
            Phase::Planned(planned) => {
                let deadline = planned.next_deadline(self.now);
                Some(if planned.holds() { deadline } else { deadline.min(self.renew_at()) })
            }
            Phase::Down(down) => Some(down.next_deadline(self)),
        };
        let serving = matches!(self.phase, Phase::Serving);
        let temporary = self.temporary_renewal();
        let claim = serving.then(|| self.ownership.next_at());
        let asked = self.asked.as_ref().map(|asked| asked.until);
        [phase, claim, temporary, asked]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.now + Duration::from_millis(1)))
    }

    /// The posture in force.
    #[must_use]
    pub const fn posture(&self) -> &Posture {
        &self.posture
    }

    /// Whether this sidecar is in charge.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.ownership.authority
    }

    /// The other instance that holds the owner record, as last heard.
    #[must_use]
    pub const fn owner(&self) -> Option<&foretoken_types::InstanceId> {
        self.ownership.other.as_ref()
    }

    /// Why the store is not served, in words; `None` while it is.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Why the primary is expected to become unavailable, if it is.
    #[must_use]
    pub fn risk(&self) -> Option<&str> {
        self.risk.as_deref()
    }

    /// When the hold in force began.
    #[must_use]
    pub const fn held_since(&self) -> Option<BootInstant> {
        self.held_since
    }

    /// The registry's record, as last read or saved.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.registry.record.as_ref()
    }

    /// Whether the primary has shown, since it was put in charge, that it is the right one: it reports the role, its history is
    /// the one that was put in charge, and a write probe passed (PROTOCOL 3.2, T2). The old one was fenced before that.
    #[must_use]
    pub fn is_validated(&self) -> bool {
        let (Phase::Serving, Some(since)) = (&self.phase, self.serving_since) else { return false };
        let Some(look) = self.posture.primary.as_ref().and_then(|id| self.endpoint(id)?.look.as_ref()) else {
            return false;
        };
        let found = &look.found;
        let same = self.identity.as_ref().is_some_and(|identity| identity.continues_in(found));
        self.validated == Some(self.posture.epoch)
            || (look.asked >= since && look.probed && found.writable && is_primary(found) && same)
    }

    /// Whether `found` shows `id` as the posture takes it for: the primary is still the server, with the data, that was put in
    /// charge. Of any other endpoint nothing is taken for granted.
    #[must_use]
    pub fn is_as_known(&self, id: &EndpointId, found: &Observation) -> bool {
        let same = self.identity.as_ref().is_some_and(|identity| identity.continues_in(found));
        self.posture.primary.as_ref() != Some(id) || (same && is_primary(found))
    }

    /// Once it has shown it, that holds for the epoch: later trouble is another matter.
    fn keep_validated(&mut self) {
        if self.validated != Some(self.posture.epoch) && self.is_validated() {
            self.validated = Some(self.posture.epoch);
        }
    }

    /// What an endpoint is now; `None`: no recent look can tell.
    #[must_use]
    pub fn seen(&self, id: &EndpointId) -> Option<&Observation> {
        self.fresh(id)
    }

    /// Number of the change that is under way, for logs.
    #[must_use]
    pub fn plan(&self) -> Option<u64> {
        self.plan.as_ref().map(|plan| plan.number)
    }

    /// Whether watchers may probe for writes now. Not while a planned switchover holds them, or one that was broken off may
    /// have left the primary so: the probe would wait in the native pause, and look like a failure.
    #[must_use]
    pub fn may_probe_writes(&self) -> bool {
        let primary = self.posture.primary.as_ref().and_then(|primary| self.endpoint(primary));
        match &self.phase {
            Phase::Planned(planned) => !planned.holds(),
            Phase::Resolve(_) => false,
            _ => primary.is_none_or(|primary| primary.paused.is_none()),
        }
    }

    /// What is being done, in a word.
    #[must_use]
    pub const fn phase(&self) -> &'static str {
        self.phase.name()
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Loaded(record) => {
                self.registry.loaded = true;
                self.registry.record = record;
            }
            Event::Observed { endpoint, asked, probed, found } => {
                self.learn(&endpoint, asked, probed, found.map(|found| *found));
            }
            Event::Health { endpoint, verdict, why } => {
                if let Some(endpoint) = self.endpoint_mut(&endpoint) {
                    (endpoint.verdict, endpoint.why) = (verdict, why);
                }
            }
            Event::Examined { endpoint, version, empty, blockers } => {
                let now = self.now;
                if let Some(endpoint) = self.endpoint_mut(&endpoint) {
                    (endpoint.version, endpoint.blockers) = (version, blockers);
                    endpoint.empty_at = (empty == Some(true)).then_some(now);
                }
            }
            Event::Mirrors { routes, lags } => self.take_in_mirrors(routes, lags),
            Event::Held { operation, thread, in_doubt } => {
                if self.posture.hold.is_some_and(|hold| hold.operation == operation)
                    && thread < self.params.threads
                    && self.held.insert(thread)
                    && let Some(plan) = &mut self.plan
                {
                    plan.in_doubt = plan.in_doubt.saturating_add(in_doubt);
                }
            }
            Event::Answered { operation, result } => self.take_in_answer(operation, result),
            Event::Saved { operation, result } => self.take_in_saved(operation, result),
            Event::Risk(risk) => self.risk = risk,
            Event::Configured(settings) => self.configured = Some(settings),
            Event::Switchover { command, to, dry_run } => self.take_in_switchover(command, to, dry_run),
        }
    }

    fn take_in_mirrors(
        &mut self,
        routes: Vec<foretoken_types::MirrorRoute>,
        lags: Vec<(EndpointId, crate::Lag)>,
    ) {
        for (id, lag) in lags {
            if let Some(endpoint) = self.endpoint_mut(&id) {
                endpoint.lag = lag;
            }
        }
        let moved = routes != self.posture.mirrors;
        self.posture.mirrors = routes;
        if moved {
            self.publish();
        }
    }

    fn take_in_answer(&mut self, operation: Operation, result: Result<Answer, Rejection>) {
        let Some(sent) = self.sent.remove(&operation) else { return };
        if let Order::Observe { probe } = sent.order {
            let found = match &result {
                Ok(Answer::Observed(found)) => Ok((**found).clone()),
                Ok(_) => Err(Failure::Other),
                Err(rejection) => Err(rejection.failure),
            };
            self.learn(&sent.endpoint, sent.at, probe, found);
        }
        if let Ok(Answer::Fenced { had: Some((history, position)) }) = &result {
            self.fenced = Some((sent.endpoint.clone(), history.clone(), *position));
        }
        if matches!(sent.order, Order::Demote { .. } | Order::Promote | Order::Fence { .. }) {
            let now = self.now;
            if let Some(endpoint) = self.endpoint_mut(&sent.endpoint) {
                endpoint.forget(now);
            }
        }
        let heard = !matches!(result, Err(Rejection { failure: Failure::Timeout | Failure::OpenFiles, .. }));
        if sent.order == Order::ResumeWrites
            && heard
            && let Some(endpoint) = self.endpoint_mut(&sent.endpoint)
        {
            // Unless it was told to let them wait again since.
            endpoint.paused.take_if(|paused| paused.told <= sent.at);
        }
        self.answer_claim(operation, &sent, &result);
        match &self.phase {
            Phase::Planned(_) => self.planned_answered(operation, result),
            Phase::Down(_) => self.down_answered(operation, result),
            Phase::Resolve(_) => self.resolve_answered(operation, result),
            Phase::Take(_) => self.take_answered(operation, result),
            _ => {}
        }
    }

    fn take_in_saved(&mut self, operation: Operation, result: Result<(), SaveFailure>) {
        let Some((_, record)) = self.registry.saving.take_if(|(saving, _)| *saving == operation) else {
            return;
        };
        match result {
            Ok(()) => {
                self.registry.record = Some(record);
                self.registry.trouble = None;
            }
            Err(failure) => {
                self.registry.retry_at = self.now + self.params.retry;
                self.registry.trouble = Some(match failure {
                    SaveFailure::Conflict(found) => {
                        self.registry.record = found;
                        "the registry was changed by somebody else".to_owned()
                    }
                    SaveFailure::Failed(why) => format!("the registry can't be written: {why}"),
                });
            }
        }
    }

    pub(crate) fn advance(&mut self) {
        match &self.phase {
            Phase::Start(_) => self.advance_start(),
            Phase::Resolve(_) => self.advance_resolve(),
            Phase::Take(_) => self.advance_take(),
            Phase::Serving => self.advance_serving(),
            Phase::Suspected(_) => self.advance_suspected(),
            Phase::Moving => self.advance_moving(),
            Phase::Planned(_) => self.advance_planned(),
            Phase::Down(_) => self.advance_down(),
        }
    }

    fn advance_serving(&mut self) {
        let Some(primary) = self.posture.primary.clone() else { return };
        if self.has_lapsed() {
            self.begin_moving(LAPSED.to_owned());
            return;
        }
        if self.primary_changed(&primary) {
            return;
        }
        // In charge of a store with mirrors, but not by the epoch in force: what follows builds on being the last who was.
        if self.owns() && self.endpoints.len() > 1 && !self.was_in_charge() && !self.is_saving() {
            self.begin_moving(
                "this sidecar is in charge from now on, and begins an epoch of its own".to_owned(),
            );
            return;
        }
        if self.now >= self.renew_at() {
            self.grant();
            self.publish();
        }
    }

    /// Leaves the serving phase when the primary is not what it was. Also asked before a switchover begins to hold.
    pub(crate) fn primary_changed(&mut self, primary: &EndpointId) -> bool {
        let Some(endpoint) = self.endpoint(primary) else { return false };
        let seen = endpoint.fresh(self.now, self.params.fresh).cloned();
        let (verdict, why) = (endpoint.verdict, endpoint.why.clone());
        if let (Some(found), true) = (&seen, self.identity.is_some()) {
            let same = self.identity.as_ref().is_some_and(|identity| identity.continues_in(found));
            if matches!(found.role, Role::Mirror { .. }) {
                self.begin_moving(format!("{primary} was made a mirror by somebody else"));
                return true;
            }
            if !same {
                self.begin_down(format!("{primary} came back with another run id or history"));
                return true;
            }
            self.identity = Some(Identity::of(found));
            let asked =
                self.endpoint(primary).and_then(|endpoint| endpoint.look.as_ref()).map(|look| look.asked);
            self.positions.note(asked.unwrap_or(self.now), found.position);
        }
        if let Some(why) = self.contested(primary) {
            self.begin_moving(why);
            return true;
        }
        match verdict {
            crate::Verdict::Down => self.begin_down(format!("{primary} is down: {why}")),
            crate::Verdict::Suspect => self.begin_suspected(format!("{primary} is suspected: {why}")),
            crate::Verdict::Unknown | crate::Verdict::Up => return false,
        }
        true
    }

    /// Lets requests wait until no old lease can live, then finds out anew who is primary.
    pub(crate) fn begin_moving(&mut self, why: String) {
        self.give_up_plan(&why);
        self.reason = Some(why);
        self.hold(HoldScope::All, false);
        self.publish();
        self.enter(Phase::Moving);
    }

    fn advance_moving(&mut self) {
        if self.is_fenced() {
            self.find_out_anew();
        }
    }

    // ---- what the other files use ----

    /// Nothing is let through until it is clear who is primary.
    pub(crate) fn find_out_anew(&mut self) {
        self.close();
        self.ownership.forget();
        self.enter(Phase::Start(Start { since: self.now }));
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turned = true;
    }

    pub(crate) fn endpoint(&self, id: &EndpointId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.id == *id)
    }

    pub(crate) fn endpoint_mut(&mut self, id: &EndpointId) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.id == *id)
    }

    /// What an endpoint is now, as far as a recent look can tell.
    pub(crate) fn fresh(&self, id: &EndpointId) -> Option<&Observation> {
        self.endpoint(id)?.fresh(self.now, self.params.fresh)
    }

    /// Everything that can be seen now.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&EndpointId, &Observation)> {
        let (now, within) = (self.now, self.params.fresh);
        self.endpoints.iter().filter_map(move |endpoint| Some((&endpoint.id, endpoint.fresh(now, within)?)))
    }

    fn learn(
        &mut self,
        id: &EndpointId,
        asked: BootInstant,
        probed: bool,
        found: Result<Observation, Failure>,
    ) {
        if let Some(endpoint) = self.endpoint_mut(id) {
            endpoint.learn(asked, probed, found);
        }
    }

    pub(crate) fn operation(&mut self) -> Operation {
        self.operations = self.operations.saturating_add(1);
        Operation(self.operations)
    }

    pub(crate) fn order(&mut self, endpoint: &EndpointId, order: Order) -> Operation {
        let operation = self.operation();
        let now = self.now;
        if matches!(order, Order::PauseWrites { .. } | Order::ResumeWrites)
            && let Some(endpoint) = self.endpoint_mut(endpoint)
        {
            endpoint.paused = Some(Paused { told: now, answers: None });
        }
        let sent = Sent { endpoint: endpoint.clone(), order: order.clone(), at: self.now };
        self.sent.insert(operation, sent);
        self.out.push(Effect::Order { operation, endpoint: endpoint.clone(), order });
        operation
    }

    /// Whether an order to `endpoint` is under way for which `is` holds.
    pub(crate) fn is_under_way(&self, endpoint: &EndpointId, is: impl Fn(&Order) -> bool) -> bool {
        self.sent.values().any(|sent| sent.endpoint == *endpoint && is(&sent.order))
    }

    /// Saves `record` over what the registry holds. `None`: not now, another save is under way or has just failed.
    pub(crate) fn save(&mut self, record: Record) -> Option<Operation> {
        if self.is_saving() || self.now < self.registry.retry_at {
            return None;
        }
        let operation = self.operation();
        self.registry.saving = Some((operation, record.clone()));
        self.out.push(Effect::Save { operation, expected: self.registry.record.clone(), record });
        Some(operation)
    }

    pub(crate) const fn is_saving(&self) -> bool {
        self.registry.saving.is_some()
    }

    /// When [`Machine::is_fenced`] holds at the latest.
    pub(crate) fn fenced_at(&self) -> BootInstant {
        self.fence_end().max(self.predecessors_end())
    }

    pub(crate) fn started(&self) -> BootInstant {
        self.started.unwrap_or(self.now)
    }

    /// The highest epoch that is known of, in the registry, in the stores and in force.
    pub(crate) fn highest_epoch(&self) -> Epoch {
        let markers = self.endpoints.iter().filter_map(|endpoint| endpoint.look.as_ref()?.found.marker);
        let record = self.registry.record.as_ref().map(|record| record.epoch);
        markers.chain(record).chain([self.posture.epoch]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
