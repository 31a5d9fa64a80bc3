//! What `/metrics` shows.
//!
//! Counters and gauges are kept by the exporter for Prometheus. Durations are kept here: the exporter keeps each value until it
//! folds all of them, and data threads hand over hundreds of thousands of requests a second, which they have folded already.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foretoken_types::LATENCY_BOUNDS_US;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

#[cfg(test)]
mod tests;

/// A recorder for the facade `metrics`. Its histograms are of durations in seconds, in the buckets of [`LATENCY_BOUNDS_US`], so
/// that the page and the health engine tell the same quantiles; their memory and the cost of
/// [`record_many`](Histogram::record_many) do not depend on how many values there are.
pub struct MetricsRecorder {
    exporter: PrometheusRecorder,
    durations: Arc<Durations>,
}

/// Everything that a [`MetricsRecorder`] has recorded.
#[derive(Clone)]
pub struct MetricsPage {
    exporter: PrometheusHandle,
    durations: Arc<Durations>,
}

/// By name.
#[derive(Default)]
struct Durations(Mutex<BTreeMap<String, Family>>);

#[derive(Default)]
struct Family {
    help: SharedString,
    series: Vec<(LabelSet, Arc<Buckets>)>,
}

#[derive(Default)]
struct Buckets {
    /// As [`foretoken_types::LatencyBuckets::counts`].
    counts: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Default for MetricsRecorder {
    fn default() -> Self {
        Self { exporter: PrometheusBuilder::new().build_recorder(), durations: Arc::default() }
    }
}

impl fmt::Debug for MetricsRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsRecorder")
    }
}

impl MetricsRecorder {
    /// The page of what it records, now and later.
    #[must_use]
    pub fn page(&self) -> MetricsPage {
        MetricsPage { exporter: self.exporter.handle(), durations: Arc::clone(&self.durations) }
    }
}

impl fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsPage")
    }
}

impl MetricsPage {
    /// The page of this moment, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        // Descriptions become visible with it.
        self.exporter.run_upkeep();
        let mut page = self.exporter.render();
        for (name, family) in self.durations.lock().iter().filter(|(_, family)| !family.series.is_empty()) {
            family.write(name, &mut page);
        }
        page
    }
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.durations.lock().entry(name.as_str().to_owned()).or_default().help = description;
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.exporter.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let labels = LabelSet::from_key_and_global(key, &Default::default());
        let mut durations = self.durations.lock();
        let series = &mut durations.entry(key.name().to_owned()).or_default().series;
        if let Some((_, known)) = series.iter().find(|(known, _)| *known == labels) {
            return Histogram::from_arc(Arc::clone(known));
        }
        let new = Arc::new(Buckets::default());
        series.push((labels, Arc::clone(&new)));
        Histogram::from_arc(new)
    }
}

impl Durations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn write(&self, name: &str, page: &mut String) {
        write_help_line(page, name, None, None, &self.help);
        write_type_line(page, name, None, None, "histogram");
        for (labels, buckets) in &self.series {
            let bounds = LATENCY_BOUNDS_US.map(|us| Duration::from_micros(us).as_secs_f64().to_string());
            let mut count = 0;
            for (bound, more) in bounds.iter().map(String::as_str).chain(["+Inf"]).zip(&buckets.counts) {
                count += more.load(Ordering::Relaxed);
                write_metric_line(page, name, Some("bucket"), labels, Some(("le", bound)), count, None);
            }
            let sum = Duration::from_nanos(buckets.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
            let no_label = None::<(_, &str)>;
            write_metric_line(page, name, Some("sum"), labels, no_label, sum, None);
            write_metric_line(page, name, Some("count"), labels, no_label, count, None);
        }
        page.push('\n');
    }
}

impl HistogramFn for Buckets {
    fn record(&self, seconds: f64) {
        self.record_many(seconds, 1);
    }

    /// What is no duration is not counted.
    fn record_many(&self, seconds: f64, count: usize) {
        let (Ok(took), count) = (Duration::try_from_secs_f64(seconds), count as u64) else { return };
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < took);
        self.counts[bucket].fetch_add(count, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).saturating_mul(count);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}
