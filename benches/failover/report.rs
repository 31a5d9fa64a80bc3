//! Quantiles, totals, and a table of what is to be reached and was.

use std::fmt::Write as _;
use std::time::Duration;

use crate::faults::Sample;
use crate::machine::Machine;
use crate::table::table;

/// To be reached: longest hold of a planned switchover (99 of 100), and longest outage after a kill and after a freeze.
const HOLD_P99_MAX: Duration = Duration::from_millis(50);
const KILL_OUTAGE_MAX: Duration = Duration::from_millis(1000);
const FREEZE_OUTAGE_MAX: Duration = Duration::from_millis(2500);

/// What went wrong in words, at most, below a table.
const DETAILS_MAX: usize = 10;

/// All runs of one fault.
pub(crate) struct Phase {
    /// How many were wanted.
    pub(crate) times: usize,
    pub(crate) samples: Vec<Sample>,
    /// Why the others have no figures.
    pub(crate) broken: Vec<String>,
}

pub(crate) struct Results {
    pub(crate) planned: Phase,
    pub(crate) kills: Phase,
    pub(crate) freezes: Phase,
    /// Soon after the sidecar has started.
    pub(crate) early_kills: Phase,
    pub(crate) took: Duration,
}

/// One line of the table.
struct Row {
    figure: &'static str,
    measured: String,
    reach: String,
    reached: Option<bool>,
    /// Whether it is a promise, and not only something to be reached.
    must: bool,
}

impl Row {
    /// A figure with nothing to be reached.
    fn figure(figure: &'static str, measured: String) -> Self {
        Self { figure, measured, reach: String::new(), reached: None, must: false }
    }

    fn reach(figure: &'static str, measured: String, reach: impl Into<String>, reached: bool) -> Self {
        Self { figure, measured, reach: reach.into(), reached: Some(reached), must: false }
    }

    fn must(self) -> Self {
        Self { must: true, ..self }
    }
}

/// 50 %, 99 % and all of `times` are not above these. `None`: there are no times.
fn quantiles(mut times: Vec<Duration>) -> Option<[Duration; 3]> {
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    // The least time that so many of a hundred do not exceed: of less than a hundred times, p99 is the greatest.
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).saturating_sub(1).min(last)];
    Some([at(50), at(99), at(100)])
}

fn spread(quantiles: Option<[Duration; 3]>) -> String {
    quantiles.map_or("nothing".to_owned(), |all| {
        let [p50, p99, max] = all.map(|time| time.as_secs_f64() * 1e3);
        format!("p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms")
    })
}

impl Phase {
    fn times(&self, of: impl Fn(&Sample) -> Option<Duration>) -> Option<[Duration; 3]> {
        quantiles(self.samples.iter().filter_map(of).collect())
    }

    fn sum(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(of).sum()
    }

    fn is_complete(&self) -> bool {
        self.samples.len() == self.times && self.samples.iter().all(|sample| sample.undone.is_none())
    }

    /// How many came to their end.
    fn ended(&self, figure: &'static str) -> Row {
        let done = self.samples.iter().filter(|sample| sample.undone.is_none()).count();
        Row::reach(figure, format!("{done} of {}", self.times), "all", self.is_complete()).must()
    }

    fn gap_before(&self) -> Row {
        Row::figure("the same before it", spread(self.times(|sample| Some(sample.gap_before))))
    }

    /// Outage, and what clients were told.
    fn outage(&self, reach: Option<Duration>) -> Vec<Row> {
        let outage = self.times(|sample| Some(sample.gap));
        let figure = "longest gap between acknowledged writes";
        let row = match reach {
            None => Row::figure(figure, spread(outage)),
            Some(reach) => {
                // One that never ended has no figure.
                let reached = self.is_complete() && outage.is_some_and(|[.., max]| max <= reach);
                Row::reach(figure, spread(outage), format!("max ≤ {} ms", reach.as_millis()), reached)
            }
        };
        let operations = self.sum(|sample| sample.operations);
        let not_executed = self.sum(|sample| sample.not_executed);
        vec![
            row,
            self.gap_before(),
            Row::reach(
                "operations refused",
                format!("{not_executed} of {operations}"),
                "0",
                not_executed == 0,
            ),
            Row::figure(
                "operations in doubt",
                format!("{} of {operations}", self.sum(|sample| sample.in_doubt)),
            ),
        ]
    }

    fn loss(&self) -> Row {
        let unpublished = self.sum(|sample| sample.unpublished);
        Row::reach(
            "acknowledged writes lost",
            format!(
                "{} of {}, {unpublished} of them beyond what is published",
                self.sum(|sample| sample.lost),
                self.sum(|sample| sample.acknowledged_writes),
            ),
            "0 beyond",
            unpublished == 0,
        )
        .must()
    }

    fn wrong(&self) -> Row {
        let wrong = self.samples.iter().filter(|sample| !sample.wrong.is_empty()).count();
        let figure = "runs with writes twice, out of order, phantom, read too old, or lost before survivors";
        Row::reach(figure, wrong.to_string(), "0", wrong == 0).must()
    }

    /// What went wrong, in words.
    fn details(&self) -> impl Iterator<Item = &String> {
        // The worst first: only the beginning is shown.
        let worst = self.samples.iter().flat_map(|sample| sample.undone.iter().chain(&sample.wrong));
        let examples = self.samples.iter().flat_map(|sample| &sample.examples);
        self.broken.iter().chain(worst).chain(examples)
    }
}

impl Results {
    fn planned(&self) -> Vec<Row> {
        let phase = &self.planned;
        let held = phase.times(|sample| sample.held);
        let reached = phase.is_complete() && held.is_some_and(|[_, p99, _]| p99 <= HOLD_P99_MAX);
        let operations = phase.sum(|sample| sample.operations);
        let failed = phase.sum(|sample| sample.not_executed + sample.in_doubt);
        let lost = phase.sum(|sample| sample.lost);
        let writes = phase.sum(|sample| sample.acknowledged_writes);
        vec![
            phase.ended("switchovers done"),
            Row::reach(
                "writes held",
                spread(held),
                format!("p99 ≤ {} ms", HOLD_P99_MAX.as_millis()),
                reached,
            ),
            Row::figure(
                "longest gap between acknowledged writes",
                spread(phase.times(|sample| Some(sample.gap))),
            ),
            phase.gap_before(),
            Row::reach("operations failed", format!("{failed} of {operations}"), "0", failed == 0).must(),
            Row::reach("acknowledged writes lost", format!("{lost} of {writes}"), "0", lost == 0).must(),
            phase.wrong(),
        ]
    }

    fn kills(phase: &Phase, reach: Option<Duration>) -> Vec<Row> {
        let mut rows = vec![phase.ended("replaced by itself, and whole again")];
        rows.extend(phase.outage(reach));
        rows.extend([phase.loss(), phase.wrong()]);
        rows
    }

    fn freezes(&self) -> Vec<Row> {
        let phase = &self.freezes;
        let mut rows = vec![phase.ended("replaced by itself, and whole again")];
        rows.extend(phase.outage(Some(FREEZE_OUTAGE_MAX)));
        rows.push(phase.loss());
        let late = phase.sum(|sample| sample.late_replies);
        let with = phase.samples.iter().filter(|sample| sample.late_replies > 0).count();
        rows.push(Row::figure("late replies dropped", format!("{late}, in {with} of {} runs", phase.times)));
        let late = phase.sum(|sample| sample.late_acknowledged);
        rows.push(Row::reach("late replies acknowledged", late.to_string(), "0", late == 0).must());
        rows.push(phase.wrong());
        rows
    }

    fn tables(&self) -> Vec<(&'static str, &Phase, Vec<Row>)> {
        let all = [
            ("Planned switchovers", &self.planned, self.planned()),
            ("kill -9 of the primary", &self.kills, Self::kills(&self.kills, Some(KILL_OUTAGE_MAX))),
            ("SIGSTOP of the primary, then SIGCONT", &self.freezes, self.freezes()),
            (
                "kill -9 of the primary soon after the start of the sidecar",
                &self.early_kills,
                Self::kills(&self.early_kills, None),
            ),
        ];
        all.into_iter().filter(|(_, phase, _)| phase.times > 0).collect()
    }

    /// Whether every promise was kept; what was not reached is another matter.
    pub(crate) fn is_as_it_must_be(&self) -> bool {
        let broken = |row: &Row| row.must && row.reached == Some(false);
        !self.tables().iter().any(|(_, _, rows)| rows.iter().any(broken))
    }
}

/// The tables, for people and for the record.
pub(crate) fn render(machine: &Machine, seed: u64, results: &Results) -> String {
    let mut text = format!("## {}, commit {}, seed {seed}\n\n", machine.date, machine.commit);
    // Writing to a String does not fail.
    let mut line =
        |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).expect("a String takes everything");
    line(format_args!(
        "Machine: {}; redis-server {}; clients, sidecar and servers share the machine, over loopback.\n",
        machine.description, machine.redis
    ));
    line(format_args!("Took {:.0} s.\n", results.took.as_secs_f64()));
    for (name, phase, rows) in results.tables() {
        line(format_args!("\n### {name}\n\n"));
        let head = ["figure", "measured", "reach", "reached"].map(str::to_owned).to_vec();
        let cells = rows.into_iter().map(|row| {
            let reached = match (row.reached, row.must) {
                (None, _) => "",
                (Some(true), _) => "yes",
                (Some(false), false) => "no",
                (Some(false), true) => "NO",
            };
            vec![row.figure.to_owned(), row.measured, row.reach, reached.to_owned()]
        });
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(cells).collect();
        line(format_args!("{}", table(&rows)));
        let details: Vec<&String> = phase.details().collect();
        if !details.is_empty() {
            line(format_args!("\n"));
        }
        for detail in details.iter().take(DETAILS_MAX) {
            line(format_args!("- {detail}\n"));
        }
        if let Some(more @ 1..) = details.len().checked_sub(DETAILS_MAX) {
            line(format_args!("- and {more} more, on standard error of the run\n"));
        }
    }
    text
}
