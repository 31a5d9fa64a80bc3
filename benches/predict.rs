//! What looking ahead costs: one step of one store, by rule, by model, and with the causes told.
//!
//! `make bench-predict` runs it. The windows are the golden ones (`models/risk/golden.json`): stores before a failure, look-alikes,
//! short histories and gaps. Each is weighed in turn, so that no window stays in the caches for itself alone.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use foretoken_predict::{Calibration, Feature, Model, Predictor, Row, Window, assess};
use serde::Deserialize;

/// Measures rule and model.
#[derive(Parser)]
struct Options {
    /// Steps of each kind.
    #[arg(long, default_value_t = 20_000)]
    steps: usize,
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
    let options = Options::parse();
    let golden: Golden = match serde_json::from_str(include_str!("../models/risk/golden.json")) {
        Ok(golden) => golden,
        Err(error) => return fail(&error),
    };
    let began = now();
    let model = match Model::embedded() {
        Ok(model) => model,
        Err(error) => return fail(&error),
    };
    let load = now().duration_since(began);
    let windows: Vec<Window> = golden.cases.iter().map(Case::window).collect();
    let at_risk: Vec<Window> =
        golden.cases.iter().filter(|case| case.risk[2] >= 0.1).map(Case::window).collect();
    let none = Calibration::default();
    println!(
        "steps of each kind: {}, windows: {}, of these at risk: {}",
        options.steps,
        windows.len(),
        at_risk.len()
    );
    println!("reading, checking and trying the model: {:.1} ms\n", load.as_secs_f64() * 1e3);
    println!("| what | p50 us | p99 us | greatest us |\n| --- | --- | --- | --- |");
    // The answer is used, so that it is not left out.
    let mut told = 0.0_f32;
    row("rule", &windows, options.steps, |window| {
        told += assess(window, None, &none).risk.map_or(0.0, |risk| risk.longest());
    });
    row("one inference", &windows, options.steps, |window| {
        told += model.risk(window).map_or(0.0, |risk| risk.longest());
    });
    row("a step: rule, model, causes", &windows, options.steps, |window| {
        told += assess(window, Some(&model), &none).risk.map_or(0.0, |risk| risk.longest());
    });
    row("a step of a store at risk, causes told", &at_risk, options.steps, |window| {
        told += assess(window, Some(&model), &none).risk.map_or(0.0, |risk| risk.longest());
    });
    println!("\n(sum of all risks, so that nothing is left out: {told:.0})");
    ExitCode::SUCCESS
}

fn row(what: &str, windows: &[Window], steps: usize, mut weigh: impl FnMut(&Window)) {
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
    let us = |share: f64| {
        let place = (share * (took.len().saturating_sub(1)) as f64) as usize;
        took.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
    };
    println!("| {what} | {:.0} | {:.0} | {:.0} |", us(0.5), us(0.99), us(1.0));
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is the time itself")]
fn now() -> Instant {
    Instant::now()
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
