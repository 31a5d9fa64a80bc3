//! How long switchovers and failovers take, and what they cost the clients: the program itself over three real redis-servers.
//!
//! `make bench-failover` runs it. Every fault has eight clients, a name for their keys and a history of its own, which is
//! checked as in the tests: a figure from a run that told its clients something false is worth nothing. See `README.md`.

#[path = "failover/faults.rs"]
mod faults;
#[path = "support/machine.rs"]
mod machine;
#[path = "failover/report.rs"]
mod report;
#[path = "support/results.rs"]
mod results;
#[path = "failover/stage.rs"]
mod stage;
#[path = "support/table.rs"]
mod table;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use foretoken_demo::Error;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use faults::Sample;
use report::{Phase, Results};
use stage::Stage;

/// The heading that recorded runs go under, and what stands above the first.
const HEADING: &str = "Switchovers and failovers";
const INTRODUCTION: &str = "Appended by `cargo bench --profile dist --bench failover -- --record`; the method is in \
                            `README.md` beside this file.";
/// Runs of a kind that may break down before the others are not worth waiting for.
const BROKEN_MAX: usize = 3;
/// Lines of the sidecar's log that are shown when a run went wrong.
const LAST_WORDS: usize = 30;

/// Measures switchovers, kills and freezes under load.
#[derive(Parser)]
struct Options {
    /// Planned switchovers.
    #[arg(long, default_value_t = 50)]
    switchovers: usize,
    /// kill -9 of the primary.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// SIGSTOP of the primary, and its return.
    #[arg(long, default_value_t = 20)]
    freezes: usize,
    /// kill -9 of the primary soon after the sidecar has started.
    #[arg(long, default_value_t = 3)]
    early_kills: usize,
    /// Chooses moments and operations.
    #[arg(long)]
    seed: Option<u64>,
    /// Appends the table to benches/RESULTS.md.
    #[arg(long)]
    record: bool,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // `cargo test` builds and calls benches too; there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") {
        return ExitCode::SUCCESS;
    }
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: what has to be 0 is not, see the table");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// `false`: something happened that must not.
fn run(options: &Options) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // The machine as it is found, before anything here keeps it busy.
    let machine = machine::describe(program());
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("seed {seed}");
    let results = runtime.block_on(async {
        tokio::select! {
            results = measure(options, seed) => results,
            _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        }
    })?;
    let text = report::render(&machine, seed, &results);
    println!("{text}");
    if options.record {
        // Nothing in the record is ever taken out.
        results::append(HEADING, INTRODUCTION, &text)?;
    }
    Ok(results.is_as_it_must_be())
}

/// The program that is measured: of the same build as this bench.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_foretoken"))
}

async fn measure(options: &Options, seed: u64) -> Result<Results, Error> {
    let began = Instant::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let planned = repeat("switchover", options.switchovers, true, &mut rng, faults::switchover).await?;
    let kills = repeat("kill", options.kills, true, &mut rng, faults::kill).await?;
    let freezes = repeat("freeze", options.freezes, true, &mut rng, faults::freeze).await?;
    let early_kills = repeat("early kill", options.early_kills, false, &mut rng, faults::kill).await?;
    Ok(Results { planned, kills, freezes, early_kills, took: began.elapsed() })
}

/// Measures the same fault again and again, on servers of its own: all on the same after a while of work (`settled`), or
/// each on new ones at once.
async fn repeat(
    name: &str,
    times: usize,
    settled: bool,
    rng: &mut StdRng,
    once: impl AsyncFn(&mut Stage, &mut StdRng) -> Result<Sample, Error>,
) -> Result<Phase, Error> {
    let mut phase = Phase { times, samples: Vec::new(), broken: Vec::new() };
    let mut last = None;
    for number in 1..=times {
        let mut stage = match last.take() {
            Some(stage) => stage,
            None => set(settled, rng).await?,
        };
        match once(&mut stage, rng).await {
            Ok(sample) => {
                eprintln!("{name} {number} of {times}: {sample}");
                phase.samples.push(sample);
                last = settled.then_some(stage);
            }
            Err(error) => {
                eprintln!("{name} {number} of {times} broke down: {error}; the sidecar's last words:");
                for line in stage.last_words(LAST_WORDS) {
                    eprintln!("    {line}");
                }
                phase.broken.push(format!("{name} {number}: {error}"));
                if phase.broken.len() == BROKEN_MAX {
                    break;
                }
                // Nobody knows in what state that one is: the next gets a new one.
            }
        }
    }
    Ok(phase)
}

async fn set(settled: bool, rng: &mut StdRng) -> Result<Stage, Error> {
    let mut stage = Stage::set(program()).await?;
    if settled {
        stage.settle(rng).await?;
    }
    Ok(stage)
}
