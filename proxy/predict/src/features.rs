//! Rows and the window over them: what was measured, in the contract's order, and nothing about what it means.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_health::{Figures, HostFigures};
use foretoken_types::{Capacity, ErrorClass};

use crate::contract::{FEATURES, Feature, MISSING, WINDOW};

/// Share of its limit from which CPU counts as used up: a server that always wants more than its quota was measured at 0.998
/// of it, because the end of a period is never met exactly.
const CPU_FULL: f64 = 0.98;

/// What was known of an endpoint in one step. Unknown values are NaN inside and `None` outside.
#[derive(Clone, Debug)]
pub struct Row([f32; FEATURES]);

/// What a row is made of, beside what a caller sets by [`Row::set`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings<'a> {
    /// What live traffic met.
    pub traffic: Option<&'a Figures>,
    /// What the store says of itself.
    pub capacity: Option<&'a Capacity>,
    /// What it said a step before, and how long ago that was; counters become rates by it.
    pub before: Option<(&'a Capacity, Duration)>,
    /// The machine beneath it.
    pub host: Option<&'a HostFigures>,
    /// What that was a step before, and how long ago.
    pub host_before: Option<(&'a HostFigures, Duration)>,
    /// How far mirrors are behind.
    pub lag: Option<Duration>,
}

/// CPU in use and the limit that is nearer: of the thread that executes commands one core, of all threads the quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cores {
    /// Cores in use.
    pub used: f64,
    /// Cores that may be used.
    pub limit: f64,
}

impl Readings<'_> {
    /// CPU used since the reading before. A quota that nobody knows of is not seen.
    #[must_use]
    pub fn cores(&self) -> Option<Cores> {
        let (now, (before, ago)) = (self.capacity?, self.before?);
        let cores = |of: fn(&Capacity) -> Option<Duration>| {
            let used = of(now)?.checked_sub(of(before)?)?;
            (!ago.is_zero()).then(|| used.as_secs_f64() / ago.as_secs_f64())
        };
        let all = cores(|capacity| capacity.cpu_time);
        let one = cores(|capacity| capacity.cpu_time_commands).or(all).map(|used| Cores { used, limit: 1.0 });
        let quota = self.host.and_then(|host| host.cpu_quota);
        let quota = all.zip(quota).map(|(used, quota)| Cores { used, limit: quota.cores });
        let share = |cores: &Cores| cores.used / cores.limit;
        let nearest = one.into_iter().chain(quota).max_by(|a, b| share(a).total_cmp(&share(b)))?;
        let is_full = nearest.used >= CPU_FULL * nearest.limit;
        Some(Cores { used: if is_full { nearest.used.max(nearest.limit) } else { nearest.used }, ..nearest })
    }

    /// Share of the time in which the store was kept from running: by its quota or by others that ran instead (where the one
    /// may be counted with the other, so that the greater counts), and by a signal.
    fn throttled(&self) -> Option<f64> {
        let (now, (before, ago)) = (self.host?, self.host_before?);
        let more = |of: fn(&HostFigures) -> Option<Duration>| of(now)?.checked_sub(of(before)?);
        let same_group = |host: &HostFigures| host.cpu_quota.map(|quota| quota.group);
        let quota = more(|host| host.cpu_quota?.throttled).filter(|_| same_group(now) == same_group(before));
        let waited = more(|host| host.cpu_waited);
        let held = quota.into_iter().chain(waited).max();
        let stopped = more(|host| host.cpu_stopped);
        if held.is_none() && stopped.is_none() {
            return None;
        }
        let kept = held.unwrap_or_default() + stopped.unwrap_or_default();
        (!ago.is_zero()).then(|| kept.as_secs_f64() / ago.as_secs_f64())
    }

    /// Writes to disk that wait, and those that had to since the reading before.
    fn disk_pending(&self) -> Option<f64> {
        let now = self.capacity?;
        let delayed = self
            .before
            .and_then(|(before, _)| now.disk_delayed_total?.checked_sub(before.disk_delayed_total?));
        float(now.disk_waiting.map(|waiting| waiting.saturating_add(delayed.unwrap_or(0))))
    }
}

impl Default for Row {
    fn default() -> Self {
        Self([f32::NAN; FEATURES])
    }
}

impl Row {
    /// Folds what was read into a row. What nobody read stays unknown.
    #[must_use]
    pub fn measured(readings: &Readings<'_>) -> Self {
        let mut row = Self::default();
        if let Some(traffic) = readings.traffic {
            row.traffic(traffic);
        }
        if let Some(capacity) = readings.capacity {
            row.set(Feature::MemoryRatio, share(capacity.memory_used_bytes, capacity.memory_limit_bytes));
            row.set(Feature::MemoryEvicts, capacity.memory_evicts.map(|evicts| f64::from(u8::from(evicts))));
            row.set(Feature::ConnectionsRatio, share(capacity.clients, capacity.clients_limit));
            if let Some((before, ago)) = readings.before {
                row.set(Feature::EvictionRate, rate(before.evicted_total, capacity.evicted_total, ago));
                row.set(Feature::RejectedRate, rate(before.rejected_total, capacity.rejected_total, ago));
            }
        }
        if let Some(host) = readings.host {
            let free = share(host.memory_available_bytes, host.memory_total_bytes);
            row.set(Feature::HostMemoryRatio, free.map(|free| 1.0 - free));
            row.set(Feature::MemoryPressureRatio, host.memory_pressure_percent.map(|p| p / 100.0));
            row.set(Feature::IoPressureRatio, host.io_pressure_percent.map(|p| p / 100.0));
            let disk = host.disk.and_then(|disk| share(Some(disk.used_bytes), Some(disk.size_bytes)));
            row.set(Feature::DiskRatio, disk);
        }
        row.set(Feature::CpuRatio, readings.cores().map(|cores| cores.used / cores.limit));
        row.set(Feature::CpuThrottledRatio, readings.throttled());
        row.set(Feature::DiskPending, readings.disk_pending());
        row.set(Feature::ReplicationLag, readings.lag.map(|lag| lag.as_secs_f64()));
        row
    }

    fn traffic(&mut self, figures: &Figures) {
        let ms = |latency: Option<Duration>| latency.map(|l| l.as_secs_f64() * 1_000.0);
        self.set(Feature::RequestRate, Some(figures.rate));
        self.set(Feature::LatencyP50, ms(figures.latency_p50));
        self.set(Feature::LatencyP99, ms(figures.latency_p99));
        self.set(Feature::InFlight, float(Some(figures.in_flight)));
        let attempts = figures.answered.saturating_add(figures.connect_failures);
        self.set(Feature::ConnectFailureRatio, share(Some(figures.connect_failures), Some(attempts)));
        let asked = figures.answered.saturating_add(figures.timeouts);
        self.set(Feature::TimeoutRatio, share(Some(figures.timeouts), Some(asked)));
        let errors = ErrorClass::ALL
            .into_iter()
            .zip(figures.error_ratio)
            .filter(|(class, _)| matches!(class, ErrorClass::Unavailable | ErrorClass::Grey))
            .map(|(_, ratio)| ratio)
            .sum();
        // Without a single reply a share of errors says nothing.
        self.set(Feature::ErrorRatio, (figures.answered > 0).then_some(errors));
    }

    /// Sets a value, clipped as the contract says; `None` and what isn't a number mean unknown.
    #[expect(clippy::cast_possible_truncation, reason = "features are single precision")]
    pub fn set(&mut self, feature: Feature, value: Option<f64>) {
        let spec = feature.spec();
        // NaN survives `clamp`; an infinity says that a measurement went wrong, not that it is large.
        self.0[feature.index()] = value
            .filter(|value| value.is_finite())
            .map_or(f32::NAN, |value| (value as f32).clamp(spec.low, spec.high));
    }

    /// A value, unless it is unknown.
    #[must_use]
    pub fn get(&self, feature: Feature) -> Option<f32> {
        let value = self.0[feature.index()];
        (!value.is_nan()).then_some(value)
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|value| value.is_nan())
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and rates of large numbers")]
fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

/// `None` without a limit, and with a limit of zero, which stands for none.
fn share(used: Option<u64>, limit: Option<u64>) -> Option<f64> {
    Some(float(used)? / float(limit.filter(|limit| *limit > 0))?)
}

/// `None` when the counter went back: the store has started again.
fn rate(before: Option<u64>, now: Option<u64>, ago: Duration) -> Option<f64> {
    let more = now?.checked_sub(before?)?;
    (!ago.is_zero()).then(|| float(Some(more)).map(|more| more / ago.as_secs_f64()))?
}

/// The last [`WINDOW`] rows of one endpoint, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    rows: VecDeque<Row>,
}

impl Window {
    /// Adds the row of this step and forgets the oldest beyond the window.
    pub fn push(&mut self, row: Row) {
        if self.rows.len() == WINDOW {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// Says that `steps` passed without a row: they are unknown, and time goes on. A trend over rows that lie further
    /// apart than they seem would be too steep.
    pub fn skip(&mut self, steps: usize) {
        for _ in 0..steps.min(WINDOW) {
            self.push(Row::default());
        }
    }

    /// Forgets everything: the endpoint is another one now (restarted empty, changed limits).
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of the last step.
    #[must_use]
    pub fn newest(&self) -> Option<&Row> {
        self.rows.back()
    }

    /// One feature over time: steps before now (0 is the newest row) and value, newest first, unknown ones left out.
    pub fn series(&self, feature: Feature) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.rows.iter().rev().enumerate().filter_map(move |(ago, row)| Some((ago, row.get(feature)?)))
    }

    /// The newest known value of a feature among the last `steps` rows.
    #[must_use]
    pub fn last(&self, feature: Feature, steps: usize) -> Option<f32> {
        self.series(feature).next().filter(|(ago, _)| *ago < steps).map(|(_, value)| value)
    }

    /// The same window in which a feature stood at `value` all the time it was known: what the risk would be without the
    /// movement of this one.
    #[must_use]
    pub fn with_constant(&self, feature: Feature, value: f32) -> Self {
        let mut other = self.clone();
        for row in other.rows.iter_mut().filter(|row| row.get(feature).is_some()) {
            row.set(feature, Some(f64::from(value)));
        }
        other
    }

    /// What a model reads: `WINDOW` rows of `FEATURES` values, oldest first, [`MISSING`] where unknown. A history that is
    /// shorter than the window stands at its end.
    #[must_use]
    pub fn to_input(&self) -> Vec<f32> {
        let mut input = vec![MISSING; (WINDOW - self.rows.len()) * FEATURES];
        input.extend(self.rows.iter().flat_map(|row| row.0).map(|v| if v.is_nan() { MISSING } else { v }));
        input
    }
}

#[cfg(test)]
mod tests;
