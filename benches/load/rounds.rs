//! Who is measured in which order.

use std::time::Duration;

use crate::cells::{CELLS, Cell};
use crate::figures::{Calls, Idle, Results, Run, Runs};
use crate::process::version;
use crate::rate::Latency;
use crate::stage::Target;
use crate::{Options, closed, idle, rate, syscalls};

/// What is measured beside the cells, all over TCP.
pub(crate) const IDLE: &str = "idle connections";
pub(crate) const RATE: &str = "GET 32 B at a fixed rate, 50 connections";
pub(crate) const CALLS: &str = "system calls";
/// System calls are counted in these.
pub(crate) const CALLS_IN: [&str; 2] = ["GET 32 B, c50 P1", "GET 32 B, c50 P16"];
/// The cell whose direct throughput the fixed rate is a part of.
const RATE_OF: &str = "GET 32 B, c50 P1";
const RATE_SHARE: f64 = 0.5;

/// Memory, of targets that have carried nothing yet.
pub(crate) fn idle(targets: &[Target]) -> Result<Vec<Idle>, String> {
    eprintln!("{IDLE}");
    targets.iter().map(|target| Ok(Idle { name: target.name, rss: idle::measure(target)? })).collect()
}

/// Each target in turn, round after round.
pub(crate) fn throughput(options: &Options, cell: &Cell, targets: &[Target]) -> Result<Runs<Run>, String> {
    closed::seed(cell, &targets[0])?;
    let requests = options.requests(cell);
    let targets: Vec<&Target> = targets.iter().filter(|target| cell.has(target)).collect();
    let mut runs = Runs::new(cell.name(), &targets);
    // A short round to warm up connections, caches and the CPU's clock.
    for target in &targets {
        closed::measure(cell, target, requests / 5)?;
    }
    for round in 1..=options.rounds() {
        for (number, target) in targets.iter().enumerate() {
            runs.add(number, closed::measure(cell, target, requests)?);
        }
        eprintln!("{}: round {round} of {}", runs.name, options.rounds());
    }
    Ok(runs)
}

/// The same at a fixed rate.
pub(crate) fn latency(options: &Options, targets: &[Target], rate: f64) -> Result<Runs<Latency>, String> {
    let lasts = Duration::from_millis(if options.quick { 200 } else { 2000 });
    let cell = named(RATE_OF)?;
    let targets: Vec<&Target> = targets.iter().filter(|target| cell.has(target)).collect();
    let mut runs = Runs::new(RATE.to_owned(), &targets);
    for round in 1..=options.rounds() {
        for (number, target) in targets.iter().enumerate() {
            let run = rate::measure(&target.address, rate, lasts);
            runs.add(number, run.map_err(|why| format!("{}, {why}", target.name))?);
        }
        eprintln!("{RATE}: round {round} of {}", options.rounds());
    }
    Ok(runs)
}

/// A share of what direct carries.
pub(crate) fn fixed_rate(options: &Options, results: &Results, direct: &Target) -> Result<f64, String> {
    let rps = match results.cells.iter().find(|cell| cell.name == RATE_OF) {
        Some(cell) => cell.median(0, |direct, _| direct.rps),
        None => {
            let cell = named(RATE_OF)?;
            closed::measure(cell, direct, options.requests(cell))?.rps
        }
    };
    Ok(rps * RATE_SHARE)
}

/// The same once, slowed down by the count.
pub(crate) fn calls(options: &Options, targets: &[Target]) -> Result<Vec<Calls>, String> {
    if version("strace", "--version").is_none() {
        eprintln!("strace is not installed: no system calls are counted (apt-get install strace)");
        return Ok(Vec::new());
    }
    let count = |name: &str| {
        let cell = named(name)?;
        closed::seed(cell, &targets[0])?;
        let targets = targets.iter().filter(|target| cell.has(target));
        let requests = options.requests(cell) / 4;
        let count = |target: &Target| Ok((target.name, syscalls::measure(cell, target, requests)?));
        eprintln!("{CALLS}: {name}");
        Ok(Calls { cell: cell.name(), by_target: targets.map(count).collect::<Result<_, String>>()? })
    };
    CALLS_IN.into_iter().map(count).collect()
}

fn named(name: &str) -> Result<&'static Cell, String> {
    CELLS.iter().find(|cell| cell.name() == name).ok_or_else(|| format!("there is no cell {name}"))
}
