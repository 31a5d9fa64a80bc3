//! The verdict on one endpoint.
//!
//! Three signals are weighed: *probe* (a look on the control connection), *reach* (a fresh connection) and *traffic* (samples of
//! the data path). A good look ends all evidence, because one thread serves both it and the application; good replies of
//! traffic end the evidence of traffic only. What merely shows life (refused credentials, `BUSY`, no room for clients)
//! ends suspicion, but does not bring back what is down.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, ErrorClass, Failure, Link, Observation, Sample};

use crate::Evidence;
use crate::phi::Phi;
use crate::window::{SAMPLE_FRESH, Window};

/// Thresholds of PROTOCOL 10.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectParams {
    /// Results of class U in a row that make an endpoint suspect, from two signals or more.
    pub suspect_after: u32,
    /// How long suspicion lasts before it counts as down. Shorter: hiccups fail over; longer: a frozen store is noticed
    /// later.
    pub confirm: Duration,
    /// Age of the oldest request outstanding that is suspect, at least.
    pub oldest_unanswered: Duration,
    /// The same for a probe while traffic is silent too. A probe waits in no queue of ours, so it may be shorter: with
    /// probes each 250 ms a freeze is down after 250 + 350 + 700 = 1300 ms at the latest.
    pub probe_unanswered: Duration,
    /// Times the usual latency (p99) that an unanswered request is suspect, if that is more.
    pub latency_factor: u32,
    /// The usual latency never makes suspicion wait longer than this.
    pub unanswered_most: Duration,
    /// Phi at which silence is suspect.
    pub phi: f64,
    /// For how long a refusal, and a mirror's word on its link, stand for the present.
    pub fresh: Duration,
    /// Good looks in a row that end suspicion.
    pub recover_after: u32,
}

impl Default for DetectParams {
    fn default() -> Self {
        Self {
            suspect_after: 3,
            confirm: Duration::from_millis(700),
            oldest_unanswered: Duration::from_millis(500),
            probe_unanswered: Duration::from_millis(350),
            latency_factor: 5,
            unanswered_most: Duration::from_secs(5),
            phi: 8.0,
            fresh: Duration::from_secs(1),
            recover_after: 2,
        }
    }
}

/// What is thought of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Up,
    /// Something does; it may pass.
    Suspect {
        /// From when on.
        since: BootInstant,
        /// The latest reason.
        evidence: Evidence,
    },
    /// It is down.
    Down {
        /// From when on it was suspect.
        since: BootInstant,
        /// The latest reason.
        evidence: Evidence,
    },
}

/// Weight of results of class U in a row, of one signal.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    weight: u32,
    /// Whether one of them says that the server did not answer, and not merely that we could not ask.
    certain: bool,
}

impl Streak {
    fn add(&mut self, failure: Failure) {
        // PROTOCOL 10: a refused fresh connection counts double.
        let weight = if failure == Failure::Refused { 2 } else { 1 };
        self.weight = self.weight.saturating_add(weight);
        self.certain |= failure != Failure::Other;
    }
}

/// A mirror's last word on its link to this endpoint.
#[derive(Clone, Debug)]
struct Word {
    mirror: EndpointId,
    link: Link,
    at: BootInstant,
}

/// Looks remembered for the usual latency of a probe: ten seconds of them.
const LATENCIES: usize = 40;
/// Replies that are enough to speak of a usual latency.
const REPLIES_LEAST: u64 = 100;
/// Mirrors that are heard, at most.
const MIRRORS_MOST: usize = 64;
/// Age of the data in a sample, at most, and some more for its way: good replies in it may be older than a failure that was
/// seen so long ago.
const SAMPLE_LAG: Duration = Duration::from_millis(200);
/// Most time between two evaluations that counts as watched. When this process was stopped for longer (a laptop's lid, a
/// paused container), answers that wait in our own sockets must be heard before suspicion can be confirmed.
const WATCHED_MOST: Duration = Duration::from_millis(250);
/// How often a suspicion is evaluated, well within [`WATCHED_MOST`].
const WATCH_STEP: Duration = Duration::from_millis(100);

/// Weighs everything that is known of one endpoint. Bounded in memory, whatever comes.
#[derive(Clone, Debug)]
pub struct Detector {
    endpoint: EndpointId,
    params: DetectParams,
    window: Window,
    phi: Phi,
    latencies: VecDeque<Duration>,
    mirrors: Vec<Word>,

    probe: Streak,
    reach: Streak,
    traffic: Streak,
    /// When the first of the present failures was seen.
    failing_since: Option<BootInstant>,
    /// Refused fresh connections in a row, and the last one.
    refusals: Option<(u32, BootInstant)>,
    /// Start of the first probe since the last one that was answered.
    unanswered_since: Option<BootInstant>,
    /// How often in a row it has said that it loads its data.
    loading: u32,
    /// What the last telling sample showed, and when it came.
    in_traffic: Option<(Evidence, BootInstant)>,

    /// When it was vouched for.
    vouched: Option<BootInstant>,

    good_look: Option<BootInstant>,
    good_traffic: Option<BootInstant>,
    good_in_a_row: u32,
    alive_in_a_row: u32,

    /// For how long evidence has been there without a gap, while we were watching; `None`: there is none.
    bad_for: Option<Duration>,
    evaluated: BootInstant,
    verdict: Verdict,
}

impl Detector {
    /// A detector for `endpoint`, which is up until something speaks against it.
    #[must_use]
    pub fn new(endpoint: EndpointId, params: DetectParams) -> Self {
        Self {
            endpoint,
            params,
            window: Window::default(),
            phi: Phi::default(),
            latencies: VecDeque::new(),
            mirrors: Vec::new(),
            probe: Streak::default(),
            reach: Streak::default(),
            traffic: Streak::default(),
            failing_since: None,
            refusals: None,
            unanswered_since: None,
            loading: 0,
            in_traffic: None,
            vouched: None,
            good_look: None,
            good_traffic: None,
            good_in_a_row: 0,
            alive_in_a_row: 0,
            bad_for: None,
            evaluated: BootInstant::default(),
            verdict: Verdict::Up,
        }
    }

    /// Takes over other thresholds; what was seen so far stays seen.
    pub const fn configure(&mut self, params: DetectParams) {
        self.params = params;
    }

    /// The endpoint that is watched.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// What its live traffic met.
    pub fn window(&mut self) -> &mut Window {
        &mut self.window
    }

    /// A look has begun: from here on it counts as unanswered.
    pub fn probe_started(&mut self, now: BootInstant) {
        self.unanswered_since.get_or_insert(now);
        self.evaluate(now);
    }

    /// The look that was begun is not waited for (the task was cancelled, the control connection is busy with an order, or none
    /// could be made for want of descriptors).
    pub fn probe_abandoned(&mut self, now: BootInstant) {
        if self.probe.weight == 0 {
            self.unanswered_since = None;
        }
        self.evaluate(now);
    }

    /// It has just done what it was told, as one has that was promoted and has taken a write: what was held against it is past.
    pub fn vouched_for(&mut self, now: BootInstant) {
        (self.probe, self.reach, self.traffic) = Default::default();
        (self.failing_since, self.refusals) = (None, None);
        // A look that is under way is waited for from now on.
        self.unanswered_since = self.unanswered_since.map(|_| now);
        (self.loading, self.in_traffic, self.bad_for) = (0, None, None);
        (self.vouched, self.good_look) = (Some(now), Some(now));
        self.verdict = Verdict::Up;
        self.evaluate(now);
    }

    /// A look has ended, after `latency`.
    pub fn looked(&mut self, look: Result<&Observation, Failure>, latency: Duration, now: BootInstant) {
        match look {
            Ok(observation) if observation.loading => {
                self.answered(latency);
                self.loading = self.loading.saturating_add(1);
                (self.good_in_a_row, self.alive_in_a_row) = (0, 0);
            }
            Ok(_) => {
                self.answered(latency);
                self.loading = 0;
                self.reach = Streak::default();
                self.traffic = Streak::default();
                self.in_traffic = None;
                self.good_look = Some(now);
                self.good_in_a_row = self.good_in_a_row.saturating_add(1);
                self.alive_in_a_row = self.alive_in_a_row.saturating_add(1);
            }
            // It answers: neither good nor dead.
            Err(Failure::Credentials | Failure::NotServing | Failure::Busy) => {
                self.answered(latency);
                self.loading = 0;
                self.good_in_a_row = 0;
                self.alive_in_a_row = self.alive_in_a_row.saturating_add(1);
            }
            Err(Failure::OpenFiles) => self.probe_abandoned(now),
            // It began when nobody knew better.
            Err(_) if self.vouched.is_some_and(|vouched| now - latency < vouched) => {}
            Err(failure) => {
                self.unanswered_since.get_or_insert(now - latency);
                self.probe.add(failure);
                self.failed(failure, now);
            }
        }
        self.evaluate(now);
    }

    /// An attempt at a fresh connection has ended. `Ok` proves only that the machine is there: the kernel of a stopped
    /// process still accepts.
    pub fn reached(&mut self, reach: Result<(), Failure>, now: BootInstant) {
        match reach {
            Ok(()) | Err(Failure::Credentials | Failure::NotServing | Failure::Busy) => {
                self.reach = Streak::default();
                self.refusals = None;
            }
            Err(Failure::OpenFiles) => {}
            Err(failure) => {
                self.reach.add(failure);
                self.failed(failure, now);
            }
        }
        self.evaluate(now);
    }

    /// What one data thread met. Samples of other endpoints are ignored.
    pub fn sample(&mut self, sample: &Sample, now: BootInstant) {
        if sample.endpoint != self.endpoint {
            return;
        }
        self.window.add(sample, now);
        let unavailable = ErrorClass::ALL.iter().position(|class| *class == ErrorClass::Unavailable);
        let unavailable = unavailable.map_or(0, |at| sample.errors[at]);
        if sample.answered > unavailable {
            self.phi.arrived(now);
            self.good_traffic = Some(now);
            self.traffic = Streak::default();
        } else if sample.connect_failures > 0 || sample.resets > 0 || unavailable > 0 {
            // One result a sample: a hundred connections that break together are one event.
            self.traffic.add(Failure::Timeout);
            self.failing_since.get_or_insert(now);
            (self.good_in_a_row, self.alive_in_a_row) = (0, 0);
        }
        if let Some(evidence) = self.unanswered_request(sample, now) {
            self.in_traffic = Some((evidence, now));
        }
        self.evaluate(now);
    }

    /// What `mirror` says of its link to this endpoint; `None`: it could not be asked, or copies another server.
    pub fn mirror_link(&mut self, mirror: &EndpointId, link: Option<Link>, now: BootInstant) {
        self.mirrors.retain(|word| word.mirror != *mirror);
        if let Some(link) = link
            && self.mirrors.len() < MIRRORS_MOST
        {
            self.mirrors.push(Word { mirror: mirror.clone(), link, at: now });
        }
        self.evaluate(now);
    }

    /// The verdict at `now`.
    pub fn verdict(&mut self, now: BootInstant) -> Verdict {
        self.evaluate(now);
        self.verdict
    }

    /// When to ask for [`Detector::verdict`] again though nothing more comes in; `None` when it can't change by itself.
    pub fn next_change(&mut self, now: BootInstant) -> Option<BootInstant> {
        self.evaluate(now);
        match (self.verdict, self.bad_for) {
            (Verdict::Suspect { .. }, Some(bad_for)) => {
                let left = self.params.confirm.saturating_sub(bad_for);
                // What only lacks the mirrors' word changes when that comes.
                (!left.is_zero()).then(|| now + left.min(WATCH_STEP))
            }
            (Verdict::Up | Verdict::Suspect { .. }, _) => {
                let since = self.unanswered_since?;
                // Which of the two bounds holds depends on what traffic does until then.
                let bounds = [self.params.probe_unanswered, self.params.oldest_unanswered];
                bounds
                    .map(|least| since + self.probe_limit(least, now))
                    .into_iter()
                    .filter(|at| *at > now)
                    .min()
            }
            (Verdict::Down { .. }, _) => None,
        }
    }

    /// A look was answered, whatever the answer.
    fn answered(&mut self, latency: Duration) {
        self.unanswered_since = None;
        self.probe = Streak::default();
        self.refusals = None;
        self.latencies.push_back(latency);
        if self.latencies.len() > LATENCIES {
            self.latencies.pop_front();
        }
    }

    fn failed(&mut self, failure: Failure, now: BootInstant) {
        self.failing_since.get_or_insert(now);
        (self.good_in_a_row, self.alive_in_a_row) = (0, 0);
        if failure == Failure::Refused {
            let times = self.refusals.map_or(0, |(times, _)| times);
            self.refusals = Some((times.saturating_add(1), now));
        } else {
            self.refusals = None;
        }
    }

    /// How long a probe may be unanswered, `least` or what is usual.
    fn probe_limit(&mut self, least: Duration, now: BootInstant) -> Duration {
        let usual = self.window.p99(REPLIES_LEAST, now).or_else(|| {
            // Few looks: their 90th percentile is not the one outlier among them.
            let mut sorted: Vec<_> = self.latencies.iter().copied().collect();
            sorted.sort_unstable();
            sorted.get((sorted.len() * 9).div_ceil(10).saturating_sub(1)).copied()
        });
        self.limit(least, usual)
    }

    fn limit(&self, least: Duration, usual: Option<Duration>) -> Duration {
        let usual = usual.unwrap_or_default().saturating_mul(self.params.latency_factor);
        least.max(usual.min(self.params.unanswered_most))
    }

    fn unanswered_request(&mut self, sample: &Sample, now: BootInstant) -> Option<Evidence> {
        let oldest = sample.oldest_unanswered?;
        // A request that was outstanding when a look passed waits for something else than the server (`BLPOP`).
        let age = self.good_look.map_or(oldest, |good| oldest.min(now.since(good)));
        let usual = self.window.p99(REPLIES_LEAST, now);
        if age > self.limit(self.params.oldest_unanswered, usual) {
            return Some(Evidence::RequestUnanswered(age));
        }
        // The floor keeps hiccups out that are plain to see in a sender as regular as a sample each 100 ms.
        let phi = self.phi.phi(now);
        (age > self.params.oldest_unanswered && phi >= self.params.phi).then_some(Evidence::Silence { phi })
    }

    /// Whether replies came in that were sent after `since`, until a moment ago.
    fn serves_traffic(&self, since: BootInstant, now: BootInstant) -> bool {
        self.good_traffic
            .is_some_and(|at| at >= since + SAMPLE_LAG && now.since(at) <= SAMPLE_FRESH + SAMPLE_LAG)
    }

    fn link_is_down(&self, now: BootInstant) -> Option<bool> {
        let mut fresh = self.mirrors.iter().filter(|word| now.since(word.at) <= self.params.fresh).peekable();
        fresh.peek()?;
        Some(fresh.all(|word| word.link == Link::Down))
    }

    /// What speaks against the endpoint at `now`.
    fn evidence(&mut self, now: BootInstant) -> Option<Evidence> {
        if let Some((times, _)) = self.refusals.filter(|(_, at)| now.since(*at) <= self.params.fresh) {
            match self.link_is_down(now) {
                Some(true) => return Some(Evidence::RefusedAndLinkDown),
                None if times >= 2 => return Some(Evidence::Refused),
                _ => {}
            }
        }
        // It is both who is asked and who says so: two signals.
        if self.loading.saturating_mul(2) >= self.params.suspect_after.max(1) {
            return Some(Evidence::Loading);
        }
        let streaks = [self.probe, self.reach, self.traffic];
        let weight = streaks.iter().fold(0, |sum: u32, streak| sum.saturating_add(streak.weight));
        let signals = streaks.iter().filter(|streak| streak.weight > 0).map(|_| 1).sum();
        if weight == 0 {
            self.failing_since = None;
        }
        if let Some(since) = self.failing_since
            && weight >= self.params.suspect_after
            && signals >= 2
            && !self.serves_traffic(since, now)
        {
            return Some(Evidence::Failures { weight, signals });
        }
        let in_traffic = self.in_traffic.filter(|(_, at)| now.since(*at) <= SAMPLE_FRESH);
        let in_traffic = in_traffic.map(|(evidence, _)| evidence);
        if let Some(since) = self.unanswered_since {
            let silent = self.good_traffic.is_none_or(|at| at < since + SAMPLE_LAG);
            let least = if silent { self.params.probe_unanswered } else { self.params.oldest_unanswered };
            // Reads that are answered while a write probe waits: somebody has paused writes. Not dead.
            let paused = self.serves_traffic(since, now) && in_traffic.is_none();
            if now.since(since) >= self.probe_limit(least, now) && !paused {
                return Some(Evidence::ProbeUnanswered(now.since(since)));
            }
        }
        in_traffic
    }

    /// Whether what is there may confirm a suspicion: not when all that failed is our own way of asking (name resolution,
    /// TLS), unless the mirrors have lost it too.
    fn may_confirm(&self, now: BootInstant) -> bool {
        let failed = [self.probe, self.reach, self.traffic];
        let only_ours = failed.iter().any(|streak| streak.weight > 0) && !failed.iter().any(|s| s.certain);
        !only_ours || self.in_traffic.is_some() || self.link_is_down(now) == Some(true)
    }

    fn evaluate(&mut self, now: BootInstant) {
        let watched = now.since(self.evaluated).min(WATCHED_MOST);
        self.evaluated = self.evaluated.max(now);
        let Some(evidence) = self.evidence(now) else {
            self.bad_for = None;
            let in_a_row = match self.verdict {
                Verdict::Up => return,
                Verdict::Suspect { .. } => self.alive_in_a_row,
                Verdict::Down { .. } => self.good_in_a_row,
            };
            if in_a_row >= self.params.recover_after {
                self.verdict = Verdict::Up;
            }
            return;
        };
        let bad_for = self.bad_for.map_or(Duration::ZERO, |bad_for| bad_for + watched);
        self.bad_for = Some(bad_for);
        let confirmed = evidence.is_conclusive() || (bad_for >= self.params.confirm && self.may_confirm(now));
        self.verdict = match self.verdict {
            Verdict::Down { since, .. } => Verdict::Down { since, evidence },
            Verdict::Suspect { since, .. } if confirmed => Verdict::Down { since, evidence },
            Verdict::Suspect { since, .. } => Verdict::Suspect { since, evidence },
            Verdict::Up if confirmed => Verdict::Down { since: now, evidence },
            Verdict::Up => Verdict::Suspect { since: now, evidence },
        };
    }
}

#[cfg(test)]
mod tests;
