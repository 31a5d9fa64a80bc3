//! One look at the clock, and one entry into a histogram of latencies.

use std::time::Duration;

use criterion::Criterion;
use foretoken::app::BootClock;
use foretoken_types::{Clock, LatencyBuckets};

pub(crate) fn clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watching");
    group.bench_function("clock", |bencher| bencher.iter(|| BootClock.now()));
    group.bench_function("latency recorded", |bencher| {
        let mut buckets = LatencyBuckets::default();
        bencher.iter(|| buckets.record(Duration::from_micros(73), 1));
    });
}
