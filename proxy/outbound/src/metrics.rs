//! What the data path exports. `docs/metrics.md` lists it; a test holds the two together.

use std::time::Duration;

use foretoken_types::{
    EndpointId, ErrorClass, FaultKind, LATENCY_BOUNDS_US, LatencyBuckets, Outcome, Sample, StoreId,
};
use metrics::{Counter, Gauge, Histogram, Unit};

/// Tells the recorder names, units and meanings.
pub fn describe() {
    let counters = [
        (
            "foretoken_outbound_requests_total",
            "requests by how they ended: done, not_executed or in_doubt; the three add up to all",
        ),
        ("foretoken_outbound_faults_total", "batches that did not end with the store's reply, by kind"),
        (
            "foretoken_outbound_relays_renewed_total",
            "subscriptions, monitors and client-side caches that went on with another server; each may have missed something",
        ),
        ("foretoken_outbound_answers_total", "requests that the endpoint answered, with errors or without"),
        (
            "foretoken_outbound_errors_total",
            "error replies of the endpoint by class: unavailable, grey, routing, application or credentials",
        ),
        (
            "foretoken_outbound_connect_failures_total",
            "connections to the endpoint that could not be made: refused, not in time, or without TLS",
        ),
        (
            "foretoken_outbound_resets_total",
            "connections to the endpoint that were lost with requests outstanding",
        ),
        (
            "foretoken_outbound_timeouts_total",
            "requests sent to the endpoint and given up without a reply, because it was given up as primary",
        ),
        (
            "foretoken_outbound_late_replies_total",
            "replies of the endpoint that came after it was given up as primary, and were dropped",
        ),
    ];
    for (name, help) in counters {
        metrics::describe_counter!(name, Unit::Count, help);
    }
    metrics::describe_histogram!(
        "foretoken_outbound_request_duration_seconds",
        Unit::Seconds,
        "what the application felt, per request: from its arrival to its reply, the time held included"
    );
    metrics::describe_histogram!(
        "foretoken_outbound_first_byte_seconds",
        Unit::Seconds,
        "what the endpoint took, per request: from sending it to the first byte of the reply"
    );
    metrics::describe_gauge!(
        "foretoken_outbound_sessions",
        Unit::Count,
        "clients connected to the store's listeners"
    );
    metrics::describe_gauge!("foretoken_outbound_held_requests", Unit::Count, "requests that wait in a hold");
    metrics::describe_gauge!(
        "foretoken_outbound_held_bytes",
        Unit::Bytes,
        "bytes of requests that wait in a hold"
    );
    metrics::describe_gauge!(
        "foretoken_outbound_in_flight",
        Unit::Count,
        "requests sent to the endpoint and not yet answered"
    );
}

pub(crate) struct StoreHandles {
    done: Counter,
    in_doubt: Counter,
    not_executed: Counter,
    faults: Vec<Counter>,
    relays_renewed: Counter,
    duration: Histogram,
    sessions: Level,
    held_requests: Level,
    held_bytes: Level,
}

/// A gauge that several threads add their part to.
struct Level {
    gauge: Gauge,
    mine: std::cell::Cell<f64>,
}

impl Level {
    const fn new(gauge: Gauge) -> Self {
        Self { gauge, mine: std::cell::Cell::new(0.0) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and these counts are far below 2^52")]
    fn set(&self, value: u64) {
        let value = value as f64;
        self.gauge.increment(value - self.mine.replace(value));
    }
}

impl StoreHandles {
    pub(crate) fn new(store: &StoreId) -> Self {
        let store = || store.to_string();
        let outcome = |outcome: Outcome| metrics::counter!("foretoken_outbound_requests_total", "store" => store(), "outcome" => outcome.as_str());
        Self {
            done: outcome(Outcome::Done),
            in_doubt: outcome(Outcome::InDoubt),
            not_executed: outcome(Outcome::NotExecuted),
            faults: FaultKind::ALL
                .iter()
                .map(|kind| {
                    metrics::counter!("foretoken_outbound_faults_total", "store" => store(), "kind" => kind.as_str())
                })
                .collect(),
            relays_renewed: metrics::counter!("foretoken_outbound_relays_renewed_total", "store" => store()),
            duration: metrics::histogram!("foretoken_outbound_request_duration_seconds", "store" => store()),
            sessions: Level::new(metrics::gauge!("foretoken_outbound_sessions", "store" => store())),
            held_requests: Level::new(metrics::gauge!("foretoken_outbound_held_requests", "store" => store())),
            held_bytes: Level::new(metrics::gauge!("foretoken_outbound_held_bytes", "store" => store())),
        }
    }

    pub(crate) fn outcomes(&self, done: u64, in_doubt: u64, not_executed: u64) {
        self.done.increment(done);
        self.in_doubt.increment(in_doubt);
        self.not_executed.increment(not_executed);
    }

    pub(crate) fn faults(&self, counts: &[u64]) {
        for (counter, count) in self.faults.iter().zip(counts) {
            counter.increment(*count);
        }
    }

    pub(crate) fn relays_renewed(&self, count: u64) {
        self.relays_renewed.increment(count);
    }

    pub(crate) fn durations(&self, buckets: &LatencyBuckets) {
        record(&self.duration, buckets);
    }

    pub(crate) fn gauges(&self, sessions: usize, held_requests: u64, held_bytes: usize) {
        self.sessions.set(sessions as u64);
        self.held_requests.set(held_requests);
        self.held_bytes.set(held_bytes as u64);
    }
}

pub(crate) struct EndpointHandles {
    answers: Counter,
    first_byte: Histogram,
    errors: Vec<Counter>,
    connect_failures: Counter,
    resets: Counter,
    timeouts: Counter,
    late_replies: Counter,
    in_flight: Level,
}

impl EndpointHandles {
    pub(crate) fn new(store: &StoreId, endpoint: &EndpointId) -> Self {
        let labels = [("store", store.to_string()), ("endpoint", endpoint.to_string())];
        Self {
            answers: metrics::counter!("foretoken_outbound_answers_total", &labels),
            first_byte: metrics::histogram!("foretoken_outbound_first_byte_seconds", &labels),
            errors: ErrorClass::ALL
                .iter()
                .map(|class| {
                    metrics::counter!(
                        "foretoken_outbound_errors_total",
                        "store" => store.to_string(),
                        "endpoint" => endpoint.to_string(),
                        "class" => class.as_str()
                    )
                })
                .collect(),
            connect_failures: metrics::counter!("foretoken_outbound_connect_failures_total", &labels),
            resets: metrics::counter!("foretoken_outbound_resets_total", &labels),
            timeouts: metrics::counter!("foretoken_outbound_timeouts_total", &labels),
            late_replies: metrics::counter!("foretoken_outbound_late_replies_total", &labels),
            in_flight: Level::new(metrics::gauge!("foretoken_outbound_in_flight", &labels)),
        }
    }

    pub(crate) fn export(&self, sample: &Sample) {
        self.answers.increment(sample.answered);
        record(&self.first_byte, &sample.latency);
        for (counter, count) in self.errors.iter().zip(sample.errors) {
            counter.increment(count);
        }
        self.connect_failures.increment(sample.connect_failures);
        self.resets.increment(sample.resets);
        self.timeouts.increment(sample.timeouts);
        self.late_replies.increment(sample.late_replies);
        self.in_flight.set(sample.in_flight);
    }
}

/// Replays folded buckets into the recorder's histogram, which has the same bounds. Where in a bucket its values lie is not known,
/// but what all of them add up to is: each goes so far into its bucket that the histogram's sum is true.
fn record(histogram: &Histogram, buckets: &LatencyBuckets) {
    let [counts @ .., above] = buckets.counts;
    let lows = [0].into_iter().chain(LATENCY_BOUNDS_US);
    let filled = lows.zip(LATENCY_BOUNDS_US).zip(counts).filter(|(_, count)| *count > 0);
    let all = |part: fn(u64, u64) -> u64| -> Duration {
        let parts =
            filled.clone().map(|((low, high), count)| part(low, high).saturating_mul(u64::from(count)));
        Duration::from_micros(parts.fold(0, u64::saturating_add))
    };
    let (lows, spans) = (all(|low, _| low), all(|low, high| high - low));
    let beyond_lows = Duration::from_micros(buckets.sum_us).saturating_sub(lows);
    // What lies above every bound may be anything: the others go into the middle at most, and it gets the rest.
    let least = Duration::from_micros(LATENCY_BOUNDS_US[LATENCY_BOUNDS_US.len() - 1] + 1);
    let most = if above > 0 { 0.5 } else { 1.0 };
    let share = beyond_lows.saturating_sub(least * above).div_duration_f64(spans).max(SHARE_LEAST).min(most);
    for ((low, high), count) in filled {
        let value = Duration::from_micros(low) + Duration::from_micros(high - low).mul_f64(share);
        histogram.record_many(value.as_secs_f64(), count as usize);
    }
    if above > 0 {
        let value = beyond_lows.saturating_sub(spans.mul_f64(share)) / above;
        histogram.record_many(value.max(least).as_secs_f64(), above as usize);
    }
}

/// A value at its bucket's lower bound would be counted in the one below.
const SHARE_LEAST: f64 = 0.001;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default)]
    struct Values(Mutex<Vec<(f64, usize)>>);

    impl metrics::HistogramFn for Values {
        fn record(&self, value: f64) {
            self.record_many(value, 1);
        }

        fn record_many(&self, value: f64, count: usize) {
            self.0.lock().expect("not poisoned").push((value, count));
        }
    }

    /// What is told of requests that took so many microseconds: in which bucket, and how many.
    fn told(took: &[(u64, u32)]) -> (Vec<(usize, usize)>, f64) {
        let mut buckets = LatencyBuckets::default();
        took.iter().for_each(|(us, count)| buckets.record(Duration::from_micros(*us), *count));
        let values = Arc::new(Values::default());
        record(&Histogram::from_arc(Arc::clone(&values)), &buckets);
        let values = values.0.lock().expect("not poisoned");
        let bucket = |value: f64| {
            LATENCY_BOUNDS_US
                .partition_point(|bound| Duration::from_micros(*bound) < Duration::from_secs_f64(value))
        };
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let sum = values.iter().map(|(value, count)| value * *count as f64).sum::<f64>() * 1e6;
        (values.iter().map(|(value, count)| (bucket(*value), *count)).collect(), sum)
    }

    #[test]
    fn folded_durations_are_told_in_their_buckets_and_add_up_to_what_was_measured() {
        for took in [
            &[(30, 1)][..],
            &[(50, 7)],
            &[(40, 1000), (120, 30), (190, 5), (700, 1), (4_999_999, 1)],
            &[(1_000_001, 3)],
            &[(5_000_001, 1)],
            &[(51, 1000), (60_000_000, 2)],
            &[(1_500_000, 100), (5_200_000, 1)],
            &[(1_100_000, 50), (30_000_000, 1)],
            &[],
        ] {
            let mut buckets: Vec<(usize, usize)> = Vec::new();
            for (us, count) in took {
                let bucket = LATENCY_BOUNDS_US.partition_point(|bound| bound < us);
                match buckets.last_mut().filter(|last| last.0 == bucket) {
                    Some(last) => last.1 += *count as usize,
                    None => buckets.push((bucket, *count as usize)),
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let sum = took.iter().map(|(us, count)| (us * u64::from(*count)) as f64).sum::<f64>();
            let (found, told) = told(took);
            assert_eq!(found, buckets, "{took:?}");
            // At a lower bound a thousandth of the bucket is added.
            assert!((told - sum).abs() <= sum * 0.005 + 1.0, "{took:?}: {told} for {sum}");
        }
    }
}
