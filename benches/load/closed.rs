//! Clients that ask again as soon as they are answered: throughput, and the CPU that it takes.

use tokio::time::Instant;

use crate::address::Address;
use crate::cells::{Cell, Load};
use crate::figures::Run;
use crate::mix;
use crate::process::cpu_us;
use crate::stage::Target;

/// One run of one target. `requests` is what the cell says, or less.
pub(crate) fn measure(cell: &Cell, target: &Target, requests: usize) -> Result<Run, String> {
    let (process, store) = (cpu_us(target.process)?, cpu_us(target.store)?);
    let rps = match cell.load {
        Load::Get => redis_benchmark(cell, &target.address, "get", requests),
        Load::Set => redis_benchmark(cell, &target.address, "set", requests),
        Load::Mix => {
            let began = Instant::now();
            mix::run(cell, &target.address, requests)
                .map(|()| requests as f64 / began.elapsed().as_secs_f64())
        }
    };
    let rps = rps.map_err(|why| format!("{}, {}: {why}", cell.name(), target.name))?;
    let per_request = |before: u64, after: u64| (after - before) as f64 / requests as f64;
    Ok(Run {
        rps,
        proxy_us: per_request(process, cpu_us(target.process)?),
        store_us: per_request(store, cpu_us(target.store)?),
    })
}

/// Sets the one key that redis-benchmark's GET asks for: one that is missing has no value to carry.
pub(crate) fn seed(cell: &Cell, direct: &Target) -> Result<(), String> {
    let once = Cell { clients: 1, pipeline: 1, ..*cell };
    redis_benchmark(&once, &direct.address, "set", 1).map(|_| ())
}

/// Requests per second.
pub(crate) fn redis_benchmark(
    cell: &Cell,
    address: &Address,
    test: &str,
    requests: usize,
) -> Result<f64, String> {
    let [clients, pipeline, requests, size] =
        [cell.clients, cell.pipeline, requests, cell.size].map(|number| number.to_string());
    let output = address
        .redis_benchmark()
        .args(["-t", test, "-d", &size, "-q", "--csv", "-c", &clients, "-P", &pipeline, "-n", &requests])
        .output()
        .map_err(|error| format!("redis-benchmark: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "GET","81799.59","0.3",...: columns as in the header line of --csv.
    let mut rows = text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')));
    let place = rows.next().and_then(|mut header| header.position(|column| column == "rps"));
    place.zip(rows.next()).and_then(|(place, mut row)| row.nth(place)?.parse().ok()).ok_or_else(|| {
        format!("redis-benchmark said {text:?} and {:?}", String::from_utf8_lossy(&output.stderr))
    })
}
