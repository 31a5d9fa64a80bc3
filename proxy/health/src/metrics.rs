//! What is exported of health. `docs/metrics.md` lists it.

use std::time::Duration;

use foretoken_types::{Capacity, EndpointId, Failure, StoreId};
use metrics::{Counter, Gauge, Unit, describe_counter, describe_gauge};

use crate::{Figures, HostFigures, Verdict};

/// Tells the recorder names, units and meanings.
pub fn describe() {
    let gauges = [
        (
            "foretoken_health_verdict",
            Unit::Count,
            "what is thought of the endpoint: 0 up, 1 suspect, 2 down; NaN before the first look",
        ),
        (
            "foretoken_health_answers_per_second",
            Unit::CountPerSecond,
            "requests of live traffic that the endpoint answers each second, over the last 10 s",
        ),
        (
            "foretoken_health_latency_p50_seconds",
            Unit::Seconds,
            "median time to the first byte of a reply, over the last 10 s; NaN without traffic",
        ),
        (
            "foretoken_health_latency_p99_seconds",
            Unit::Seconds,
            "99th percentile of the time to the first byte of a reply, over the last 10 s; NaN without traffic",
        ),
        (
            "foretoken_health_unavailable_ratio",
            Unit::Count,
            "share of replies that say the endpoint is unavailable, over the last 10 s; from 0 to 1",
        ),
        (
            "foretoken_health_grey_ratio",
            Unit::Count,
            "share of replies that say the endpoint serves with limits, over the last 10 s; from 0 to 1",
        ),
        (
            "foretoken_health_unanswered_seconds",
            Unit::Seconds,
            "age of the oldest request that the endpoint has not answered; 0 when there is none",
        ),
        ("foretoken_health_probe_seconds", Unit::Seconds, "duration of the last look at the endpoint"),
        ("foretoken_health_memory_used_bytes", Unit::Bytes, "memory that the endpoint uses"),
        (
            "foretoken_health_memory_limit_bytes",
            Unit::Bytes,
            "most memory that the endpoint may use; absent when no limit is set",
        ),
        ("foretoken_health_clients", Unit::Count, "clients connected to the endpoint, whoever they are"),
        ("foretoken_health_clients_limit", Unit::Count, "most clients that the endpoint accepts"),
        (
            "foretoken_health_host_memory_available_bytes",
            Unit::Bytes,
            "memory that programs on the endpoint's machine could still get; absent when not known",
        ),
        (
            "foretoken_health_host_load1",
            Unit::Count,
            "load average of the endpoint's machine, over a minute; absent when not known",
        ),
        (
            "foretoken_health_host_disk_available_bytes",
            Unit::Bytes,
            "room on the fullest disk of the endpoint's machine; absent without node_exporter",
        ),
        (
            "foretoken_health_disk_used_bytes",
            Unit::Bytes,
            "used on the file system that the endpoint writes to; NaN when not known",
        ),
        (
            "foretoken_health_disk_size_bytes",
            Unit::Bytes,
            "room for programs on the file system that the endpoint writes to, used or not; NaN when not known",
        ),
        (
            "foretoken_health_cpu_ratio",
            Unit::Count,
            "CPU that the endpoint used of what it may use, over the last step; NaN when not known",
        ),
        (
            "foretoken_health_cpu_throttled_ratio",
            Unit::Count,
            "share of the last step in which the endpoint was kept from running; NaN when not known",
        ),
    ];
    for (name, unit, help) in gauges {
        describe_gauge!(name, unit, help);
    }
    describe_counter!("foretoken_health_probes_total", Unit::Count, "looks at the endpoint that have ended");
    describe_counter!(
        "foretoken_health_probe_failures_total",
        Unit::Count,
        "looks at the endpoint that failed, by failure: refused, timeout, not_serving, busy, credentials, open_files or other"
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
    disk_used: Gauge,
    disk_size: Gauge,
    cpu: Gauge,
    cpu_throttled: Gauge,
    probes: Counter,
    probe_failures: Vec<(Failure, Counter)>,
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
        let failures = |failure: Failure| {
            let counter = metrics::counter!(
                "foretoken_health_probe_failures_total",
                "store" => store.to_string(),
                "endpoint" => endpoint.to_string(),
                "failure" => failure.as_str()
            );
            (failure, counter)
        };
        let verdict = metrics::gauge!("foretoken_health_verdict", &labels);
        verdict.set(f64::NAN);
        let unknown = |name: &'static str| {
            let gauge = metrics::gauge!(name, &labels);
            gauge.set(f64::NAN);
            gauge
        };
        Self {
            verdict,
            rate: metrics::gauge!("foretoken_health_answers_per_second", &labels),
            latency_p50: metrics::gauge!("foretoken_health_latency_p50_seconds", &labels),
            latency_p99: metrics::gauge!("foretoken_health_latency_p99_seconds", &labels),
            unavailable_ratio: metrics::gauge!("foretoken_health_unavailable_ratio", &labels),
            grey_ratio: metrics::gauge!("foretoken_health_grey_ratio", &labels),
            unanswered: metrics::gauge!("foretoken_health_unanswered_seconds", &labels),
            probe: metrics::gauge!("foretoken_health_probe_seconds", &labels),
            disk_used: unknown("foretoken_health_disk_used_bytes"),
            disk_size: unknown("foretoken_health_disk_size_bytes"),
            cpu: unknown("foretoken_health_cpu_ratio"),
            cpu_throttled: unknown("foretoken_health_cpu_throttled_ratio"),
            probes: metrics::counter!("foretoken_health_probes_total", &labels),
            probe_failures: Failure::ALL.into_iter().map(failures).collect(),
            store: store.clone(),
            endpoint: endpoint.clone(),
        }
    }

    /// Exports the window of live traffic. Without replies in it the latencies are NaN and not 0, which would be the best
    /// news of all.
    pub fn window(&self, figures: &Figures) {
        let seconds = |duration: Option<Duration>| duration.map_or(f64::NAN, |known| known.as_secs_f64());
        self.rate.set(figures.rate);
        self.latency_p50.set(seconds(figures.latency_p50));
        self.latency_p99.set(seconds(figures.latency_p99));
        self.unavailable_ratio.set(figures.error_ratio[0]);
        self.grey_ratio.set(figures.error_ratio[1]);
        self.unanswered.set(figures.oldest_unanswered.unwrap_or_default().as_secs_f64());
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
        if let Some((_, counter)) = self.probe_failures.iter().find(|(known, _)| Some(*known) == failure) {
            counter.increment(1);
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

    /// Exports the CPU of the last step: used, and kept from, each of what was possible.
    pub fn cpu(&self, used: Option<f64>, throttled: Option<f64>) {
        self.cpu.set(used.unwrap_or(f64::NAN));
        self.cpu_throttled.set(throttled.unwrap_or(f64::NAN));
    }

    /// Exports what is known of the store's machine.
    pub fn host(&self, figures: &HostFigures) {
        self.disk_used.set(figures.disk.map_or(f64::NAN, |disk| float(disk.used_bytes)));
        self.disk_size.set(figures.disk.map_or(f64::NAN, |disk| float(disk.size_bytes)));
        known!(self,
            "foretoken_health_host_memory_available_bytes": figures.memory_available_bytes.map(float),
            "foretoken_health_host_load1": figures.load1,
            "foretoken_health_host_disk_available_bytes": figures.disk_available_bytes.map(float),
        );
    }
}

#[cfg(test)]
mod tests;
