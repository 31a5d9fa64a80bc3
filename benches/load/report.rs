//! Medians, ratios, a table.

use std::fmt::Write;

use crate::peers::Target;

/// One run of one target.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) rps: f64,
    pub p99_ms: f64,
    /// CPU of the process that was asked, in microseconds per request.
    pub(crate) proxy_us: f64,
    /// CPU of redis-server, in microseconds per request.
    pub(crate) server_us: f64,
}

/// All runs of one cell, by target.
pub(crate) struct Cell {
    pub(crate) name: String,
    runs: Vec<Vec<Run>>,
}

impl Cell {
    pub(crate) fn new(name: String, targets: &[Target]) -> Self {
        Self { name, runs: vec![Vec::new(); targets.len()] }
    }

    pub(crate) fn add(&mut self, target: usize, run: Run) {
        self.runs[target].push(run);
    }

    /// Lower quartile, median and upper quartile.
    fn quartiles(&self, target: usize, of: impl Fn(&Run, &Run) -> f64) -> [f64; 3] {
        // Each run is held against the direct run of the same round.
        let mut values: Vec<f64> =
            self.runs[target].iter().zip(&self.runs[0]).map(|(run, direct)| of(run, direct)).collect();
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
    }
}

pub(crate) fn render(targets: &[Target], cells: &[Cell], rounds: usize) -> String {
    let mut text = String::from(
        "# Results\n\nWritten by `make bench`; the method is in `README.md` beside this file.\n\n",
    );
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |m| m.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    // Writing to a String does not fail.
    let mut line =
        |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).expect("a String takes everything");
    line(format_args!(
        "Machine: {cores} cores, {model}; load generator, proxy and store share them. Loopback.\n"
    ));
    line(format_args!("Rounds: {rounds}, targets in turn in each; medians, quartiles in brackets.\n\n"));
    for target in targets {
        line(format_args!("- {}: {}\n", target.name, target.version));
    }
    for cell in cells {
        line(format_args!("\n## {}\n\n", cell.name));
        line(format_args!(
            "| | rps | rps × direct | CPU us/request | redis-server CPU us/request | p99 × direct |\n"
        ));
        line(format_args!("| --- | --- | --- | --- | --- | --- |\n"));
        for (number, target) in targets.iter().enumerate() {
            let rps = cell.quartiles(number, |run, _| run.rps)[1];
            let [low, ratio, high] = cell.quartiles(number, |run, direct| run.rps / direct.rps);
            let own = cell.quartiles(number, |run, _| run.proxy_us)[1];
            let own = if number == 0 { "–".to_owned() } else { format!("{own:.2}") };
            let server = cell.quartiles(number, |run, _| run.server_us)[1];
            let p99 = cell.quartiles(number, |run, direct| run.p99_ms / direct.p99_ms)[1];
            line(format_args!(
                "| {} | {rps:.0} | {ratio:.2} ({low:.2}–{high:.2}) | {own} | {server:.2} | {p99:.2} |\n",
                target.name
            ));
        }
    }
    text
}
