//! Looks ahead for one store: a row a step, the risk, the alarm, and what to do about it (RISK.md).
//!
//! Nothing of it is needed to serve: without a number the answer is "unknown", and the store goes on as it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::model::{RiskEntry, RiskEvent};
use foretoken_predict::contract::HORIZONS;
use foretoken_predict::record::Use;
use foretoken_predict::{
    Action, Alarms, Assessment, Candidate, Cores, Decision, Doubt, Feature, Ledger, Model, Params, Policy,
    Readings, Resource, Risk, Row, Situation, Thresholds, Trust, Usage, Usages, Window, decide, has_failed,
};
use foretoken_types::{BootInstant, Capacity, EndpointId};

use foretoken_health::{Figures, HostFigures};

use super::journal::Journal;
use super::judge::{Answer, Question};

/// Steps over which growth is measured for a mirror's own time to its limits.
const GROWTH_STEPS: usize = 10;

/// What looking ahead is told.
#[derive(Clone, Debug)]
pub(crate) struct ForesightParams {
    /// Time between two rows.
    pub(crate) step: Duration,
    /// Who judges.
    pub(crate) judges: Judges,
    /// When an alarm is raised; `None`: at the levels that were measured for who judges.
    pub(crate) thresholds: Option<Thresholds>,
    /// How far to go, and when not again.
    pub(crate) decide: Params,
}

impl ForesightParams {
    /// The levels of alarms for as long as nothing is held against the model.
    pub(crate) fn thresholds(&self) -> Thresholds {
        thresholds(self, &Trust::default())
    }
}

/// Who judges.
#[derive(Clone, Debug)]
pub(crate) struct Judges {
    /// Whether the rule does.
    pub(crate) rule: bool,
    /// Whether a model does.
    pub(crate) model: Chosen,
}

/// The model that judges.
#[derive(Clone, Debug)]
pub(crate) enum Chosen {
    /// None: the configuration says so.
    None,
    /// The one that comes with the program.
    Embedded(Arc<Model>),
    /// One from a file.
    File(Arc<Model>),
}

impl Chosen {
    const fn model(&self) -> Option<&Arc<Model>> {
        match self {
            Self::None => None,
            Self::Embedded(model) | Self::File(model) => Some(model),
        }
    }
}

/// What an endpoint shows in this step.
pub(super) struct Shown<'a> {
    pub(super) figures: Figures,
    /// What the store said, and when; `None` when that was too long ago.
    pub(super) capacity: Option<(&'a Capacity, BootInstant)>,
    /// The same of its machine.
    pub(super) host: Option<(&'a HostFigures, BootInstant)>,
    /// How far mirrors are behind.
    pub(super) lag: Option<Duration>,
}

/// What is known of the store beside its endpoints, when an answer is weighed.
pub(super) struct Circumstances<'a> {
    pub(super) primary: Option<&'a EndpointId>,
    /// Which endpoints could be promoted now, in the order of the configuration.
    pub(super) ready: &'a [bool],
    /// When the primary last changed.
    pub(super) switched: Option<BootInstant>,
    pub(super) now: BootInstant,
    /// The same by the wall clock, for people.
    pub(super) unix_ms: u64,
}

/// What was found in the last step.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) assessment: Assessment,
    pub(super) raised: [bool; HORIZONS.len()],
    pub(super) thresholds: Thresholds,
    pub(super) decision: Decision,
    /// Since when the rule alone, and the model alone, are at the threshold of each horizon.
    pub(super) rule_since: [Option<u64>; HORIZONS.len()],
    pub(super) model_since: [Option<u64>; HORIZONS.len()],
    /// What the inference of this step took; `None`: no model was asked.
    pub(super) took: Option<Duration>,
    /// What is held against it.
    pub(super) doubt: Option<Doubt>,
}

/// The foresight of one store.
pub(super) struct Foresight {
    params: ForesightParams,
    endpoints: Vec<Seen>,
    alarms: Alarms,
    trust: Trust,
    ledger: Ledger,
    journal: Journal,
    /// Number and primary of the question that has no answer yet, and whether it was put to the model.
    asked: Option<(u64, EndpointId, bool)>,
    questions: u64,
    next: BootInstant,
    last: Option<Found>,
}

/// What was seen of one endpoint.
struct Seen {
    id: EndpointId,
    window: Window,
    past: VecDeque<Past>,
}

/// What was known in one step.
#[derive(Clone, Copy, Debug)]
struct Past {
    at: BootInstant,
    capacity: Option<(Capacity, BootInstant)>,
    host: Option<(HostFigures, BootInstant)>,
    cores: Option<Cores>,
}

impl Foresight {
    pub(super) fn new(
        params: ForesightParams,
        endpoints: impl IntoIterator<Item = EndpointId>,
        journal: Journal,
    ) -> Self {
        let seen = |id| Seen { id, window: Window::default(), past: VecDeque::new() };
        Self {
            endpoints: endpoints.into_iter().map(seen).collect(),
            alarms: Alarms::new(thresholds(&params, &Trust::default()), params.decide.cool_down),
            trust: Trust::default(),
            ledger: Ledger::default(),
            journal,
            asked: None,
            questions: 0,
            next: BootInstant::default(),
            last: None,
            params,
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

    /// What was measured of an endpoint in the last step.
    pub(super) fn measured(&self, endpoint: usize) -> Option<(&Row, [Option<Use>; Resource::ALL.len()])> {
        let seen = self.endpoints.get(endpoint)?;
        let (row, past) = (seen.window.newest()?, seen.past.back()?);
        let used = |resource| past.use_of(resource).map(|(used, limit)| Use { used, limit });
        Some((row, Resource::ALL.map(used)))
    }

    /// CPU of an endpoint in the last step: used, and kept from.
    pub(super) fn cpu(&self, endpoint: usize) -> (Option<f64>, Option<f64>) {
        let seen = self.endpoints.get(endpoint);
        let now = |feature| seen.and_then(|seen| seen.now(feature));
        (now(Feature::CpuRatio), now(Feature::CpuThrottledRatio))
    }

    /// How far the policy goes.
    pub(super) const fn policy(&self) -> Policy {
        self.params.decide.policy
    }

    /// Time between two steps.
    pub(super) const fn pace(&self) -> Duration {
        self.params.step
    }

    /// The last entries of the journal, newest first.
    pub(super) fn journal(&self) -> Vec<RiskEntry> {
        self.journal.last()
    }

    /// Which model weighs in, in words.
    pub(super) fn model(&self) -> String {
        match (&self.params.judges.model, self.trust.off()) {
            (Chosen::None, _) => "off: the configuration says so (judges = \"rule\")".to_owned(),
            (_, Some(doubt)) => format!("off: {doubt}"),
            (Chosen::Embedded(_), None) => "embedded".to_owned(),
            (Chosen::File(_), None) => "file".to_owned(),
        }
    }

    /// Takes over other settings. What was seen stays seen, unless the step has changed: then it is about another time.
    pub(super) fn configure(&mut self, params: ForesightParams) {
        if params.step != self.params.step {
            self.endpoints.iter_mut().for_each(|seen| seen.window.clear());
            self.ledger = Ledger::default();
            self.next = BootInstant::default();
        }
        self.params = params;
        // Whoever reloads wants the model to be tried.
        self.trust = Trust::default();
        self.levels();
    }

    fn levels(&mut self) {
        self.alarms.configure(thresholds(&self.params, &self.trust), self.params.decide.cool_down);
    }

    /// One step: takes a row of each endpoint, and asks about that of the primary. `down`: it does not serve now.
    pub(super) fn look(
        &mut self,
        shown: &[Shown<'_>],
        primary: Option<&EndpointId>,
        down: bool,
        now: BootInstant,
    ) -> Option<Question> {
        self.next = now + self.params.step;
        for (seen, shown) in self.endpoints.iter_mut().zip(shown) {
            seen.add(shown, now);
        }
        let own = self.endpoints.iter().find(|seen| Some(&seen.id) == primary)?;
        let failed = down || has_failed(&own.window);
        if failed {
            self.ledger.failed();
        }
        self.journal.step(failed);
        // One that is still at it is not asked again, so that there is never more than one of it.
        let busy = self.asked.as_ref().is_some_and(|(_, _, model)| *model);
        if busy {
            self.trust.heard(Some(Doubt::Absent));
        }
        let model = self.params.judges.model.model().filter(|_| !busy && self.trust.asks()).cloned();
        self.questions += 1;
        if !busy {
            self.asked = Some((self.questions, own.id.clone(), model.is_some()));
        }
        Some(Question {
            number: self.questions,
            primary: own.id.clone(),
            window: own.window.clone(),
            rule: self.params.judges.rule,
            model,
            calibration: self.ledger.calibration(),
            failed,
        })
    }

    /// Weighs an answer: alarms, what to do about them, and the journal. `None` when it is about what is no more.
    pub(super) fn hear(&mut self, answer: Answer, at: &Circumstances<'_>) -> Option<&Found> {
        if self.asked.as_ref().is_some_and(|(number, ..)| *number == answer.number) {
            self.asked = None;
        }
        if answer.number != self.questions || Some(&answer.primary) != at.primary {
            return None;
        }
        let doubt = answer.heard.and_then(|(told, took)| Doubt::of(told, took));
        if answer.heard.is_some() {
            self.trust.heard(doubt);
        }
        self.levels();
        if !answer.failed {
            self.ledger.step(answer.heard.and_then(|(told, _)| told.ok()));
        }
        let assessment = answer.assessment;
        let (enter, before) = (self.alarms.thresholds().enter(), self.alarms.raised());
        let raised = self.alarms.step(assessment.risk, at.now);
        let own = self.endpoints.iter().find(|seen| Some(&seen.id) == at.primary)?;
        let mirrors: Vec<Candidate> = self
            .endpoints
            .iter()
            .zip(at.ready)
            .filter(|(seen, _)| Some(&seen.id) != at.primary)
            .map(|(seen, ready)| Candidate {
                id: seen.id.clone(),
                ready: *ready,
                usages: seen.usages(self.params.step),
            })
            .collect();
        let situation = Situation {
            raised,
            causes: &assessment.causes,
            own: &own.usages(self.params.step),
            mirrors: &mirrors,
            switched: at.switched,
            now: at.now,
        };
        let decision = decide(&situation, &self.params.decide);
        let last = self.last.as_ref();
        let found = Found {
            raised,
            thresholds: self.alarms.thresholds(),
            rule_since: since(last.map(|last| last.rule_since), assessment.rule, enter, at.unix_ms),
            model_since: since(last.map(|last| last.model_since), assessment.model.ok(), enter, at.unix_ms),
            took: answer.heard.map(|(_, took)| took),
            doubt,
            assessment,
            decision,
        };
        let changed = last.map_or(found.decision.would != Action::Stay, |last| last.differs(&found));
        let entry = |event, steps| found.entry(event, steps, at, self.params.decide.policy);
        for (place, horizon) in HORIZONS.into_iter().enumerate() {
            match (before[place], raised[place]) {
                (false, true) => self.journal.raised(entry(RiskEvent::Raised, Some(horizon))),
                (true, false) => self.journal.write(entry(RiskEvent::Cleared, Some(horizon))),
                _ => {}
            }
        }
        if changed {
            self.journal.write(entry(RiskEvent::Decided, None));
        }
        self.last = Some(found);
        self.last.as_ref()
    }

    /// Waits until the journal is on the disk.
    pub(super) async fn close(&mut self) {
        self.journal.close().await;
    }

    /// The primary was changed: what was foretold of the old one stays open for ever.
    pub(super) fn moved(&mut self) {
        self.ledger.moved();
        self.journal.moved();
    }
}

/// Levels of alarms: those of the configuration, or those that were measured for who judges now.
fn thresholds(params: &ForesightParams, trust: &Trust) -> Thresholds {
    let even = Thresholds::same(EVEN_PERCENT);
    params.thresholds.unwrap_or_else(|| match params.judges.model.model() {
        Some(model) if trust.off().is_none() => model.thresholds().unwrap_or(even),
        _ => Thresholds::embedded(false).unwrap_or(even),
    })
}

/// Where nobody measured a level: more likely than not.
const EVEN_PERCENT: u8 = 50;

/// Since when one judge is at the threshold of each horizon.
fn since(
    before: Option<[Option<u64>; HORIZONS.len()]>,
    risk: Option<Risk>,
    enter: [f32; HORIZONS.len()],
    now: u64,
) -> [Option<u64>; HORIZONS.len()] {
    let mut since = before.unwrap_or_default();
    let risk = risk.map(Risk::to_array);
    for (place, since) in since.iter_mut().enumerate() {
        let above = risk.is_some_and(|risk| risk[place] >= enter[place]);
        *since = above.then(|| since.unwrap_or(now));
    }
    since
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

    /// Whether another thing is done, or for another kind of reason: figures alone are no news.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let kind = |found: &Self| {
            let Decision { action, would, why, .. } = &found.decision;
            (action.clone(), would.clone(), why.as_str())
        };
        kind(self) != kind(other)
    }

    fn entry(
        &self,
        event: RiskEvent,
        steps: Option<u16>,
        at: &Circumstances<'_>,
        policy: Policy,
    ) -> RiskEntry {
        let assessment = &self.assessment;
        RiskEntry {
            at_unix_ms: at.unix_ms,
            event,
            primary: at.primary.cloned(),
            steps,
            risk: assessment.risk.map(Risk::to_array),
            rule: assessment.rule.map(Risk::to_array),
            model: assessment.model.ok().map(Risk::to_array),
            threshold: self.thresholds.enter(),
            causes: assessment.causes.iter().map(|cause| cause.words.clone()).collect(),
            policy: policy.as_str().to_owned(),
            action: self.decision.action.as_str().to_owned(),
            would: self.decision.would.as_str().to_owned(),
            why: self.decision.why.to_string(),
            after_ms: None,
        }
    }
}

impl Seen {
    fn add(&mut self, shown: &Shown<'_>, now: BootInstant) {
        // A step may see what the one before it saw; what grows is compared with an older reading then.
        let capacity_before = shown.capacity.and_then(|(_, read)| {
            let older = self.past.iter().rev().filter_map(|past| past.capacity.as_ref());
            older.map(|(capacity, at)| (capacity, read.since(*at))).find(|(_, ago)| !ago.is_zero())
        });
        let host_before = shown.host.and_then(|(_, read)| {
            let older = self.past.iter().rev().filter_map(|past| past.host.as_ref());
            older.map(|(host, at)| (host, read.since(*at))).find(|(_, ago)| !ago.is_zero())
        });
        let readings = Readings {
            traffic: Some(&shown.figures),
            capacity: shown.capacity.map(|(capacity, _)| capacity),
            before: capacity_before,
            host: shown.host.map(|(host, _)| host),
            host_before,
            lag: shown.lag,
        };
        self.window.push(Row::measured(&readings));
        let cores = readings.cores();
        self.past.push_back(Past {
            at: now,
            capacity: shown.capacity.map(|(capacity, at)| (*capacity, at)),
            host: shown.host.map(|(host, at)| (*host, at)),
            cores,
        });
        if self.past.len() > GROWTH_STEPS {
            self.past.pop_front();
        }
    }

    /// The value of a feature in the last step.
    fn now(&self, feature: Feature) -> Option<f64> {
        self.window.last(feature, 1).map(f64::from)
    }

    /// What it uses of each resource, where that comes from, and how fast that grows.
    fn usages(&self, step: Duration) -> Usages {
        let last = self.past.back();
        let host = last.and_then(|past| past.host.as_ref()).map(|(host, _)| host);
        let source = |resource| match resource {
            Resource::Disk => Some(host?.disk?.device),
            Resource::HostMemory => host?.machine,
            // A quota that ends after the core that one thread has is not what runs out.
            Resource::Cpu => {
                let (quota, cores) = (host?.cpu_quota?, last?.cores?);
                (quota.cores <= cores.limit).then_some(quota.group)
            }
            Resource::Memory | Resource::Connections => None,
        };
        Resource::ALL.into_iter().fold(Usages::default(), |all, resource| {
            let all = all.drawn_from(resource, source(resource));
            match self.usage(step, |past| past.use_of(resource)) {
                Some(usage) => all.with(resource, usage),
                None => all,
            }
        })
    }

    fn usage(&self, step: Duration, of: impl Fn(&Past) -> Option<(f64, Option<f64>)>) -> Option<Usage> {
        let mut known = self.past.iter().filter_map(|past| Some((past.at, of(past)?)));
        let (first, (then, _)) = known.next()?;
        let (last, (now, _)) = known.next_back().unwrap_or((first, (then, None)));
        let steps = last.since(first).as_secs_f64() / step.as_secs_f64();
        let per_step = if steps >= 1.0 { (now - then) / steps } else { 0.0 };
        let limit = of(self.past.back()?).and_then(|(_, limit)| limit).filter(|limit| *limit > 0.0);
        Some(Usage { used: now, limit, per_step })
    }
}

impl Past {
    /// What is used of a resource and where it ends, in its own unit.
    fn use_of(&self, resource: Resource) -> Option<(f64, Option<f64>)> {
        let capacity = self.capacity.as_ref().map(|(capacity, _)| capacity);
        let host = self.host.as_ref().map(|(host, _)| host);
        match resource {
            Resource::Memory => {
                let capacity = capacity?;
                Some((float(capacity.memory_used_bytes?), capacity.memory_limit_bytes.map(float)))
            }
            Resource::Connections => {
                let capacity = capacity?;
                Some((float(capacity.clients?), capacity.clients_limit.map(float)))
            }
            Resource::Cpu => self.cores.map(|cores| (cores.used, Some(cores.limit))),
            Resource::Disk => {
                let disk = host?.disk?;
                Some((float(disk.used_bytes), Some(float(disk.size_bytes))))
            }
            Resource::HostMemory => {
                let (total, free) = (host?.memory_total_bytes?, host?.memory_available_bytes?);
                Some((float(total.saturating_sub(free)), Some(float(total))))
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes and connections, for a trend")]
const fn float(value: u64) -> f64 {
    value as f64
}
