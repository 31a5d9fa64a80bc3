//! What happened at one endpoint on one data thread in one interval.
//!
//! A sample is a fold and not one request: the hot path adds to plain counters of its own thread, which are taken and
//! sent up a bounded channel ten times a second.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, StoreId};

/// How a request ended. The three add up to all requests that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The store's reply was forwarded, be it an error of the application's own.
    Done,
    /// It was certainly not executed, and the application was told so.
    NotExecuted,
    /// It may or may not have been executed, and the application was told so.
    InDoubt,
}

impl Outcome {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotExecuted => "not_executed",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// Classes of error replies (PROTOCOL 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// U: the store is unavailable.
    Unavailable,
    /// G: it serves with limits.
    Grey,
    /// R: it has another role than we thought.
    Routing,
    /// A: the application's own mistake.
    Application,
    /// C: configuration or credentials.
    Credentials,
}

impl ErrorClass {
    /// Every class, in the order of [`Sample::errors`].
    pub const ALL: [Self; 5] =
        [Self::Unavailable, Self::Grey, Self::Routing, Self::Application, Self::Credentials];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Grey => "grey",
            Self::Routing => "routing",
            Self::Application => "application",
            Self::Credentials => "credentials",
        }
    }
}

/// Upper bounds of the latency buckets, in microseconds; one more bucket takes what is above the last.
///
/// 50 us is about the fastest reply over loopback, 5 s is the longest hold: steps of 1-2-5 between the two, but for one
/// more at 350 us and none at 2 s.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    50, 100, 200, 350, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
];

/// Counts per latency bucket of [`LATENCY_BOUNDS_US`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyBuckets {
    /// Count per bucket; the last is for what lies above every bound.
    pub counts: [u32; LATENCY_BOUNDS_US.len() + 1],
    /// Sum of all values, in microseconds.
    pub sum_us: u64,
}

impl LatencyBuckets {
    /// Adds `count` requests that each took `latency`.
    #[inline]
    pub fn record(&mut self, latency: Duration, count: u32) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(u64::from(count)));
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many values were recorded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// Upper bound of the bucket that holds the quantile `q` in `[0, 1]`; `None` without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                let last = LATENCY_BOUNDS_US.len() - 1;
                return Some(Duration::from_micros(LATENCY_BOUNDS_US[bucket.min(last)]));
            }
        }
        None
    }
}

/// One endpoint, one data thread, one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The store.
    pub store: StoreId,
    /// The endpoint that was asked.
    pub endpoint: EndpointId,
    /// Requests that the endpoint answered.
    pub answered: u64,
    /// Time to first byte of each batch, counted once per request in it.
    pub latency: LatencyBuckets,
    /// Error replies by class, in the order of [`ErrorClass::ALL`].
    pub errors: [u64; ErrorClass::ALL.len()],
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections lost with requests outstanding.
    pub resets: u64,
    /// Requests that were given up without a reply, because the endpoint was given up as primary.
    pub timeouts: u64,
    /// Replies that came after their epoch or lease had ended, and were dropped.
    pub late_replies: u64,
    /// Requests outstanding at the end of the interval.
    pub in_flight: u64,
    /// Age of the oldest outstanding request at the end of the interval.
    pub oldest_unanswered: Option<Duration>,
}

impl Sample {
    /// A sample of nothing.
    #[must_use]
    pub fn empty(store: StoreId, endpoint: EndpointId) -> Self {
        Self {
            store,
            endpoint,
            answered: 0,
            latency: LatencyBuckets::default(),
            errors: [0; ErrorClass::ALL.len()],
            connect_failures: 0,
            resets: 0,
            timeouts: 0,
            late_replies: 0,
            in_flight: 0,
            oldest_unanswered: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds_of_their_buckets() {
        let mut buckets = LatencyBuckets::default();
        assert_eq!(buckets.quantile(0.5), None);
        buckets.record(Duration::from_micros(50), 99);
        buckets.record(Duration::from_secs(60), 1);
        assert_eq!(buckets.quantile(0.5), Some(Duration::from_micros(50)));
        assert_eq!(buckets.quantile(1.0), Some(Duration::from_secs(5)));
        assert_eq!(buckets.total(), 100);
    }
}
