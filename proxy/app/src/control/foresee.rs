//! Looks ahead for one store: a row a step, the risk, the alarm, and what to do about it (RISK.md).
//!
//! Nothing of it is needed to serve: without a number the answer is "unknown", and the store goes on as it is.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_predict::record::Use;
use foretoken_predict::{
    Action, Alarms, Assessment, Calibration, Candidate, Cores, Decision, Feature, Params, Policy, Readings,
    Resource, Row, Situation, Thresholds, Usage, Usages, Window, assess, decide,
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
    /// What the store said, and when; `None` when that was too long ago.
    pub(super) capacity: Option<(&'a Capacity, BootInstant)>,
    /// The same of its machine.
    pub(super) host: Option<(&'a HostFigures, BootInstant)>,
    /// How far mirrors are behind.
    pub(super) lag: Option<Duration>,
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

    /// What was measured of an endpoint in the last step.
    pub(super) fn measured(&self, endpoint: usize) -> Option<(&Row, [Option<Use>; Resource::ALL.len()])> {
        let seen = self.endpoints.get(endpoint)?;
        let (row, past) = (seen.window.newest()?, seen.past.back()?);
        let used = |resource| past.use_of(resource).map(|(used, limit)| Use { used, limit });
        Some((row, Resource::ALL.map(used)))
    }

    /// Time between two steps.
    pub(super) const fn step_length(&self) -> Duration {
        self.params.step
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
