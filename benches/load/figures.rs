//! What was measured, and what is made of it: each run is held against the direct run of its round.

use crate::idle;
use crate::rate::Latency;
use crate::stage::Target;

/// One run of one target.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) rps: f64,
    /// CPU of the process that was asked, in microseconds per request.
    pub(crate) proxy_us: f64,
    /// CPU of redis-server, in microseconds per request.
    pub(crate) store_us: f64,
}

/// All runs of one cell, by target. The first target is direct.
pub(crate) struct Runs<R> {
    pub(crate) name: String,
    targets: Vec<(&'static str, bool)>,
    runs: Vec<Vec<R>>,
}

impl<R> Runs<R> {
    pub(crate) fn new(name: String, targets: &[&Target]) -> Self {
        let runs = targets.iter().map(|_| Vec::new()).collect();
        let targets = targets.iter().map(|target| (target.name, target.is_direct())).collect();
        Self { name, targets, runs }
    }

    pub(crate) fn add(&mut self, target: usize, run: R) {
        self.runs[target].push(run);
    }

    /// Name of each target, and whether it is the store itself.
    pub(crate) fn targets(&self) -> &[(&'static str, bool)] {
        &self.targets
    }

    pub(crate) fn target(&self, name: &str) -> Option<usize> {
        self.targets.iter().position(|target| target.0 == name)
    }

    /// Lower quartile, median and upper quartile of what `of` makes of a run and the direct run of the same round.
    pub(crate) fn quartiles(&self, target: usize, of: impl Fn(&R, &R) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> =
            self.runs[target].iter().zip(&self.runs[0]).map(|(run, direct)| of(run, direct)).collect();
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| {
            let place = values.len().saturating_sub(1) * quarter / 4;
            values.get(place).copied().unwrap_or(f64::NAN)
        })
    }

    pub(crate) fn median(&self, target: usize, of: impl Fn(&R, &R) -> f64) -> f64 {
        self.quartiles(target, of)[1]
    }
}

/// Memory of a target in KiB, at each number of idle connections.
pub(crate) struct Idle {
    pub(crate) name: &'static str,
    pub(crate) rss: [u64; 3],
}

impl Idle {
    pub(crate) fn first_mib(&self) -> f64 {
        self.rss[0] as f64 / 1024.0
    }

    /// KiB of one more connection.
    pub(crate) fn further_kib(&self) -> f64 {
        let [first, _, last] = self.rss.map(|kib| kib as f64);
        let [few, _, many] = idle::CONNECTIONS.map(|connections| connections as f64);
        (last - first) / (many - few)
    }
}

/// System calls per request of each target.
pub(crate) struct Calls {
    pub(crate) cell: String,
    pub(crate) by_target: Vec<(&'static str, f64)>,
}

/// All that a run of the bench has found.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) idle: Vec<Idle>,
    pub(crate) cells: Vec<Runs<Run>>,
    /// Requests per second, and what they took.
    pub(crate) latency: Option<(f64, Runs<Latency>)>,
    pub(crate) calls: Vec<Calls>,
}

impl Results {
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.cells.is_empty() && self.latency.is_none() && self.calls.is_empty()
    }
}
