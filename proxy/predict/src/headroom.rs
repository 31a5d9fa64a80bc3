//! The rule that needs no model: when does each resource reach its limit, if it goes on as of late?
//!
//! The trend is the median of the slopes between all pairs of points (Theil 1950, Sen 1968): up to 29 % of the points may be
//! nonsense and it doesn't move, so that a snapshot's fork or one failed reading raises no alarm. `models/train/rule.py` says
//! the same in Python, and golden vectors hold the two together.

use std::fmt;

use crate::contract::{Feature, HORIZONS};
use crate::features::Window;

/// Spans of history over which a trend is sought, in steps: the pace of late, and the long run.
const SPANS: [usize; 2] = [15, 60];
/// Fewest points of which a trend is believed.
const POINTS_LEAST: usize = 5;
/// A level is the median of the readings of this many steps.
const LEVEL_STEPS: usize = 3;
/// How sharply risk falls as the time to the limit passes the horizon; at the horizon it is one half.
const SHARPNESS: f64 = 6.0;
/// The same for a level that stands within its own noise of the limit.
const NEAR_SHARPNESS: f64 = 4.0;
/// Most risk that standing near the limit brings without a trend: stores live there for years.
const NEAR_MOST: f64 = 0.5;
/// Spreads that count as the noise of a level.
const NEAR_SPREADS: f64 = 3.0;
/// What is added to the noise: a level without any is no closer to the limit for it.
const NEAR_FLOOR: f64 = 0.003;
/// Risk at the limit itself. Not one, so that odds stay finite.
const AT_LIMIT: f64 = 0.99;

/// Something that is used up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// CPU that the store may use.
    Cpu,
    /// Memory up to the store's own limit.
    Memory,
    /// Memory of the machine.
    HostMemory,
    /// Connections.
    Connections,
    /// Disk that the store writes to.
    Disk,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::HostMemory, Self::Connections, Self::Disk];

    /// Its name in the contract, in labels and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::HostMemory => "host_memory",
            Self::Connections => "connections",
            Self::Disk => "disk",
        }
    }

    /// The feature that tells how much of it is used.
    #[must_use]
    pub const fn feature(self) -> Feature {
        match self {
            Self::Cpu => Feature::CpuRatio,
            Self::Memory => Feature::MemoryRatio,
            Self::HostMemory => Feature::HostMemoryRatio,
            Self::Connections => Feature::ConnectionsRatio,
            Self::Disk => Feature::DiskRatio,
        }
    }

    /// What reaching the limit is worth: refused writes and connections are a failure, a busy CPU is slow first.
    const fn severity(self) -> f64 {
        match self {
            Self::Cpu => 0.6,
            Self::HostMemory => 0.8,
            Self::Memory | Self::Connections | Self::Disk => 1.0,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory (maxmemory)",
            Self::HostMemory => "memory of the machine",
            Self::Connections => "connections",
            Self::Disk => "disk",
        })
    }
}

/// How one resource stands at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Which.
    pub resource: Resource,
    /// Share of the limit in use.
    pub used: f64,
    /// Share at which it is exhausted.
    pub limit: f64,
    /// Whether reaching the limit is a failure: not for memory of a store that evicts.
    pub ends: bool,
    /// Distance from the trend that three quarters of the readings of late keep.
    pub spread: f64,
    /// The trends found, over the spans of late and of long; `None` where there are too few points.
    trends: [Option<Trend>; SPANS.len()],
}

/// A robust trend of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trend {
    /// Change a step.
    per_step: f64,
    /// 0 when as many pairs fall as rise, 1 when all rise.
    sureness: f64,
}

impl Standing {
    /// The change a step that is believed: the trend one is surer of, and of two alike the late one.
    #[must_use]
    pub fn per_step(&self) -> f64 {
        self.trend().map_or(0.0, |trend| trend.per_step)
    }

    /// Steps until the limit at this pace; `None` when it doesn't rise, or nothing happens at the limit.
    #[must_use]
    pub fn steps_left(&self) -> Option<f64> {
        let per_step = self.per_step();
        (self.ends && per_step > 0.0).then(|| (self.limit - self.used).max(0.0) / per_step)
    }

    /// Risk that it is exhausted within each horizon.
    #[must_use]
    pub fn risk(&self) -> [f64; HORIZONS.len()] {
        let severity = self.resource.severity();
        if !self.ends {
            return [0.0; HORIZONS.len()];
        }
        if self.used >= self.limit {
            return [AT_LIMIT * severity; HORIZONS.len()];
        }
        let left = self.limit - self.used;
        let noise = NEAR_SPREADS * self.spread + NEAR_FLOOR;
        let near = NEAR_MOST * logistic(NEAR_SHARPNESS * (1.0 - left / noise));
        HORIZONS.map(|horizon| {
            let rising = self.trends.iter().flatten().filter(|trend| trend.per_step > 0.0);
            let trend = rising
                .map(|trend| {
                    let horizons_left = left / trend.per_step / f64::from(horizon);
                    trend.sureness * logistic(SHARPNESS * (1.0 - horizons_left))
                })
                .fold(0.0, f64::max);
            severity * trend.max(near)
        })
    }

    fn trend(&self) -> Option<Trend> {
        self.trends.into_iter().flatten().reduce(
            |late, long| {
                if long.sureness > late.sureness { long } else { late }
            },
        )
    }
}

/// How every resource stands of which something was read in the last steps.
#[must_use]
pub fn standings(window: &Window) -> Vec<Standing> {
    Resource::ALL.into_iter().filter_map(|resource| standing(window, resource)).collect()
}

fn standing(window: &Window, resource: Resource) -> Option<Standing> {
    let feature = resource.feature();
    let (_, limit) = feature.spec().resource?;
    let points: Vec<(f64, f64)> =
        window.series(feature).map(|(ago, value)| (-index(ago), f64::from(value))).collect();
    let within = |steps: usize| {
        let count = points.iter().take_while(|(at, _)| -at < index(steps)).count();
        points.get(..count).unwrap_or_default()
    };
    let used = median(within(LEVEL_STEPS).iter().map(|(_, value)| *value).collect())?;
    let trends = SPANS.map(|span| trend(within(span)));
    let spread = trends[0].map_or(0.0, |late| spread(within(SPANS[0]), late));
    let ends = resource != Resource::Memory || !evicts(window);
    Some(Standing { resource, used, limit: f64::from(limit), ends, spread, trends })
}

/// The store says so, or it does so.
fn evicts(window: &Window) -> bool {
    let said = window.series(Feature::MemoryEvicts).next().map(|(_, flag)| flag >= 0.5);
    said.unwrap_or_else(|| window.series(Feature::EvictionRate).any(|(_, rate)| rate > 0.0))
}

fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    if points.len() < POINTS_LEAST {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (place, (at, value)) in points.iter().enumerate() {
        for (earlier, before) in points.iter().skip(place + 1) {
            slopes.push((value - before) / (at - earlier));
        }
    }
    let count = index(slopes.len());
    let rising = index(slopes.iter().filter(|slope| **slope > 0.0).count());
    let level = index(slopes.iter().filter(|slope| **slope == 0.0).count());
    let sureness = (2.0 * (rising + level / 2.0) / count - 1.0).max(0.0);
    Some(Trend { per_step: median(slopes)?, sureness })
}

/// The distance from the trend that three quarters of the points keep.
fn spread(points: &[(f64, f64)], trend: Trend) -> f64 {
    let flat: Vec<f64> = points.iter().map(|(at, value)| value - trend.per_step * at).collect();
    let middle = median(flat.clone()).unwrap_or(0.0);
    let mut distances: Vec<f64> = flat.iter().map(|value| (value - middle).abs()).collect();
    distances.sort_unstable_by(f64::total_cmp);
    distances.get(distances.len() * 3 / 4).copied().unwrap_or(0.0)
}

/// The middle value, or the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    if values.is_empty() {
        return None;
    }
    let (below, at, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let at = *at;
    let under = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(if even { f64::midpoint(under, at) } else { at })
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[expect(clippy::cast_precision_loss, reason = "steps and pairs of a window: small numbers")]
const fn index(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
