//! What looking ahead costs: one step of one store, by rule, by model, and with the causes told.
//!
//! `make bench-predict` runs it. The windows are the golden ones (`models/risk/golden.json`): stores before a failure, look-alikes,
//! short histories and gaps. Each is weighed in turn, so that no window stays in the caches for itself alone.

#[path = "support/machine.rs"]
mod machine;
#[path = "support/results.rs"]
mod results;
#[path = "support/table.rs"]
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use foretoken_predict::{Calibration, Feature, Model, Predictor, Row, Window, assess};
use serde::Deserialize;

use table::table;

/// To be reached by one inference, p50 and p99, and what would be better still.
const REACH: [Duration; 2] = [Duration::from_micros(40), Duration::from_micros(100)];
const MOONSHOT: [Duration; 2] = [Duration::from_micros(10), Duration::from_micros(30)];

/// Measures rule and model.
#[derive(Parser)]
struct Options {
    /// Steps of each kind.
    #[arg(long, default_value_t = 20_000)]
    steps: usize,
    /// Puts the table into benches/RESULTS.md.
    #[arg(long)]
    record: bool,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rows: Vec<Vec<Option<f64>>>,
    risk: [f64; 3],
}

impl Case {
    fn window(&self) -> Window {
        let mut window = Window::default();
        for values in &self.rows {
            let mut row = Row::default();
            for (feature, value) in Feature::ALL.into_iter().zip(values) {
                row.set(feature, *value);
            }
            window.push(row);
        }
        window
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

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let machine = machine::describe(Path::new(env!("CARGO_BIN_EXE_foretoken")));
    let golden: Golden = serde_json::from_str(include_str!("../models/risk/golden.json"))?;
    let began = now();
    let model = Model::embedded()?;
    let load = now().duration_since(began);
    let windows: Vec<Window> = golden.cases.iter().map(Case::window).collect();
    let at_risk: Vec<Window> =
        golden.cases.iter().filter(|case| case.risk[2] >= 0.1).map(Case::window).collect();
    let none = Calibration::default();

    // The answers are used, so that no step is left out.
    let mut told = 0.0_f32;
    let mut step = |window: &Window, model: Option<&dyn Predictor>| {
        told += assess(window, model, &none).risk.map_or(0.0, |risk| risk.longest());
    };
    let rule = Cost::of(&windows, options.steps, |window| step(window, None));
    let whole = Cost::of(&windows, options.steps, |window| step(window, Some(&model)));
    let whole_at_risk = Cost::of(&at_risk, options.steps, |window| step(window, Some(&model)));
    let inference = Cost::of(&windows, options.steps, |window| {
        told += model.risk(window).map_or(0.0, |risk| risk.longest());
    });
    eprintln!("sum of all risks: {told:.0}");

    let head = ["what", "p50 us", "p99 us", "greatest us", "reach", "reached", "moonshot"];
    let rows = [
        head.map(str::to_owned).to_vec(),
        rule.row("rule"),
        inference.row_to_reach("one inference"),
        whole.row("a step: rule, model, causes"),
        whole_at_risk.row("a step of a store at risk, causes told"),
    ];
    let text = format!(
        "Written by `make bench-predict`: {}, commit {}.\nMachine: {}.\n\nSteps of each kind: {}, over {} windows, of these {} \
         at risk. Reading, checking and trying the model takes {:.1} ms.\n\n{}",
        machine.date,
        machine.commit,
        machine.description,
        options.steps,
        windows.len(),
        at_risk.len(),
        load.as_secs_f64() * 1e3,
        table(&rows)
    );
    println!("{text}");
    if options.record {
        results::replace("Looking ahead", &text)?;
    }
    Ok(())
}

/// What a step took: of 100, 50 and 99 took no longer, and the longest.
struct Cost {
    p50: Duration,
    p99: Duration,
    greatest: Duration,
}

impl Cost {
    fn of(windows: &[Window], steps: usize, mut weigh: impl FnMut(&Window)) -> Self {
        let mut took: Vec<Duration> = windows
            .iter()
            .cycle()
            .take(steps)
            .map(|window| {
                let began = now();
                weigh(window);
                now().duration_since(began)
            })
            .collect();
        took.sort_unstable();
        let at = |percent: usize| {
            let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
            took.get(place).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99), greatest: at(100) }
    }

    fn row(&self, what: &str) -> Vec<String> {
        let us = |took: Duration| format!("{:.0}", took.as_secs_f64() * 1e6);
        let none = String::new;
        vec![what.to_owned(), us(self.p50), us(self.p99), us(self.greatest), none(), none(), none()]
    }

    fn row_to_reach(&self, what: &str) -> Vec<String> {
        let within =
            |[p50, p99]: [Duration; 2]| if self.p50 <= p50 && self.p99 <= p99 { "yes" } else { "no" };
        let said = |[p50, p99]: [Duration; 2]| format!("{} / {} us", p50.as_micros(), p99.as_micros());
        let mut row = self.row(what);
        row.truncate(4);
        row.extend([
            said(REACH),
            within(REACH).to_owned(),
            format!("{}: {}", said(MOONSHOT), within(MOONSHOT)),
        ]);
        row
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is the time itself")]
fn now() -> Instant {
    Instant::now()
}
