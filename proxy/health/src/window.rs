//! What live traffic met at one endpoint in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_types::{BootInstant, ErrorClass, LatencyBuckets, Sample};

/// Slots that a window keeps.
const SLOTS: usize = 20;
/// Length of a slot; twenty of them are ten seconds.
const SLOT: Duration = Duration::from_nanos(SLOT_NANOS);
const SLOT_NANOS: u64 = 500_000_000;
/// For how long a sample stands for the present: data threads report ten times a second while anything is outstanding.
pub(crate) const SAMPLE_FRESH: Duration = Duration::from_millis(300);
/// Most samples that are kept for the figures of the present; more data threads than that are summed in part.
const RECENT_MOST: usize = 256;

/// A sliding window of [`Sample`]s of one endpoint: bounded, whatever comes.
#[derive(Clone, Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    /// Samples of the last [`SAMPLE_FRESH`]: when, in flight, oldest.
    recent: VecDeque<(BootInstant, u64, Option<Duration>)>,
    first: Option<BootInstant>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    number: u64,
    answered: u64,
    latency: LatencyBuckets,
    errors: [u64; ErrorClass::ALL.len()],
    connect_failures: u64,
    resets: u64,
    timeouts: u64,
}

/// What a [`Window`] holds, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Replies per second.
    pub rate: f64,
    /// Replies in the window.
    pub answered: u64,
    /// Median time to the first byte of a reply; an upper bound, as all quantiles here.
    pub latency_p50: Option<Duration>,
    /// 99th percentile of the same.
    pub latency_p99: Option<Duration>,
    /// Share of error replies of each class among all replies, in the order of [`ErrorClass::ALL`]; each in `[0, 1]`.
    pub error_ratio: [f64; ErrorClass::ALL.len()],
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections lost with requests outstanding.
    pub resets: u64,
    /// Requests that were given up without a reply.
    pub timeouts: u64,
    /// The greatest number of requests outstanding that one data thread reported in the last moments.
    pub in_flight: u64,
    /// Age of the oldest request outstanding, as reported in the last moments.
    pub oldest_unanswered: Option<Duration>,
}

fn number(at: BootInstant) -> u64 {
    at.as_nanos() / SLOT_NANOS
}

impl Window {
    /// Adds a sample that came at `now`. One from before the window is dropped.
    pub fn add(&mut self, sample: &Sample, now: BootInstant) {
        self.first.get_or_insert(now);
        self.expire(now);
        let number = number(now);
        let at = self.slots.partition_point(|slot| slot.number < number);
        if self.slots.get(at).is_none_or(|slot| slot.number != number) {
            self.slots.insert(at, Slot { number, ..Slot::default() });
            if self.slots.len() > SLOTS {
                self.slots.pop_front();
                // The slot that was made may be the one that had no room.
                if at == 0 {
                    return;
                }
            }
        }
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            slot.answered = slot.answered.saturating_add(sample.answered);
            slot.latency.merge(&sample.latency);
            for (sum, count) in slot.errors.iter_mut().zip(sample.errors) {
                *sum = sum.saturating_add(count);
            }
            slot.connect_failures = slot.connect_failures.saturating_add(sample.connect_failures);
            slot.resets = slot.resets.saturating_add(sample.resets);
            slot.timeouts = slot.timeouts.saturating_add(sample.timeouts);
        }
        self.recent.push_back((now, sample.in_flight, sample.oldest_unanswered));
        if self.recent.len() > RECENT_MOST {
            self.recent.pop_front();
        }
    }

    fn expire(&mut self, now: BootInstant) {
        let oldest = number(now).saturating_sub(SLOTS as u64 - 1);
        while self.slots.front().is_some_and(|slot| slot.number < oldest) {
            self.slots.pop_front();
        }
        while self.recent.front().is_some_and(|(at, ..)| now.since(*at) > SAMPLE_FRESH) {
            self.recent.pop_front();
        }
    }

    /// The figures at `now`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "ratios and rates for people and thresholds")]
    pub fn figures(&mut self, now: BootInstant) -> Figures {
        self.expire(now);
        let mut sum = Slot::default();
        for slot in &self.slots {
            sum.answered = sum.answered.saturating_add(slot.answered);
            sum.latency.merge(&slot.latency);
            for (sum, count) in sum.errors.iter_mut().zip(slot.errors) {
                *sum = sum.saturating_add(count);
            }
            sum.connect_failures = sum.connect_failures.saturating_add(slot.connect_failures);
            sum.resets = sum.resets.saturating_add(slot.resets);
            sum.timeouts = sum.timeouts.saturating_add(slot.timeouts);
        }
        // A window that has only begun covers less than its length, and the running slot counts as far as it has run.
        let oldest = number(now).saturating_sub(SLOTS as u64 - 1);
        let oldest = BootInstant::from_nanos(oldest.saturating_mul(SLOT_NANOS));
        let covered = now.since(self.first.map_or(now, |first| first.max(oldest))).max(SLOT);
        let all = sum.answered.max(1) as f64;
        Figures {
            rate: sum.answered as f64 / covered.as_secs_f64(),
            answered: sum.answered,
            latency_p50: sum.latency.quantile(0.5),
            latency_p99: sum.latency.quantile(0.99),
            error_ratio: sum.errors.map(|count| (count as f64 / all).min(1.0)),
            connect_failures: sum.connect_failures,
            resets: sum.resets,
            timeouts: sum.timeouts,
            in_flight: self.recent.iter().map(|(_, in_flight, _)| *in_flight).max().unwrap_or(0),
            oldest_unanswered: self.recent.iter().filter_map(|(.., oldest)| *oldest).max(),
        }
    }

    /// The 99th percentile of the time to a reply, when `least` replies or more are there to tell.
    #[must_use]
    pub fn p99(&mut self, least: u64, now: BootInstant) -> Option<Duration> {
        self.expire(now);
        let mut latency = LatencyBuckets::default();
        for slot in &self.slots {
            latency.merge(&slot.latency);
        }
        (latency.total() >= least).then(|| latency.quantile(0.99)).flatten()
    }
}

#[cfg(test)]
mod tests;
