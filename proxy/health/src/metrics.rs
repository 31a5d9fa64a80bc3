//! What is exported of health. `docs/metrics.md` lists it; labels are `store` and `endpoint` only.

use std::time::Duration;

use foretoken_types::{Capacity, EndpointId, Failure, StoreId};
use metrics::{Counter, Gauge, Unit, describe_counter, describe_gauge};

use crate::{Figures, HostFigures, Verdict};

/// Tells the recorder names, units and meanings.
pub fn describe() {
    let gauges = [
        ("foretoken_health_verdict", Unit::Count, "0 up, 1 suspect, 2 down"),
        ("foretoken_health_answers_per_second", Unit::CountPerSecond, "replies of live traffic, over 10 s"),
        (
            "foretoken_health_latency_p50_seconds",
            Unit::Seconds,
            "median time to the first byte of a reply, over 10 s",
        ),
        ("foretoken_health_latency_p99_seconds", Unit::Seconds, "99th percentile of the same"),
        (
            "foretoken_health_unavailable_ratio",
            Unit::Count,
            "share of replies that say the store is unavailable, over 10 s",
        ),
        (
            "foretoken_health_grey_ratio",
            Unit::Count,
            "share of replies that say it serves with limits, over 10 s",
        ),
        ("foretoken_health_unanswered_seconds", Unit::Seconds, "age of the oldest request outstanding"),
        ("foretoken_health_probe_seconds", Unit::Seconds, "duration of the last look at the endpoint"),
        ("foretoken_health_memory_used_bytes", Unit::Bytes, "memory that the store uses"),
        ("foretoken_health_memory_limit_bytes", Unit::Bytes, "limit set for it"),
        ("foretoken_health_clients", Unit::Count, "clients connected to the store"),
        ("foretoken_health_clients_limit", Unit::Count, "most clients that it accepts"),
        (
            "foretoken_health_host_memory_available_bytes",
            Unit::Bytes,
            "memory that programs on the store's machine could still get",
        ),
        ("foretoken_health_host_load1", Unit::Count, "load average of the store's machine, over a minute"),
        (
            "foretoken_health_host_disk_available_bytes",
            Unit::Bytes,
            "room on the fullest disk of the store's machine",
        ),
    ];
    for (name, unit, help) in gauges {
        describe_gauge!(name, unit, help);
    }
    describe_counter!("foretoken_health_probes_total", Unit::Count, "looks at the endpoint that have ended");
    describe_counter!(
        "foretoken_health_probe_failures_total",
        Unit::Count,
        "looks that ended with a failure"
    );
}

/// The handles of one endpoint, taken once.
pub struct EndpointMetrics {
    verdict: Gauge,
    rate: Gauge,
    latency_p50: Gauge,
    latency_p99: Gauge,
    unavailable_ratio: Gauge,
    grey_ratio: Gauge,
    unanswered: Gauge,
    probe: Gauge,
    probes: Counter,
    probe_failures: Counter,
    store: StoreId,
    endpoint: EndpointId,
}

impl std::fmt::Debug for EndpointMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointMetrics").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Figures that an endpoint may never have are not exported before they are known: a limit of 0 would be a lie.
macro_rules! known {
    ($self:ident, $($name:literal: $value:expr),* $(,)?) => { $(
        if let Some(value) = $value {
            metrics::gauge!($name, "store" => $self.store.to_string(), "endpoint" => $self.endpoint.to_string())
                .set(value);
        }
    )* };
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn float(value: u64) -> f64 {
    value as f64
}

impl EndpointMetrics {
    /// Takes the handles.
    #[must_use]
    pub fn new(store: &StoreId, endpoint: &EndpointId) -> Self {
        let labels = [("store", store.to_string()), ("endpoint", endpoint.to_string())];
        Self {
            verdict: metrics::gauge!("foretoken_health_verdict", &labels),
            rate: metrics::gauge!("foretoken_health_answers_per_second", &labels),
            latency_p50: metrics::gauge!("foretoken_health_latency_p50_seconds", &labels),
            latency_p99: metrics::gauge!("foretoken_health_latency_p99_seconds", &labels),
            unavailable_ratio: metrics::gauge!("foretoken_health_unavailable_ratio", &labels),
            grey_ratio: metrics::gauge!("foretoken_health_grey_ratio", &labels),
            unanswered: metrics::gauge!("foretoken_health_unanswered_seconds", &labels),
            probe: metrics::gauge!("foretoken_health_probe_seconds", &labels),
            probes: metrics::counter!("foretoken_health_probes_total", &labels),
            probe_failures: metrics::counter!("foretoken_health_probe_failures_total", &labels),
            store: store.clone(),
            endpoint: endpoint.clone(),
        }
    }

    /// Exports the window of live traffic. Without replies in it the latencies are 0.
    pub fn window(&self, figures: &Figures) {
        let seconds = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64();
        self.rate.set(figures.rate);
        self.latency_p50.set(seconds(figures.latency_p50));
        self.latency_p99.set(seconds(figures.latency_p99));
        self.unavailable_ratio.set(figures.error_ratio[0]);
        self.grey_ratio.set(figures.error_ratio[1]);
        self.unanswered.set(seconds(figures.oldest_unanswered));
    }

    /// Exports the verdict.
    pub fn verdict(&self, verdict: &Verdict) {
        self.verdict.set(match verdict {
            Verdict::Up => 0.0,
            Verdict::Suspect { .. } => 1.0,
            Verdict::Down { .. } => 2.0,
        });
    }

    /// Counts a look that has ended.
    pub fn looked(&self, failure: Option<Failure>, latency: Duration) {
        self.probes.increment(1);
        self.probe.set(latency.as_secs_f64());
        if failure.is_some() {
            self.probe_failures.increment(1);
        }
    }

    /// Exports what the store says of its limits.
    pub fn capacity(&self, capacity: &Capacity) {
        known!(self,
            "foretoken_health_memory_used_bytes": capacity.memory_used_bytes.map(float),
            "foretoken_health_memory_limit_bytes": capacity.memory_limit_bytes.map(float),
            "foretoken_health_clients": capacity.clients.map(float),
            "foretoken_health_clients_limit": capacity.clients_limit.map(float),
        );
    }

    /// Exports what is known of the store's machine.
    pub fn host(&self, figures: &HostFigures) {
        known!(self,
            "foretoken_health_host_memory_available_bytes": figures.memory_available_bytes.map(float),
            "foretoken_health_host_load1": figures.load1,
            "foretoken_health_host_disk_available_bytes": figures.disk_available_bytes.map(float),
        );
    }
}
