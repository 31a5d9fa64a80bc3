//! Act 6: the primary is killed and the control loop halted at the same moment, so that nobody is left to ask. Reads go on for
//! as long as a temporary token that was given in advance lives; where none was, they stop.

use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use foretoken_types::StoreState;

use crate::Error;
use crate::alone::{Alone, HANDED_OVER, TEMPORARY, TEMPORARY_LEAST};
use crate::exhaustion::{Exhaustion, Kind, Ramp};
use crate::record::By;
use crate::stage::{REPAIR_MAX, Stage};

const ACT: &str = "6 alone";
/// Share of the connections that leak, fast enough to alarm.
const LEAK: Ramp = Ramp { to: 0.9, over: Duration::from_secs(20) };

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    // With the risk prepared for, and only observed: one has a temporary token in hand, one has not.
    let mut with = Alone::set(stage.program(), &stage.dir().join("with"), "prepare").await?;
    let mut without = Alone::set(stage.program(), &stage.dir().join("without"), "observe").await?;
    let leaks = [
        Exhaustion::begin(Kind::Connections, &with.servers[0], LEAK).await?,
        Exhaustion::begin(Kind::Connections, &without.servers[0], LEAK).await?,
    ];
    stage
        .say("connections of two primaries begin to leak; one sidecar may prepare for it, the other may not");
    let at_risk = |status: &StoreStatus| status.state == StoreState::AtRisk;
    let raised = |status: &StoreStatus| status.risk.as_ref().is_some_and(|risk| risk.raised);
    with.sidecar.wait("AT_RISK", REPAIR_MAX, at_risk).await?;
    let status = without.sidecar.wait("an alarm", REPAIR_MAX, raised).await?;
    stage.say(&format!("both see it; the one that only observes is {}", status.state));
    let (with, without) = tokio::try_join!(with.leave(), without.leave())?;
    stage.say("kill -9 of both primaries, and both control loops are halted");
    let (with, without) = tokio::try_join!(with.ends(), without.ends())?;
    drop(leaks);
    for (left, words) in [(&with, "with a T1"), (&without, "without a T1")] {
        stage.record.history(words, &left.history, left.epoch);
        let last = left.went_on();
        stage.record.event_at(left.epoch + left.from + last, By::Demo, &format!("{words}: the last read"));
        println!("  {words}: reads went on for {:.2} s", last.as_secs_f64());
    }

    let (went_on, gap) = (with.went_on(), with.longest_gap());
    stage.report.promise(
        ACT,
        "with a T1 in hand reads go on until it ends (30 s), and no longer",
        format!(
            "{:.2} s, {} reads, longest pause {:.2} s",
            went_on.as_secs_f64(),
            with.reads(),
            gap.as_secs_f64()
        ),
        went_on >= TEMPORARY_LEAST && went_on <= TEMPORARY + HANDED_OVER && gap <= HANDED_OVER,
    );
    let went_on = without.went_on();
    stage.report.promise(
        ACT,
        "without one they stop with the lease (2 s)",
        format!("{:.2} s", went_on.as_secs_f64()),
        went_on <= HANDED_OVER,
    );
    let findings = [&with.findings, &without.findings];
    let measured = format!("{} read", findings.iter().map(|findings| findings.done).sum::<u64>());
    let kept = findings.iter().all(|findings| findings.is_honest() && findings.lost.is_empty());
    stage.report.promise(ACT, "every read gives what was acknowledged last", measured, kept);
    for fault in findings.iter().flat_map(|findings| findings.faults()) {
        stage.report.detail(format!("{ACT}: {fault}"));
    }
    Ok(())
}
