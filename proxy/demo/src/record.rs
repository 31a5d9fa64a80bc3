//! What is seen during the run, on one time axis: what the sidecar says, what clients saw, and what was done to whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foretoken_app::client::model::{HorizonStatus, LastSwitchover, StoreStatus};
use foretoken_app::client::{Client, StoreId};
use foretoken_types::Durability;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::history::{Ending, Operation};
use crate::sidecar::STORE;

/// Between two looks at the sidecar's status, and what operations are counted over.
pub(crate) const STEP: Duration = Duration::from_millis(100);
/// Looks, intervals, points and events that are kept at most: ten minutes of looks.
const MOST: usize = 6000;
/// Characters that are kept of what somebody says.
const WORDS_MAX: usize = 400;

/// Who did what an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// The demonstration: a fault, a repair, an order.
    Demo,
    /// The sidecar, by its status.
    Sidecar,
}

/// One part of the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) from_ms: u64,
    pub(crate) until_ms: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) at_ms: u64,
    pub(crate) by: By,
    pub(crate) words: String,
}

/// What the sidecar said at a moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Look {
    pub(crate) at_ms: u64,
    pub(crate) state: String,
    pub(crate) epoch: u64,
    pub(crate) primary: Option<String>,
    pub(crate) ready: bool,
    /// The tiers of the tokens that are in force.
    pub(crate) tier: Option<String>,
    pub(crate) durability: String,
    /// Risk that counts, by horizon.
    pub(crate) risk: Option<[f32; 3]>,
    /// What the rule says of it.
    pub(crate) rule: Option<[f32; 3]>,
    /// What the model says of it.
    pub(crate) model: Option<[f32; 3]>,
    /// Bytes that each endpoint is behind, in the order of the configuration.
    pub(crate) lag: Vec<Option<u64>>,
}

/// What clients of the sidecar saw over [`STEP`].
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Interval {
    pub(crate) at_ms: u64,
    /// Which clients.
    pub(crate) who: &'static str,
    pub(crate) done: u64,
    pub(crate) not_executed: u64,
    pub(crate) in_doubt: u64,
    /// Time from request to answer of what was done, in microseconds; `None`: nothing was.
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) max_us: Option<u64>,
}

/// How much of something is used up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Gauge {
    pub(crate) at_ms: u64,
    pub(crate) what: String,
    /// 1.0: nothing is left.
    pub(crate) used: f64,
}

/// How far ahead a risk looks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Horizon {
    pub(crate) steps: u16,
    pub(crate) threshold: f32,
}

/// Everything, in the order of time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Seen {
    pub(crate) took_ms: u64,
    pub(crate) step_ms: u64,
    pub(crate) endpoints: Vec<String>,
    pub(crate) horizons: Vec<Horizon>,
    pub(crate) parts: Vec<Part>,
    pub(crate) events: Vec<Event>,
    pub(crate) looks: Vec<Look>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) gauges: Vec<Gauge>,
}

/// Notes what is seen. Clones note into the same record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    began: Instant,
    seen: Arc<Mutex<Seen>>,
}

/// Looks at a sidecar until it is dropped.
#[derive(Debug)]
pub(crate) struct Looking(JoinHandle<()>);

impl Record {
    /// Begins now.
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        let seen = Seen { step_ms: millis(STEP), endpoints, ..Seen::default() };
        Self { began: Instant::now(), seen: Arc::new(Mutex::new(seen)) }
    }

    /// Whoever panicked while noting has noted whole things: all that is there is of use.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// How long it has gone on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A part begins, and with it the one before ends.
    pub(crate) fn part(&self, title: &str) {
        let now = self.now();
        let mut seen = self.seen();
        end(&mut seen.parts, now);
        push(&mut seen.parts, Part { title: title.to_owned(), from_ms: now, until_ms: None });
    }

    /// Something happened now.
    pub(crate) fn event(&self, by: By, words: &str) {
        self.event_at(Instant::now(), by, words);
    }

    /// That share of something is used up now.
    pub(crate) fn gauge(&self, what: &str, used: f64) {
        push(&mut self.seen().gauges, Gauge { at_ms: self.now(), what: what.to_owned(), used });
    }

    /// Something happened at that moment.
    pub(crate) fn event_at(&self, at: Instant, by: By, words: &str) {
        let at_ms = millis(at.saturating_duration_since(self.began));
        push(&mut self.seen().events, Event { at_ms, by, words: words.chars().take(WORDS_MAX).collect() });
    }

    /// What `who` did, whose history began at `epoch`.
    pub(crate) fn history(&self, who: &'static str, history: &[Operation], epoch: Instant) {
        let offset = epoch.saturating_duration_since(self.began);
        let mut seen = self.seen();
        for interval in intervals(history, offset) {
            push(&mut seen.intervals, Interval { who, ..interval });
        }
    }

    /// Looks at the sidecar behind `client` from now on.
    pub(crate) fn look_at(&self, client: &Client) -> Looking {
        let (record, client) = (self.clone(), client.clone());
        Looking(tokio::spawn(async move {
            let mut tick = tokio::time::interval(STEP);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            let mut before = None;
            loop {
                tick.tick().await;
                // A sidecar that does not answer leaves a hole.
                if let Ok(status) = client.store(&StoreId::from(STORE)).await {
                    record.look(before.as_ref(), &status);
                    before = Some(status);
                }
            }
        }))
    }

    fn look(&self, before: Option<&StoreStatus>, status: &StoreStatus) {
        for words in changes(before, status) {
            self.event(By::Sidecar, &words);
        }
        let risk = status.risk.as_ref();
        // The thresholds are the same for every sidecar of the demonstration.
        if let Some(risk) = risk
            && self.seen().horizons.is_empty()
        {
            self.seen().horizons = risk
                .horizons
                .iter()
                .map(|horizon| Horizon { steps: horizon.steps, threshold: horizon.threshold })
                .collect();
        }
        let look = Look {
            at_ms: self.now(),
            state: status.state.to_string(),
            epoch: status.epoch.0,
            primary: status.primary.as_ref().map(ToString::to_string),
            ready: status.ready,
            durability: durability(status).to_owned(),
            tier: Some(tier(status)),
            risk: risk.and_then(|risk| risk.within),
            rule: within(status, |horizon| horizon.rule),
            model: within(status, |horizon| horizon.model),
            lag: status.endpoints.iter().map(|endpoint| endpoint.lag_bytes).collect(),
        };
        push(&mut self.seen().looks, look);
    }

    /// All that was seen so far, as if it ended here.
    pub(crate) fn so_far(&self) -> Seen {
        let now = self.now();
        let mut seen = self.seen().clone();
        end(&mut seen.parts, now);
        seen.events.sort_by_key(|event| event.at_ms);
        seen.took_ms = now;
        seen
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn end(parts: &mut [Part], now: u64) {
    if let Some(part) = parts.last_mut() {
        part.until_ms.get_or_insert(now);
    }
}

fn push<T>(to: &mut Vec<T>, new: T) {
    if to.len() < MOST {
        to.push(new);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const fn durability(status: &StoreStatus) -> &'static str {
    match status.durability {
        Durability::Asynchronous => "asynchronous",
        Durability::Synchronous => "synchronous",
    }
}

/// The tiers in force: the highest that can be had, and the temporary one that is there in advance.
fn tier(status: &StoreStatus) -> String {
    match (status.tier.as_str(), status.temporary_ms) {
        ("temporary", None) => "none".to_owned(),
        ("temporary", Some(_)) | (_, None) => status.tier.clone(),
        (tier, Some(_)) => format!("{tier} + temporary"),
    }
}

/// `of` all horizons, when it is known of all.
fn within(status: &StoreStatus, of: impl Fn(&HorizonStatus) -> Option<f32>) -> Option<[f32; 3]> {
    let horizons = &status.risk.as_ref()?.horizons;
    horizons.iter().map(of).collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// What has changed since the look before that somebody would want to know.
fn changes(before: Option<&StoreStatus>, status: &StoreStatus) -> Vec<String> {
    let Some(before) = before else { return Vec::new() };
    let mut words = Vec::new();
    let raised = |status: &StoreStatus| status.risk.as_ref().is_some_and(|risk| risk.raised);
    if raised(before) != raised(status) {
        words.push(match status.risk.as_ref().filter(|risk| risk.raised) {
            Some(risk) => format!("at risk: {}", risk.causes.join(", ")),
            None => "no longer at risk".to_owned(),
        });
    }
    if before.durability != status.durability {
        words.push(format!("acknowledged writes are {} from now on", durability(status)));
    }
    let done = (&before.last_switchover, &status.last_switchover);
    let tried = (&before.last_attempt, &status.last_attempt);
    for (before, now) in [done, tried] {
        if let Some(now) = now.as_ref().filter(|now| before.as_ref() != Some(*now)) {
            words.push(format!("{}, epoch {}{}", ended(now), status.epoch, held(now)));
        }
    }
    if before.state != status.state {
        words.push(format!("state {}", status.state));
    }
    words
}

/// How a change of primary ended.
fn ended(change: &LastSwitchover) -> String {
    let name = |id: &Option<foretoken_app::client::EndpointId>| {
        id.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string)
    };
    let LastSwitchover { kind, from, to, outcome, .. } = change;
    format!("{} {} to {}: {}", kind.as_str(), name(from), name(to), outcome.as_str())
}

fn held(change: &LastSwitchover) -> String {
    let Some(held) = change.hold_us else { return String::new() };
    format!(", {}", change.held(&format!("{}.{:03} ms", held / 1000, held % 1000)))
}

/// Operations by the interval in which they ended, without holes between the first and the last.
fn intervals(history: &[Operation], offset: Duration) -> Vec<Interval> {
    let step = millis(STEP);
    let number = |operation: &Operation| millis(offset + operation.ended) / step;
    let (Some(first), Some(last)) = (history.iter().map(number).min(), history.iter().map(number).max())
    else {
        return Vec::new();
    };
    let count = usize::try_from(last - first + 1).unwrap_or(MOST).min(MOST);
    let mut times = vec![Vec::new(); count];
    let mut intervals: Vec<Interval> = (first..=last)
        .take(count)
        .map(|number| Interval { at_ms: number * step, ..Interval::default() })
        .collect();
    for operation in history {
        let at = usize::try_from(number(operation) - first).unwrap_or(usize::MAX);
        let (Some(interval), Some(times)) = (intervals.get_mut(at), times.get_mut(at)) else { continue };
        match operation.ending {
            Ending::Done(_) => {
                interval.done += 1;
                let took = operation.ended.saturating_sub(operation.invoked);
                times.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
            Ending::NotExecuted(_) => interval.not_executed += 1,
            Ending::InDoubt(_) => interval.in_doubt += 1,
        }
    }
    for (interval, times) in intervals.iter_mut().zip(&mut times) {
        times.sort_unstable();
        let at = |per_mille: usize| {
            times.get((times.len() * per_mille / 1000).min(times.len().saturating_sub(1))).copied()
        };
        (interval.p50_us, interval.p99_us, interval.max_us) = (at(500), at(990), at(1000));
    }
    intervals
}

#[cfg(test)]
mod tests;
