//! Direct, us and the peers in turn: throughput as a ratio to direct, CPU per request of the proxy and of redis-server.
//!
//! `make bench` runs it. Every cell is measured for each target one after the other, round after round (A B C D, A B C D …),
//! so that drift of the machine hits all alike; medians of the rounds are printed with their spread. See `README.md`.

#[path = "load/peers.rs"]
mod peers;
#[path = "load/report.rs"]
mod report;

use std::process::{Command, ExitCode};

use peers::Target;
use report::{Cell, Run};

/// PERFORMANCE's cells: clients, pipeline depth, requests per run.
const CELLS: [(u32, u32, u64); 4] =
    [(50, 1, 200_000), (50, 16, 1_000_000), (200, 1, 200_000), (200, 16, 1_000_000)];
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    // `cargo test` builds and calls benches too; there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let running = peers::start()?;
    let targets = &running.measured;
    let mut cells = Vec::new();
    for (clients, pipeline, requests) in CELLS {
        let mut cell = Cell::new(format!("GET 32 B, c{clients} P{pipeline}"), targets);
        // One round to warm up connections, caches and the CPU's clock.
        for round in 0..=ROUNDS {
            for (number, target) in targets.iter().enumerate() {
                let run = measure(&targets[0], target, clients, pipeline, requests)?;
                if round > 0 {
                    cell.add(number, run);
                }
            }
            eprintln!("{} round {round} of {ROUNDS}", cell.name);
        }
        cells.push(cell);
    }
    let text = report::render(targets, &cells, ROUNDS);
    println!("{text}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
    // What `make bench-failover` has recorded below stays.
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let kept = before.find("\n# Switchovers and failovers\n").map_or("", |at| &before[at..]);
    std::fs::write(path, text + kept).map_err(|error| format!("write benches/RESULTS.md: {error}"))
}

fn measure(
    store: &Target,
    target: &Target,
    clients: u32,
    pipeline: u32,
    requests: u64,
) -> Result<Run, String> {
    let (proxy, server) = (target.cpu_ticks()?, store.cpu_ticks()?);
    let output = Command::new("redis-benchmark")
        .args(["-p", &target.port.to_string(), "-t", "get", "-d", "32", "-q", "--csv"])
        .args(["-c", &clients.to_string(), "-P", &pipeline.to_string(), "-n", &requests.to_string()])
        .output()
        .map_err(|error| format!("redis-benchmark: {error}"))?;
    let per_request = |before: u64, after: u64| {
        // 100 ticks a second: 10,000 us each.
        (after - before) as f64 * 10_000.0 / requests as f64
    };
    let text = String::from_utf8_lossy(&output.stdout);
    // "GET","81799.59","0.3",p50 …: columns as in the header line of --csv.
    let mut rows =
        text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')).collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    let row = rows.next().ok_or_else(|| format!("{}: redis-benchmark said {text:?}", target.name))?;
    let column = |name: &str| {
        let at = header.iter().position(|column| *column == name)?;
        row.get(at)?.parse::<f64>().ok()
    };
    Ok(Run {
        rps: column("rps").ok_or("no rps")?,
        p99_ms: column("p99_latency_ms").ok_or("no p99")?,
        proxy_us: per_request(proxy, target.cpu_ticks()?),
        server_us: per_request(server, store.cpu_ticks()?),
    })
}
