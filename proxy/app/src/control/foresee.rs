//! Looks ahead for one store: a row a step, the risk, the alarm, and what to do about it (RISK.md).
//!
//! Nothing of it is needed to serve: without a number the answer is "unknown", and the store goes on as it is.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_predict::{
    Action, Alarms, Assessment, Calibration, Candidate, Decision, Params, Policy, Readings, Resource, Row,
    Situation, Thresholds, Usage, Usages, Window, assess, decide,
};
use foretoken_types::{BootInstant, Capacity, EndpointId};

use foretoken_health::{Figures, HostFigures};

/// Steps over which growth is measured for a mirror's own time to its limits.
const GROWTH_STEPS: usize = 10;

/// What looking ahead is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForesightParams {
    /// Time between two rows.
    pub(crate) step: Duration,
    /// When an alarm is raised.
    pub(crate) thresholds: Thresholds,
    /// How far to go, and when not again.
    pub(crate) decide: Params,
}

/// What an endpoint shows in this step.
pub(super) struct Shown<'a> {
    pub(super) figures: Figures,
    pub(super) capacity: &'a Capacity,
    pub(super) host: &'a HostFigures,
    /// Whether it could be promoted now.
    pub(super) ready: bool,
}

/// What was found in the last step.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) assessment: Assessment,
    pub(super) raised: bool,
    pub(super) decision: Decision,
}

/// The foresight of one store.
pub(super) struct Foresight {
    params: ForesightParams,
    endpoints: Vec<Seen>,
    alarms: Alarms,
    next: BootInstant,
    last: Option<Found>,
}

/// What was seen of one endpoint.
struct Seen {
    id: EndpointId,
    window: Window,
    past: VecDeque<(BootInstant, Capacity)>,
}

impl Foresight {
    pub(super) fn new(params: ForesightParams, endpoints: impl IntoIterator<Item = EndpointId>) -> Self {
        let seen = |id| Seen { id, window: Window::default(), past: VecDeque::new() };
        Self {
            params,
            endpoints: endpoints.into_iter().map(seen).collect(),
            alarms: Alarms::new(params.thresholds, params.decide.cool_down),
            next: BootInstant::default(),
            last: None,
        }
    }

    /// When the next step is due.
    pub(super) const fn next(&self) -> BootInstant {
        self.next
    }

    /// What was found last.
    pub(super) const fn last(&self) -> Option<&Found> {
        self.last.as_ref()
    }

    /// How far the policy goes.
    pub(super) const fn policy(&self) -> Policy {
        self.params.decide.policy
    }

    /// Takes over other settings. What was seen stays seen, unless the step has changed: then it is about another time.
    pub(super) fn configure(&mut self, params: ForesightParams) {
        if params.step != self.params.step {
            self.endpoints.iter_mut().for_each(|seen| seen.window.clear());
            self.next = BootInstant::default();
        }
        if params.thresholds != self.params.thresholds
            || params.decide.cool_down != self.params.decide.cool_down
        {
            self.alarms = Alarms::new(params.thresholds, params.decide.cool_down);
        }
        self.params = params;
    }

    /// One step: takes a row of each endpoint and looks at that of the primary. `switched`: when the primary last changed.
    pub(super) fn step(
        &mut self,
        shown: &[Shown<'_>],
        primary: Option<&EndpointId>,
        switched: Option<BootInstant>,
        now: BootInstant,
    ) -> Option<&Found> {
        self.next = now + self.params.step;
        for (seen, shown) in self.endpoints.iter_mut().zip(shown) {
            seen.add(shown, now);
        }
        let own = self.endpoints.iter().find(|seen| Some(&seen.id) == primary)?;
        let assessment = assess(&own.window, None, &Calibration::default());
        let raised = self.alarms.step(assessment.risk, now);
        let mirrors: Vec<Candidate> = self
            .endpoints
            .iter()
            .zip(shown)
            .filter(|(seen, _)| Some(&seen.id) != primary)
            .map(|(seen, shown)| Candidate {
                id: seen.id.clone(),
                ready: shown.ready,
                usages: seen.usages(self.params.step),
            })
            .collect();
        let situation = Situation {
            raised,
            causes: &assessment.causes,
            own: &own.usages(self.params.step),
            mirrors: &mirrors,
            switched,
            now,
        };
        let decision = decide(&situation, &self.params.decide);
        self.last = Some(Found { raised: raised.contains(&true), assessment, decision });
        self.last.as_ref()
    }
}

impl Found {
    /// Why the store is at risk, when something is to be done about it.
    pub(super) fn words(&self) -> Option<String> {
        if self.decision.action == Action::Stay {
            return None;
        }
        let causes: Vec<&str> = self.assessment.causes.iter().map(|cause| cause.words.as_str()).collect();
        Some(format!("{}; {}", causes.join(", "), self.decision.why))
    }
}

impl Seen {
    fn add(&mut self, shown: &Shown<'_>, now: BootInstant) {
        let before = self.past.back().map(|(at, capacity)| (capacity, now.since(*at)));
        let readings = Readings {
            traffic: Some(&shown.figures),
            capacity: Some(shown.capacity),
            before,
            host: Some(shown.host),
        };
        self.window.push(Row::measured(&readings));
        self.past.push_back((now, *shown.capacity));
        if self.past.len() > GROWTH_STEPS {
            self.past.pop_front();
        }
    }

    /// What it uses of each resource, and how fast that grows.
    fn usages(&self, step: Duration) -> Usages {
        let memory = self.usage(step, |seen| seen.memory_used_bytes, |seen| seen.memory_limit_bytes);
        let connections = self.usage(step, |seen| seen.clients, |seen| seen.clients_limit);
        [(Resource::Memory, memory), (Resource::Connections, connections)].into_iter().fold(
            Usages::default(),
            |all, (resource, usage)| match usage {
                Some(usage) => all.with(resource, usage),
                None => all,
            },
        )
    }

    fn usage(
        &self,
        step: Duration,
        used: fn(&Capacity) -> Option<u64>,
        limit: fn(&Capacity) -> Option<u64>,
    ) -> Option<Usage> {
        let mut known = self.past.iter().filter_map(|(at, seen)| Some((*at, float(used(seen)?))));
        let (first, then) = known.next()?;
        let (last, now) = known.next_back().unwrap_or((first, then));
        let steps = last.since(first).as_secs_f64() / step.as_secs_f64();
        let per_step = if steps >= 1.0 { (now - then) / steps } else { 0.0 };
        let limit = limit(&self.past.back()?.1).filter(|limit| *limit > 0).map(float);
        Some(Usage { used: now, limit, per_step })
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes and connections, for a trend")]
const fn float(value: u64) -> f64 {
    value as f64
}
