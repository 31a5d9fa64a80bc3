//! One sidecar: a machine, its disk, what watches the servers, and data threads that acknowledge writes only under a lease.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use foretoken_types::{
    BootInstant, EndpointId, Epoch, Failure, Link, MirrorRoute, Observation, Operation, Posture, Role,
};

use super::super::failover::{Effect, Event, Machine, Order, Params, Record, Verdict};

/// The registry's file.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) record: Option<Record>,
    pub(crate) fault: DiskFault,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DiskFault {
    #[default]
    None,
    /// Nothing is written.
    Full,
    /// It is written, and the answer is an error all the same.
    Lies,
}

/// What is known of one endpoint's health. A small cousin of `foretoken_health::Detector`.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) looks: u64,
    pub(crate) found: Option<Observation>,
    failures: u32,
    refused: bool,
    suspect_since: Option<BootInstant>,
    verdict: Verdict,
}

impl Watch {
    const SUSPECT_AFTER: u32 = 3;
    const CONFIRM: Duration = Duration::from_millis(700);

    fn looked(&mut self, result: &Result<Observation, Failure>, now: BootInstant) {
        match result {
            Ok(found) => {
                self.found = Some(found.clone());
                (self.failures, self.refused, self.suspect_since) = (0, false, None);
            }
            Err(failure) => {
                self.failures += 1;
                self.refused = *failure == Failure::Refused;
                if self.failures >= Self::SUSPECT_AFTER {
                    self.suspect_since.get_or_insert(now);
                }
            }
        }
    }

    fn judge(&self, abandoned: bool, now: BootInstant) -> Verdict {
        if self.refused && abandoned {
            return Verdict::Down;
        }
        match self.suspect_since {
            Some(since) if now.since(since) >= Self::CONFIRM => Verdict::Down,
            Some(_) => Verdict::Suspect,
            None => Verdict::Up,
        }
    }
}

/// A data thread with one client that always wants to write.
#[derive(Debug)]
pub(crate) struct Thread {
    /// The posture that it has seen; the one in force may be newer.
    pub(crate) posture: Posture,
    pub(crate) in_flight: BTreeMap<u64, Epoch>,
    answered: Option<Operation>,
    /// It sees no posture until then, by the simulation's clock.
    pub(crate) blind_until: BootInstant,
    /// It never answers a hold.
    pub(crate) stuck: bool,
}

impl Thread {
    /// Sees a posture. Answers how many writes are given up.
    pub(crate) fn see(&mut self, posture: Posture) -> u64 {
        let before = self.in_flight.len();
        if posture.epoch != self.posture.epoch {
            // Connections of an old epoch are closed.
            self.in_flight.retain(|_, epoch| *epoch == posture.epoch);
        }
        if posture.hold.is_some_and(|hold| hold.fence && self.answered != Some(hold.operation)) {
            self.in_flight.clear();
        }
        self.posture = posture;
        (before - self.in_flight.len()) as u64
    }

    /// The hold that it obeys now and has not said so of.
    pub(crate) fn obeys(&mut self) -> Option<Operation> {
        let operation = self.posture.hold?.operation;
        let drained = self.in_flight.is_empty() && !self.stuck;
        (drained && self.answered != Some(operation)).then(|| {
            self.answered = Some(operation);
            operation
        })
    }
}

/// Orders to one endpoint, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<(Operation, Order)>,
    pub(crate) under_way: Option<Operation>,
}

/// Which epochs one sidecar has served, over all its processes: what must hold whatever happens.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    primaries: BTreeMap<Epoch, EndpointId>,
    /// The highest epoch of the processes before this one.
    before: Epoch,
}

impl Ledger {
    fn published(&mut self, posture: &Posture) {
        let (Some(_), Some(primary)) = (posture.lease, &posture.primary) else { return };
        let epoch = posture.epoch;
        assert!(epoch > self.before, "epoch {epoch} was served by a process before, up to {}", self.before);
        let first = self.primaries.entry(epoch).or_insert_with(|| primary.clone());
        assert_eq!(first, primary, "two primaries with a lease in epoch {epoch}");
        let highest = self.primaries.last_key_value().map(|(epoch, _)| *epoch);
        assert_eq!(highest, Some(epoch), "an epoch came back");
    }

    fn succeeded(&mut self) {
        self.before = self.primaries.last_key_value().map_or(self.before, |(epoch, _)| *epoch);
    }
}

/// One sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    ledger: Ledger,
    pub(crate) params: Params,
    pub(crate) machine: Machine,
    pub(crate) disk: Disk,
    /// All that the machine wanted, and when by its own clock.
    pub(crate) effects: Vec<(BootInstant, Effect)>,
    /// The posture in force before the first of them.
    pub(crate) before: Posture,
    /// Nothing of the process runs until then, by the simulation's clock.
    pub(crate) paused_until: BootInstant,
    pub(crate) runs: bool,
    /// What is meant for a process that is gone is dropped.
    pub(crate) incarnation: u64,
    pub(crate) watches: BTreeMap<EndpointId, Watch>,
    pub(crate) queues: BTreeMap<EndpointId, Queue>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) tick: u64,
    /// Whether its mirrors may serve stale reads.
    pub(crate) stale_reads: bool,
    /// Its clock was so far when the simulation began, and is so many parts in a million too fast.
    pub(crate) clock: (Duration, i64),
}

impl Sidecar {
    pub(crate) fn new(params: Params) -> Self {
        let mut sidecar = Self {
            ledger: Ledger::default(),
            machine: Machine::new(params.clone()),
            disk: Disk::default(),
            effects: Vec::new(),
            before: Posture::closed(params.store.clone()),
            paused_until: BootInstant::default(),
            runs: false,
            incarnation: 0,
            watches: BTreeMap::new(),
            queues: BTreeMap::new(),
            threads: Vec::new(),
            tick: 0,
            stale_reads: false,
            clock: (Duration::from_secs(100), 0),
            params,
        };
        sidecar.reset();
        sidecar
    }

    /// A process begins: it knows only what is on its disk.
    pub(crate) fn reset(&mut self) {
        self.incarnation += 1;
        self.ledger.succeeded();
        self.machine = Machine::new(self.params.clone());
        self.watches = self.params.endpoints.iter().map(|id| (id.clone(), Watch::default())).collect();
        self.queues = self.params.endpoints.iter().map(|id| (id.clone(), Queue::default())).collect();
        let thread = || Thread {
            posture: Posture::closed(self.params.store.clone()),
            in_flight: BTreeMap::new(),
            answered: None,
            blind_until: BootInstant::default(),
            stuck: false,
        };
        self.threads = (0..self.params.threads).map(|_| thread()).collect();
    }

    /// The machine hears this; what it wants.
    pub(crate) fn step(&mut self, event: Event, now: BootInstant) -> Vec<Effect> {
        let effects = self.machine.step(event, now);
        for effect in &effects {
            if let Effect::Publish(posture) = effect {
                self.ledger.published(posture);
            }
            self.effects.push((now, effect.clone()));
        }
        effects
    }

    /// What its clock shows.
    pub(crate) fn local(&self, now: BootInstant) -> BootInstant {
        let drift = i128::from(now.as_nanos()) * i128::from(self.clock.1) / 1_000_000;
        let nanos = u64::try_from(i128::from(now.as_nanos()) + drift).unwrap_or(0);
        BootInstant::from_nanos(nanos) + self.clock.0
    }

    /// When its clock will show `local`, about.
    pub(crate) fn global(&self, local: BootInstant) -> BootInstant {
        let shown = i128::from((local - self.clock.0).as_nanos());
        let nanos = shown * 1_000_000 / (1_000_000 + i128::from(self.clock.1));
        // Not too early, or the machine would be asked twice.
        BootInstant::from_nanos(u64::try_from(nanos).unwrap_or(0)) + Duration::from_micros(1)
    }

    /// What the machine is told when a look has ended, in order.
    pub(crate) fn looked(
        &mut self,
        endpoint: &EndpointId,
        asked: BootInstant,
        probed: bool,
        result: Result<Observation, Failure>,
        blocker: Option<String>,
        now: BootInstant,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(watch) = self.watches.get_mut(endpoint) {
            watch.looked(&result, now);
        }
        if let Ok(found) = &result {
            events.push(Event::Examined {
                endpoint: endpoint.clone(),
                version: vec![7, 0, 15],
                empty: Some(found.keys == 0),
                blockers: blocker.into_iter().collect(),
            });
        }
        events.push(Event::Observed {
            endpoint: endpoint.clone(),
            asked,
            probed,
            found: result.map(Box::new),
        });
        events.push(Event::Mirrors { routes: self.routes(), lags: self.lags() });
        events
    }

    /// Mirrors of the primary, also when it does not answer any more.
    fn routes(&self) -> Vec<MirrorRoute> {
        let primary = self.machine.posture().primary.as_ref();
        let copies =
            |found: &Observation| matches!(&found.role, Role::Mirror { of, .. } if of.as_ref() == primary);
        let mirrors = self
            .watches
            .iter()
            .filter(|(_, watch)| self.stale_reads && watch.found.as_ref().is_some_and(copies));
        mirrors.map(|(id, _)| MirrorRoute { endpoint: id.clone(), staleness: Duration::ZERO }).collect()
    }

    fn lags(&self) -> Vec<(EndpointId, super::super::failover::Lag)> {
        let primary = self.machine.posture().primary.as_ref();
        let ahead = primary.and_then(|id| self.watches.get(id)?.found.as_ref());
        self.watches
            .iter()
            .map(|(id, watch)| {
                let linked = watch.found.as_ref().filter(|found| {
                    matches!(&found.role, Role::Mirror { of, link: Link::Up { .. } } if of.as_ref() == primary)
                });
                let bytes = linked.zip(ahead).map(|(found, ahead)| found.position.lag_behind(ahead.position));
                (id.clone(), super::super::failover::Lag { bytes, time: bytes.map(|_| Duration::ZERO) })
            })
            .collect()
    }

    /// The verdicts in force are told again.
    pub(crate) fn forget_verdicts(&mut self) {
        for watch in self.watches.values_mut() {
            watch.verdict = Verdict::Unknown;
        }
    }

    /// The verdicts that have changed.
    pub(crate) fn judge(&mut self, now: BootInstant) -> Vec<Event> {
        let abandoned = |id: &EndpointId| {
            self.watches.values().filter_map(|watch| watch.found.as_ref()).all(|found| match &found.role {
                Role::Mirror { of: Some(of), link } if of == id => *link == Link::Down,
                _ => true,
            })
        };
        let words: Vec<(EndpointId, Verdict)> =
            self.watches.iter().map(|(id, watch)| (id.clone(), watch.judge(abandoned(id), now))).collect();
        let mut events = Vec::new();
        for (id, verdict) in words {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            let asked = watch.found.is_some() || watch.failures > 0;
            if asked && watch.verdict != verdict {
                watch.verdict = verdict;
                let why = format!("{} looks in a row failed", watch.failures);
                events.push(Event::Health { endpoint: id, verdict, why });
            }
        }
        events
    }
}
