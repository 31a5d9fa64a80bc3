//! The tables, for people and for the record.

use std::time::Duration;

use crate::figures::{Calls, Idle, Results, Run, Runs};
use crate::goals;
use crate::machine::Machine;
use crate::process::version;
use crate::rate::Latency;
use crate::table::table;

pub(crate) fn render(machine: &Machine, rounds: usize, took: Duration, results: &Results) -> String {
    let mut parts = vec![format!(
        "Written by `make bench`: {}, commit {}.\nMachine: {}; load generator, proxy and store share them, over loopback.\n\
         Rounds: {rounds}, targets in turn in each; medians, quartiles in brackets. Took {:.0} s.\n\n{}",
        machine.date,
        machine.commit,
        machine.description,
        took.as_secs_f64(),
        versions(machine)
    )];
    let goals = goals::rows(results);
    if goals.len() > 1 {
        parts.push(format!("## What is to be reached\n\n{}", table(&goals)));
    }
    parts.extend(results.cells.iter().map(cell));
    parts.extend(results.latency.as_ref().map(|(rate, latency)| at_a_rate(*rate, latency)));
    parts.extend((!results.calls.is_empty()).then(|| calls(&results.calls)));
    parts.extend((!results.idle.is_empty()).then(|| idle(&results.idle)));
    parts.join("\n")
}

fn versions(machine: &Machine) -> String {
    let envoy = crate::envoy::program().ok().and_then(|envoy| version(envoy.to_str()?, "--version"));
    // "/path/of/envoy  version: commit/1.40.0/Clean/RELEASE/BoringSSL"
    let envoy = envoy.and_then(|line| Some(line.split_once("version: ")?.1.to_owned()));
    // "HAProxy version 2.6.12 date - address"
    let haproxy = version("haproxy", "-v");
    let haproxy = haproxy.map(|line| line.split(" - ").next().unwrap_or_default().to_owned());
    let all = [
        ("redis-server, redis-benchmark", Some(machine.redis.clone())),
        ("foretoken", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("haproxy", haproxy),
        ("twemproxy", version("nutcracker", "-V")),
        ("envoy", envoy),
    ];
    let line = |(name, version): (&str, Option<String>)| {
        format!("- {name}: {}\n", version.as_deref().unwrap_or("not there, left out"))
    };
    all.map(line).concat()
}

fn head<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

fn cell(cell: &Runs<Run>) -> String {
    let mut rows =
        vec![head(["", "rps", "rps × direct", "CPU us/request", "redis-server CPU us/request", "× direct"])];
    for (target, (name, is_direct)) in cell.targets().iter().enumerate() {
        let rps = cell.median(target, |run, _| run.rps);
        let [low, ratio, high] = cell.quartiles(target, |run, direct| run.rps / direct.rps);
        let own = cell.median(target, |run, _| run.proxy_us);
        let store = cell.median(target, |run, _| run.store_us);
        let of_direct = cell.median(target, |run, direct| run.store_us / direct.store_us);
        rows.push(vec![
            (*name).to_owned(),
            format!("{rps:.0}"),
            format!("{ratio:.2} ({low:.2}–{high:.2})"),
            if *is_direct { "–".to_owned() } else { format!("{own:.2}") },
            format!("{store:.2}"),
            format!("{of_direct:.2}"),
        ]);
    }
    format!("## {}\n\n{}", cell.name, table(&rows))
}

fn at_a_rate(rate: f64, latency: &Runs<Latency>) -> String {
    let mut rows = vec![head(["", "p50 × direct", "p99 × direct", "p99.9 × direct", "p50 / p99 / p99.9 ms"])];
    for (target, (name, _)) in latency.targets().iter().enumerate() {
        let of = |percentile: fn(&Latency) -> Duration| {
            let ms = latency.median(target, |run, _| percentile(run).as_secs_f64() * 1e3);
            let ratio = |run: &Latency, direct: &Latency| {
                percentile(run).as_secs_f64() / percentile(direct).as_secs_f64()
            };
            let [low, ratio, high] = latency.quartiles(target, ratio);
            (format!("{ratio:.2} ({low:.2}–{high:.2})"), format!("{ms:.2}"))
        };
        let [p50, p99, p999] = [of(|run| run.p50), of(|run| run.p99), of(|run| run.p999)];
        let ms = [p50.1, p99.1, p999.1].join(" / ");
        rows.push(vec![(*name).to_owned(), p50.0, p99.0, p999.0, ms]);
    }
    format!("## {}, {rate:.0} requests a second\n\n{}", latency.name, table(&rows))
}

fn calls(calls: &[Calls]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in calls.iter().flat_map(|calls| &calls.by_target) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let row = |name: &str| {
        let of =
            |calls: &Calls| calls.by_target.iter().find(|target| target.0 == name).map(|target| target.1);
        let figure = |calls| of(calls).map_or("–".to_owned(), |calls| format!("{calls:.2}"));
        std::iter::once(name.to_owned()).chain(calls.iter().map(figure)).collect()
    };
    let head = std::iter::once(String::new()).chain(calls.iter().map(|calls| calls.cell.clone())).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(names.into_iter().map(row)).collect();
    format!("## System calls per request\n\n{}", table(&rows))
}

fn idle(idle: &[Idle]) -> String {
    let mut rows = vec![head(["", "RSS at 1, MiB", "at 200", "at 2000", "KiB per further connection"])];
    for idle in idle {
        let [one, few, many] = idle.rss.map(|kib| format!("{:.1}", kib as f64 / 1024.0));
        rows.push(vec![idle.name.to_owned(), one, few, many, format!("{:.1}", idle.further_kib())]);
    }
    format!("## Idle connections\n\n{}", table(&rows))
}
