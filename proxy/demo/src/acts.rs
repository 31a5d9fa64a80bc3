//! The acts, one after the other on one stage.

mod alone;
mod crash;
mod foretold;
mod freeze;
mod healthy;
mod planned;

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::Error;
use crate::checker::Findings;
use crate::history::Operation;
use crate::page::Page;
use crate::stage::{Over, Stage};

/// How long a failover may take in the end.
const FAILOVER_MAX: Duration = Duration::from_secs(10);

/// Plays all acts, prints the table and writes the report to `path`. `true`: every promise was kept.
pub(crate) async fn all(program: &Path, seed: u64, path: &Path) -> Result<bool, Error> {
    let unwritable = |source| Error::Report { path: path.to_owned(), source };
    // Before minutes are spent on what can't be kept.
    std::fs::File::options().append(true).create(true).open(path).map_err(unwritable)?;
    println!("foretoken demo, seed {seed} (foretoken demo --seed {seed} repeats it)");
    println!("Starting three redis-servers in two regions, and the sidecar with this configuration:\n");
    let mut stage = Stage::set(program, seed).await?;
    for line in stage.sidecar.config.lines() {
        println!("    {line}");
    }
    println!("\nEvery endpoint is up, and both mirrors are complete.\n");
    let played = play(&mut stage).await;
    if let Err(error) = &played {
        stage.report.promise("end", "every act can be played", error.to_string(), false);
        // The directory goes with the stage: what the sidecar said last is all that is left.
        let log = std::fs::read_to_string(stage.sidecar.log()).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        eprintln!("The sidecar's last words:");
        for line in last.into_iter().rev() {
            eprintln!("    {line}");
        }
    } else {
        stage.record.part("end");
        stage.stop(true).await;
    }
    let seen = stage.record.so_far();
    let page = Page { seed, report: &stage.report, seen: &seen, config: &stage.sidecar.config };
    std::fs::write(path, page.html()).map_err(unwritable)?;
    played?;
    println!(
        "\n{}\n({:.0} s; with plots: {})",
        stage.report,
        stage.record.elapsed().as_secs_f64(),
        path.display()
    );
    Ok(stage.report.is_kept())
}

async fn play(stage: &mut Stage) -> Result<(), Error> {
    begin(stage, "Act 1, healthy", "the cost of the hop");
    healthy::play(stage).await?;
    begin(stage, "Act 2, planned", "switchovers under load");
    planned::play(stage).await?;
    begin(stage, "Act 3, crash", "kill -9 of the primary");
    crash::play(stage).await?;
    begin(stage, "Act 4, freeze and return", "SIGSTOP, failover, SIGCONT");
    freeze::play(stage).await?;
    begin(stage, "Act 5, foretold", "something runs out at the primary, and the role moves before it does");
    foretold::play(stage).await?;
    begin(
        stage,
        "Act 6, alone",
        "the primary and the control loop are gone together; a token is in hand, or not",
    );
    alone::play(stage).await
}

fn begin(stage: &Stage, title: &str, words: &str) {
    println!("{title}: {words}");
    stage.record.part(title);
}

/// Writes that were acknowledged and are gone, held against what the sidecar says may be gone.
fn judge_loss(
    stage: &mut Stage,
    act: &'static str,
    over: &Over,
    published: &str,
    is_published: impl Fn(&Operation) -> bool,
) {
    let Findings { lost, lost_examples, not_a_suffix, .. } = &over.findings;
    let all_published = lost.iter().all(|&lost| is_published(&over.history[lost]));
    stage.report.promise(
        act,
        "lost acknowledged writes are a suffix, and published",
        format!("{} lost; published: {published}", lost.len()),
        all_published && not_a_suffix.count == 0,
    );
    if !all_published {
        for example in lost_examples {
            stage.report.detail(format!("{act}: lost: {example}"));
        }
    }
}

/// Milliseconds since 1970.
fn unix_ms(over: &Over, at: Duration) -> u64 {
    let since = over.began.duration_since(UNIX_EPOCH).unwrap_or_default() + at;
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
