//! Direct, us and the peers in turn: throughput, CPU, latency, system calls and memory, as ratios to direct where it has them.
//!
//! `make bench` runs it. Every cell is measured for each target one after the other, round after round (A B C D, A B C D …),
//! so that drift of the machine hits all alike; medians of the rounds are printed with their spread. See `README.md`.

#[path = "load/address.rs"]
mod address;
#[path = "load/cells.rs"]
mod cells;
#[path = "../tests/support/certificates.rs"]
mod certificates;
#[path = "load/closed.rs"]
mod closed;
#[path = "load/envoy.rs"]
mod envoy;
#[path = "load/exchange.rs"]
mod exchange;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/goals.rs"]
mod goals;
#[path = "load/idle.rs"]
mod idle;
#[path = "support/machine.rs"]
mod machine;
#[path = "load/mix.rs"]
mod mix;
#[path = "load/peers.rs"]
mod peers;
#[path = "load/process.rs"]
mod process;
#[path = "load/profile.rs"]
mod profile;
#[path = "load/rate.rs"]
mod rate;
#[path = "load/report.rs"]
mod report;
#[path = "support/results.rs"]
mod results;
#[path = "load/rounds.rs"]
mod rounds;
#[path = "load/stage.rs"]
mod stage;
#[path = "load/syscalls.rs"]
mod syscalls;
#[path = "support/table.rs"]
mod table;
#[path = "load/tls.rs"]
mod tls;
#[path = "load/us.rs"]
mod us;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tokio::time::Instant;

use cells::{CELLS, Cell, Way};
use figures::Results;
use goals::US;
use rounds::{CALLS, CALLS_IN, IDLE, RATE};
use stage::Stage;

/// Measures the data path against direct and the peers.
#[derive(Parser)]
struct Options {
    /// Parts of the names of cells; all without any. Also "idle", "rate" and "system calls".
    cells: Vec<String>,
    /// Rounds that count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round of small runs: to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Puts the tables into benches/RESULTS.md.
    #[arg(long, conflicts_with_all = ["cells", "quick"])]
    record: bool,
    /// Only where our own CPU goes.
    #[arg(long, conflicts_with_all = ["cells", "record"])]
    profile: bool,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.cells.is_empty() || self.cells.iter().any(|part| name.contains(part.as_str()))
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    fn requests(&self, cell: &Cell) -> usize {
        if self.quick { cell.requests / 20 } else { cell.requests }
    }
}

fn main() -> ExitCode {
    // `cargo test` builds and calls benches too; there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") {
        return ExitCode::SUCCESS;
    }
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if options.profile {
        return profile(options);
    }
    let began = Instant::now();
    // The machine as it is found, before anything here keeps it busy.
    let machine = machine::describe(Path::new(env!("CARGO_BIN_EXE_foretoken")));
    let mut results = Results::default();
    for way in [Way::Tcp, Way::Tls, Way::Unix, Way::Synchronous] {
        let cells: Vec<&Cell> =
            CELLS.iter().filter(|cell| cell.way == way && options.wants(&cell.name())).collect();
        let has_more = way == Way::Tcp && [IDLE, RATE, CALLS].into_iter().any(|name| options.wants(name));
        if cells.is_empty() && !has_more {
            continue;
        }
        let stage = Stage::set(way)?;
        if way == Way::Tcp && options.wants(IDLE) {
            // First of all, while nobody has carried anything.
            results.idle = rounds::idle(&stage.targets)?;
        }
        for cell in cells {
            results.cells.push(rounds::throughput(options, cell, &stage.targets)?);
        }
        if way == Way::Tcp && options.wants(RATE) {
            let rate = rounds::fixed_rate(options, &results, &stage.targets[0])?;
            results.latency = Some((rate, rounds::latency(options, &stage.targets, rate)?));
        }
        if way == Way::Tcp && options.wants(CALLS) {
            results.calls = rounds::calls(options, &stage.targets)?;
        }
    }
    if results.is_empty() {
        return Err(format!("no cell has {:?} in its name", options.cells));
    }
    let text = report::render(&machine, options.rounds(), began.elapsed(), &results);
    println!("{text}");
    if options.record {
        results::replace("Load", &text).map_err(|error| format!("write benches/RESULTS.md: {error}"))?;
    }
    Ok(())
}

/// Of ourselves alone, in the cells in which system calls are counted.
fn profile(options: &Options) -> Result<(), String> {
    let stage = Stage::set(Way::Tcp)?;
    let us = stage.targets.iter().find(|target| target.name == US).ok_or("we are not among the targets")?;
    let cells: Vec<&Cell> = CELLS.iter().filter(|cell| CALLS_IN.contains(&&*cell.name())).collect();
    // Long enough for some thousand samples.
    println!("{}", profile::budget(&cells, us, |cell| options.requests(cell) * 4)?);
    Ok(())
}
