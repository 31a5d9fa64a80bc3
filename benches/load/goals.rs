//! What is to be reached, and what would be better still.

use crate::figures::{Results, Run, Runs};

enum Figure {
    /// Throughput × direct, at least.
    Throughput,
    /// CPU per request × that of HAProxy, at most.
    Cpu,
    /// CPU of redis-server per request × direct, at most.
    StoreCpu,
}

use Figure::{Cpu, StoreCpu, Throughput};

/// Cell, figure, reach, moonshot.
const OF_CELLS: [(&str, Figure, f64, f64); 12] = [
    ("GET 32 B, c50 P1", Throughput, 0.90, 1.0),
    ("GET 32 B, c50 P16", Throughput, 0.80, 0.95),
    ("GET 32 B, c200 P1", Throughput, 1.0, 1.2),
    ("GET 32 B, c200 P16", Throughput, 0.95, 1.1),
    ("GET 32 B, c50 P1", Cpu, 0.65, 0.50),
    ("GET 32 B, c200 P1", Cpu, 0.65, 0.50),
    ("GET 32 B, c50 P16", Cpu, 0.70, 0.50),
    ("GET 32 B, c200 P16", Cpu, 0.70, 0.50),
    ("GET 32 B, c50 P1", StoreCpu, 0.35, 0.25),
    ("GET 32 B, c200 P1", StoreCpu, 0.35, 0.25),
    ("GET 32 B, c1 P1", Throughput, 0.5, 0.55),
    ("GET 32 B, c1 P1, Unix socket", Throughput, 0.65, 0.75),
];
const P99: (f64, f64) = (1.10, 1.0);
const RSS_MIB: (f64, f64) = (24.0, 14.0);
const FURTHER_KIB: (f64, f64) = (4.0, 1.0);

/// The name of the target that has goals.
pub(crate) const US: &str = "foretoken";

/// A table: everything that has a goal and was measured, and whether it is reached.
pub(crate) fn rows(results: &Results) -> Vec<Vec<String>> {
    let head = ["figure", "measured", "reach", "reached", "moonshot"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    for (name, figure, reach, moonshot) in &OF_CELLS {
        let cell = results.cells.iter().find(|cell| cell.name == *name);
        let Some(measured) = cell.and_then(|cell| of_cell(cell, figure)) else { continue };
        let (what, is_least) = match figure {
            Throughput => ("rps × direct", true),
            Cpu => ("CPU per request × haproxy", false),
            StoreCpu => ("redis-server CPU per request × direct", false),
        };
        rows.push(row(format!("{name}: {what}"), measured, is_least, (*reach, *moonshot)));
    }
    if let Some((_, latency)) = &results.latency
        && let Some(us) = latency.target(US)
    {
        let ratio = latency.median(us, |us, direct| us.p99.as_secs_f64() / direct.p99.as_secs_f64());
        rows.push(row("p99 × direct at a fixed rate".to_owned(), ratio, false, P99));
    }
    if let Some(us) = results.idle.iter().find(|idle| idle.name == US) {
        rows.push(row("RSS with 1 idle connection, MiB".to_owned(), us.first_mib(), false, RSS_MIB));
        rows.push(row("KiB per further idle connection".to_owned(), us.further_kib(), false, FURTHER_KIB));
    }
    rows
}

fn of_cell(cell: &Runs<Run>, figure: &Figure) -> Option<f64> {
    let us = cell.target(US)?;
    Some(match figure {
        Throughput => cell.median(us, |us, direct| us.rps / direct.rps),
        // The peer is not what the round is held against: medians, not the median of ratios.
        Cpu => {
            cell.median(us, |us, _| us.proxy_us) / cell.median(cell.target("haproxy")?, |run, _| run.proxy_us)
        }
        StoreCpu => cell.median(us, |us, direct| us.store_us / direct.store_us),
    })
}

fn row(figure: String, measured: f64, is_least: bool, (reach, moonshot): (f64, f64)) -> Vec<String> {
    // What is printed is what counts.
    let measured = (measured * 100.0).round() / 100.0;
    let is_met = |goal: f64| if is_least { measured >= goal } else { measured <= goal };
    let said = |goal: f64| if is_met(goal) { "yes" } else { "no" };
    let sign = if is_least { '≥' } else { '≤' };
    vec![
        figure,
        format!("{measured:.2}"),
        format!("{sign} {reach:.2}"),
        said(reach).to_owned(),
        format!("{sign} {moonshot:.2}: {}", said(moonshot)),
    ]
}
