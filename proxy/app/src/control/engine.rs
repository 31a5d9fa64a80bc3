//! The task that owns the engines of one store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::model::{LastLoss, LastSwitchover, StoreStatus, SwitchoverReport};
use foretoken_failover::{Change, Effect, Event, Loss, Machine, Outcome, Rejection};
use foretoken_health::{Detector, EndpointMetrics, HostFigures, Verdict};
use foretoken_mirror::{MirrorMetrics, MirrorSpec, Tracker};
use foretoken_outbound::Sight;
use foretoken_protocol::{Preflight, Refused, Severity};
use foretoken_registry::Registry;
use foretoken_types::{
    Authority, BootInstant, Capacity, Clock, EndpointId, Failure, Link, Observation, Posture, Report, Role,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::foresee::Foresight;
use super::journal::Journal;
use super::orders::{DEPTH, Executor, Ordered};
use super::recorder::Recorder;
use super::sighting::Sighting;
use super::signal::Signal;
use super::trouble::Trouble;
use super::warnings::Warnings;
use super::watch_endpoint::Watcher;
use super::watch_host::HostWatcher;
use super::{Command, Live, StoreParams, record, status};
use crate::metrics::ControlMetrics;
use crate::show;

mod ahead;

use ahead::ended;

/// What is exported and shown is renewed this often, and at each change of the posture.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Where news comes from.
pub(super) struct Inputs {
    pub(super) signals: mpsc::Receiver<Signal>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Where it goes.
pub(super) struct Outputs {
    pub(super) posture: watch::Sender<Arc<Posture>>,
    pub(super) status: watch::Sender<Arc<StoreStatus>>,
    /// In the order of the endpoints.
    pub(super) sights: Vec<Sight>,
}

/// One endpoint and all that is known of it.
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) detector: Detector,
    pub(super) verdict: Option<Verdict>,
    pub(super) found: Option<Observation>,
    pub(super) refused: Option<Refused>,
    trouble: Trouble,
    pub(super) warnings: Warnings,
    pub(super) preflight: Preflight,
    metrics: EndpointMetrics,
    lag: MirrorMetrics,
    capacity: Capacity,
    capacity_at: Option<BootInstant>,
    host: HostFigures,
    host_at: Option<BootInstant>,
    orders: mpsc::Sender<Ordered>,
    sight: Sight,
}

/// The engines of one store and their wiring.
pub(super) struct Engine {
    pub(super) params: StoreParams,
    pub(super) machine: Machine,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) tracker: Tracker,
    pub(super) last: Option<LastSwitchover>,
    pub(super) last_attempt: Option<LastSwitchover>,
    pub(super) unserved: Trouble,
    /// Who was last said to be in charge.
    pub(super) in_charge: Authority,
    pub(super) loss: Option<LastLoss>,
    pub(super) foresight: Foresight,
    recorder: Option<Recorder>,
    /// The change of primary that ended since the last step: on whose line it is told, and as what.
    ended: Option<(EndpointId, &'static str)>,
    /// When the primary last changed.
    switched: Option<BootInstant>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    signals: mpsc::Sender<Signal>,
    posture: watch::Sender<Arc<Posture>>,
    status: watch::Sender<Arc<StoreStatus>>,
    probe_writes: watch::Sender<bool>,
    waiting: HashMap<u64, oneshot::Sender<SwitchoverReport>>,
    commands: u64,
    metrics: ControlMetrics,
    shown: Option<BootInstant>,
}

impl Engine {
    pub(super) fn new(
        params: StoreParams,
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        signals: mpsc::Sender<Signal>,
        outputs: Outputs,
    ) -> Self {
        let Outputs { posture, status, sights } = outputs;
        let (probe_writes, watch_probes) = watch::channel(true);
        let dials: Vec<_> = params.endpoints.iter().map(|spec| spec.dial.clone()).collect();
        let mut endpoints = Vec::new();
        for (number, (spec, sight)) in params.endpoints.iter().zip(sights).enumerate() {
            let (orders, orders_in) = mpsc::channel(DEPTH);
            let executor = Executor {
                control: (spec.control)(),
                instance: params.machine.instance.clone(),
                dials: dials.clone(),
                signals: signals.clone(),
            };
            let (home, home_in) = watch::channel(None);
            let host_watcher = HostWatcher {
                endpoint: number,
                source: spec.host.clone(),
                home: home_in,
                clock: Arc::clone(&clock),
                signals: signals.clone(),
            };
            let watcher = Watcher {
                endpoint: number,
                control: (spec.control)(),
                home,
                live: params.live.clone(),
                clock: Arc::clone(&clock),
                signals: signals.clone(),
                probe_writes: watch_probes.clone(),
            };
            let sighting = Sighting {
                endpoint: number,
                control: (spec.control)(),
                sight: sight.clone(),
                clock: Arc::clone(&clock),
                signals: signals.clone(),
            };
            // All end when this engine, and with it the channels' other ends, is gone.
            tokio::spawn(executor.run(orders_in));
            tokio::spawn(watcher.run());
            tokio::spawn(sighting.run());
            tokio::spawn(host_watcher.run());
            endpoints.push(Endpoint {
                id: spec.id.clone(),
                detector: Detector::new(spec.id.clone(), params.live.borrow().detect),
                verdict: None,
                found: None,
                refused: None,
                trouble: Trouble::of_endpoint(),
                warnings: Warnings::new(),
                preflight: Preflight::default(),
                metrics: EndpointMetrics::new(&params.store, &spec.id),
                lag: MirrorMetrics::new(&params.store, &spec.id),
                capacity: Capacity::default(),
                capacity_at: None,
                host: HostFigures::default(),
                host_at: None,
                orders,
                sight,
            });
        }
        let specs = params
            .endpoints
            .iter()
            .map(|spec| MirrorSpec { endpoint: spec.id.clone(), region: spec.region.clone() });
        let foresight = Foresight::new(
            params.live.borrow().foresight.clone(),
            params.endpoints.iter().map(|spec| spec.id.clone()),
            Journal::open(&params.journal, &params.store, record::unix_ms),
        );
        let recorder = params.record.as_ref().map(|record| Recorder::start(&params.store, record));
        Self {
            machine: Machine::new(params.machine.clone()),
            tracker: Tracker::new(params.region.clone(), specs),
            metrics: ControlMetrics::new(&params.store),
            params,
            endpoints,
            last: None,
            last_attempt: None,
            unserved: Trouble::of_store(),
            in_charge: Authority::Undecided,
            loss: None,
            foresight,
            recorder,
            ended: None,
            switched: None,
            registry,
            clock,
            signals,
            posture,
            status,
            probe_writes,
            waiting: HashMap::new(),
            commands: 0,
            shown: None,
        }
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self, mut inputs: Inputs) {
        self.load();
        let mut live = self.params.live.clone();
        loop {
            let wait = self.until_next();
            tokio::select! {
                biased;
                _ = inputs.stop.wait_for(|stop| *stop) => break,
                Some(signal) = inputs.signals.recv() => self.hear(signal),
                Some(report) = inputs.reports.recv() => self.report(report),
                Some(command) = inputs.commands.recv() => self.command(command),
                Ok(()) = live.changed() => {
                    let live = live.borrow_and_update().clone();
                    self.configure(&live);
                }
                () = tokio::time::sleep(wait) => self.step(Event::Tick),
            }
            self.judge();
            self.foresee();
            self.tell_trouble(self.clock.now());
            self.tell_authority();
            self.show();
        }
        self.release().await;
        self.foresight.close().await;
    }

    fn configure(&mut self, live: &Live) {
        for endpoint in &mut self.endpoints {
            endpoint.detector.configure(live.detect);
        }
        self.foresight.configure(live.foresight.clone());
        self.step(Event::Configured(live.settings));
        self.shown = None;
    }

    /// How long nothing has to happen.
    fn until_next(&mut self) -> Duration {
        let now = self.clock.now();
        let detectors = self.endpoints.iter_mut().filter_map(|endpoint| endpoint.detector.next_change(now));
        let next = detectors.chain(self.machine.next_deadline()).chain([self.foresight.next()]).min();
        // A timer rounds up to the next millisecond, so that a deadline in the past does not spin.
        next.map_or(SHOW_EVERY, |at| now.until(at)).clamp(Duration::from_millis(1), SHOW_EVERY)
    }

    fn load(&self) {
        let (registry, signals, store) =
            (Arc::clone(&self.registry), self.signals.clone(), self.params.store.clone());
        tokio::task::spawn_blocking(move || {
            let loaded = record::load(&*registry, &store).map_err(|error| error.to_string());
            // The engine may have been stopped meanwhile.
            signals.blocking_send(Signal::Loaded(loaded)).ok();
        });
    }

    fn hear(&mut self, signal: Signal) {
        let now = self.clock.now();
        match signal {
            Signal::Asked { endpoint, at } => self.endpoints[endpoint].detector.probe_started(at),
            Signal::Looked { endpoint, asked, probed, found, took } => {
                let failure = found.as_ref().err().map(|refused| refused.failure);
                let at = &mut self.endpoints[endpoint];
                at.detector.looked(found.as_deref().map_err(|refused| refused.failure), took, now);
                at.metrics.looked(failure, took);
                match &found {
                    Ok(found) => {
                        (at.found, at.refused) = (Some((**found).clone()), None);
                        at.warnings.looked(found, probed);
                        at.warnings.tell(&self.params.store, &at.id, now);
                    }
                    Err(refused) => at.refused = Some(refused.clone()),
                }
                at.trouble.looked(&self.params.store, &at.id, at.refused.as_ref(), now);
                let id = at.id.clone();
                if failure != Some(Failure::OpenFiles) {
                    self.place(endpoint, found.as_deref().map_err(|refused| refused.failure), now);
                }
                let found = found.map_err(|refused| refused.failure);
                self.examine(endpoint, found.as_ref().is_ok_and(|found| found.keys == 0));
                self.step(Event::Observed { endpoint: id.clone(), asked, probed, found });
                self.mirrors(now);
                let at = &self.endpoints[endpoint];
                if failure.is_none()
                    && at.found.as_ref().is_some_and(|found| self.machine.is_as_known(&id, found))
                {
                    at.sight.confirm(asked);
                }
            }
            Signal::Sighted { endpoint, asked, found } => self.sighted(endpoint, asked, found),
            Signal::Reached { endpoint, result } => self.endpoints[endpoint].detector.reached(result, now),
            Signal::Capacity { endpoint, capacity } => {
                let at = &mut self.endpoints[endpoint];
                (at.capacity, at.capacity_at) = (*capacity, Some(now));
                at.warnings.measured(&at.capacity);
            }
            Signal::Host { endpoint, figures } => {
                let at = &mut self.endpoints[endpoint];
                (at.host, at.host_at) = (*figures, Some(now));
            }
            Signal::Examined { endpoint, preflight } => {
                self.endpoints[endpoint].preflight = preflight;
                let empty = self.endpoints[endpoint].found.as_ref().is_some_and(|found| found.keys == 0);
                self.examine(endpoint, empty);
            }
            Signal::Answered { operation, result } => self.step(Event::Answered { operation, result }),
            Signal::Judged(answer) => self.judged(*answer),
            Signal::Loaded(Ok(record)) => {
                if let Some(record) = &record {
                    self.tracker.remember(&record.history);
                }
                self.step(Event::Loaded(record));
            }
            Signal::Loaded(Err(why)) => {
                // Without its record nothing may be decided; the disk may come back.
                tracing::error!(store = %self.params.store, error = %why, "the registry can't be read");
                let (registry, signals, store) =
                    (Arc::clone(&self.registry), self.signals.clone(), self.params.store.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let loaded = tokio::task::spawn_blocking(move || {
                        record::load(&*registry, &store).map_err(|error| error.to_string())
                    });
                    if let Ok(loaded) = loaded.await {
                        signals.send(Signal::Loaded(loaded)).await.ok();
                    }
                });
            }
            Signal::Saved { operation, result } => self.step(Event::Saved { operation, result }),
        }
    }

    /// Data threads wait to hear who answers on their new connections.
    fn sighted(&mut self, endpoint: usize, asked: BootInstant, found: Result<Box<Observation>, Failure>) {
        let id = self.endpoints[endpoint].id.clone();
        match found {
            Ok(found) if self.machine.is_as_known(&id, &found) => {
                // What it says of its link and its position decides whether it may be read from as a mirror.
                let now = self.clock.now();
                self.place(endpoint, Ok(&found), now);
                self.mirrors(now);
                self.endpoints[endpoint].sight.confirm(asked);
            }
            Ok(found) => {
                self.step(Event::Observed { endpoint: id, asked, probed: false, found: Ok(found) });
            }
            // One that was just restarted runs no script for long yet (`busy-reply-threshold`, 5 s by default).
            Err(Failure::Busy) => self.endpoints[endpoint].sight.confirm(asked),
            // The regular looks say the same, and know what follows from it.
            Err(_) => {}
        }
    }

    /// Tells detector and tracker what a look says of replication.
    fn place(&mut self, endpoint: usize, found: Result<&Observation, Failure>, now: BootInstant) {
        let id = self.endpoints[endpoint].id.clone();
        let link = match found {
            Ok(Observation { role: Role::Mirror { of: Some(of), link }, .. }) => Some((of.clone(), *link)),
            _ => None,
        };
        for other in &mut self.endpoints {
            let word = link.as_ref().filter(|(of, _)| *of == other.id).map(|(_, link): &(_, Link)| *link);
            other.detector.mirror_link(&id, word, now);
        }
        let is_primary = self.machine.posture().primary.as_ref() == Some(&id);
        match found {
            Ok(found) if is_primary => self.tracker.primary(found, now),
            found => self.tracker.mirror(&id, found, now),
        }
    }

    fn examine(&mut self, endpoint: usize, empty: bool) {
        let at = &self.endpoints[endpoint];
        let blockers = at
            .preflight
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Blocker)
            .map(|finding| format!("{}: {}", finding.what, finding.detail))
            .collect();
        let event = Event::Examined {
            endpoint: at.id.clone(),
            version: at.preflight.version.clone(),
            empty: Some(empty),
            blockers,
        };
        self.step(event);
    }

    fn mirrors(&mut self, now: BootInstant) {
        let limits = self.params.live.borrow().read_lags.clone();
        let primary = self.machine.posture().primary.clone();
        let mut routes = self.tracker.eligible_for_reads(limits.last().copied().unwrap_or_default(), now);
        for route in &mut routes {
            // Which limits it keeps is news; a staleness that changes with each look would not be.
            let kept = limits.iter().find(|limit| route.staleness <= **limit);
            route.staleness = kept.copied().unwrap_or(route.staleness);
        }
        routes.retain(|route| Some(&route.endpoint) != primary.as_ref());
        let lags = self
            .endpoints
            .iter()
            .map(|endpoint| {
                let lag = self.tracker.lag(&endpoint.id, now);
                let lag = foretoken_failover::Lag {
                    bytes: lag.map(|lag| lag.bytes),
                    time: lag.and_then(|lag| lag.time),
                };
                (endpoint.id.clone(), lag)
            })
            .collect();
        self.step(Event::Mirrors { routes, lags });
    }

    fn report(&mut self, report: Report) {
        let now = self.clock.now();
        match report {
            Report::Sample(sample) => {
                if let Some(at) = self.endpoints.iter_mut().find(|at| at.id == sample.endpoint) {
                    at.detector.sample(&sample, now);
                }
            }
            Report::Held { thread, operation, in_doubt, .. } => {
                self.step(Event::Held { operation, thread, in_doubt })
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.commands += 1;
        self.waiting.insert(self.commands, command.answer);
        let (to, dry_run) = (command.request.to, command.request.dry_run);
        self.step(Event::Switchover { command: self.commands, to, dry_run });
    }

    /// Tells the machine of each verdict that has changed.
    fn judge(&mut self) {
        let now = self.clock.now();
        for number in 0..self.endpoints.len() {
            let at = &mut self.endpoints[number];
            let verdict = at.detector.verdict(now);
            // Before the first look there is no word, and no good one of what has never shown itself.
            if at.found.is_none() && at.verdict.is_none() && (at.refused.is_none() || verdict == Verdict::Up)
            {
                continue;
            }
            let kind = |verdict: &Verdict| std::mem::discriminant(verdict);
            if at.verdict.as_ref().map(kind) == Some(kind(&verdict)) {
                at.verdict = Some(verdict);
                continue;
            }
            let (word, why) = match &verdict {
                Verdict::Up => (foretoken_failover::Verdict::Up, String::new()),
                Verdict::Suspect { evidence, .. } => {
                    (foretoken_failover::Verdict::Suspect, evidence.to_string())
                }
                Verdict::Down { evidence, .. } => (foretoken_failover::Verdict::Down, evidence.to_string()),
            };
            let id = at.id.clone();
            at.metrics.verdict(&verdict);
            at.verdict = Some(verdict);
            tracing::info!(store = %self.params.store, endpoint = %id, verdict = ?word, evidence = %why, "health changed");
            self.step(Event::Health { endpoint: id, verdict: word, why });
        }
    }

    fn step(&mut self, event: Event) {
        let before = (
            self.machine.posture().state,
            self.machine.posture().epoch,
            self.machine.posture().primary.clone(),
        );
        let effects = self.machine.step(event, self.clock.now());
        for effect in effects {
            self.perform(effect);
        }
        let may_probe = self.machine.may_probe_writes();
        self.probe_writes.send_if_modified(|probe| std::mem::replace(probe, may_probe) != may_probe);
        let posture = self.machine.posture();
        if before != (posture.state, posture.epoch, posture.primary.clone()) {
            tracing::info!(
                store = %self.params.store,
                state = %posture.state,
                epoch = %posture.epoch,
                primary = posture.primary.as_ref().map(tracing::field::display),
                plan_id = self.machine.plan(),
                reason = self.machine.reason(),
                "state changed"
            );
            self.shown = None;
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(posture) => {
                self.posture.send_replace(Arc::new(posture));
            }
            Effect::Order { operation, endpoint, order } => {
                let at = self.endpoints.iter().find(|at| at.id == endpoint);
                let sent = at.is_some_and(|at| at.orders.try_send(Ordered { operation, order }).is_ok());
                if !sent {
                    // Answered like any other order, so that the machine never waits for what will not come.
                    let detail = format!("{endpoint} has too many orders under way");
                    let result = Err(Rejection { failure: Failure::Timeout, detail });
                    self.later(Signal::Answered { operation, result });
                }
            }
            Effect::Save { operation, expected, record } => {
                let (registry, signals, store) =
                    (Arc::clone(&self.registry), self.signals.clone(), self.params.store.clone());
                tokio::task::spawn_blocking(move || {
                    let result = record::save(&registry, &store, expected.as_ref(), &record, operation);
                    signals.blocking_send(Signal::Saved { operation, result }).ok();
                });
            }
            Effect::Vouch(endpoint) => {
                let now = self.clock.now();
                if let Some(at) = self.endpoints.iter_mut().find(|at| at.id == endpoint) {
                    at.detector.vouched_for(now);
                }
            }
            Effect::Report(change) => self.changed(change),
            Effect::PublishLoss { epoch, endpoint, loss } => {
                if let Loss::Exactly(bytes) = loss {
                    self.metrics.lost(bytes);
                }
                let loss = status::loss(self.loss.take(), epoch, endpoint, loss, self.clock.now());
                let restarted = loss.bytes == 0 && !loss.exact && loss.kept_until_unix_ms.is_none();
                tracing::warn!(
                    store = %self.params.store,
                    endpoint = %loss.endpoint,
                    epoch = %epoch,
                    lost = show::last_loss(&loss),
                    bytes = (loss.exact || loss.bytes > 0).then_some(loss.bytes),
                    exact = loss.exact,
                    kept_until_unix_ms = loss.kept_until_unix_ms,
                    "{}",
                    if restarted {
                        "the primary was restarted and serves on: what it had not on its disk is lost"
                    } else {
                        "what the old primary had and the new one never got"
                    }
                );
                self.loss = Some(loss);
                self.shown = None;
            }
        }
    }

    /// Comes back as a signal.
    fn later(&self, signal: Signal) {
        let signals = self.signals.clone();
        tokio::spawn(async move { signals.send(signal).await.ok() });
    }

    /// A change of primary has ended, one way or another.
    fn changed(&mut self, change: Change) {
        let report = status::report(&self.params.store, &change);
        status::log(&report, &change);
        if !change.dry_run {
            self.ended = ended(&change).or(self.ended.take());
            self.metrics.changed(&change);
            let told = status::last(&change, record::unix_ms());
            if change.outcome == Outcome::Done {
                self.switched = Some(self.clock.now());
                self.foresight.moved();
                (self.last, self.last_attempt) = (Some(told), None);
            } else {
                self.last_attempt = Some(told);
            }
        }
        if let Some(answer) = change.command.and_then(|command| self.waiting.remove(&command)) {
            // The caller may have given up; the change has been made all the same.
            answer.send(report).ok();
        }
    }

    /// Exports and shows what is known.
    fn show(&mut self) {
        let now = self.clock.now();
        if self.shown.is_some_and(|shown| now.since(shown) < SHOW_EVERY) {
            return;
        }
        self.shown = Some(now);
        for (number, at) in self.endpoints.iter_mut().enumerate() {
            let figures = at.detector.window().figures(now);
            let (used, throttled) = self.foresight.cpu(number);
            at.metrics.cpu(used, throttled);
            at.metrics.window(&figures);
            at.metrics.capacity(&at.capacity);
            at.metrics.host(&at.host);
        }
        self.metrics.posture(self.machine.posture());
        let status = status::status(self, now);
        self.metrics.status(&status);
        for (at, shown) in self.endpoints.iter().zip(&status.endpoints) {
            // When the primary was last seen as a mirror says nothing of it now.
            let is_primary = status.primary.as_ref() == Some(&at.id);
            at.lag.lag(if is_primary { None } else { self.tracker.lag(&at.id, now) });
            at.lag.can_take_over(shown.eligible_for_promotion);
        }
        self.status.send_replace(Arc::new(status));
        let waiting: Vec<_> = self.waiting.extract_if(|_, answer| answer.is_closed()).collect();
        drop(waiting);
    }

    /// Gives up the owner record, so that another sidecar need not wait for its end.
    async fn release(&self) {
        let Some(primary) = self.machine.posture().primary.as_ref() else { return };
        if !matches!(self.machine.authority(), Authority::Owner) {
            return;
        }
        if let Some(spec) = self.params.endpoints.iter().find(|spec| spec.id == *primary)
            && let Err(refused) = (spec.control)().release(&self.params.machine.instance).await
        {
            tracing::info!(store = %self.params.store, error = %refused, "the owner record was not given up; it ends by itself");
        }
    }
}
