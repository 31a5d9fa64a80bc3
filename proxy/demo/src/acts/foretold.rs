//! Act 5: something runs out at the primary, chosen by chance from what this machine lets run out; it is left before.

use std::time::Duration;

use crate::Error;
use crate::exhaustion::{Exhaustion, Kind, Ramp};
use crate::foretold::{Told, watch};
use crate::stage::{COMPRESSION, REPAIR_MAX, Stage};
use crate::workload::Mix;

const ACT: &str = "5 foretold";
/// How long it takes until nothing is left.
const RAMP: (Duration, Duration) = (Duration::from_secs(22), Duration::from_secs(28));
/// How long clients work on when it is over.
const AFTER: Duration = Duration::from_secs(1);

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let mut possible = Vec::new();
    for kind in Kind::FORESEEN {
        match kind.possible() {
            Ok(()) => possible.push(kind),
            Err(why) => {
                stage.say(&format!("{} can't be made to run out on this machine: {why}", kind.as_str()))
            }
        }
    }
    let kind = stage.draw(&possible).unwrap_or(Kind::Connections);
    let ramp = Ramp { to: 1.0, over: stage.chance(RAMP.0, RAMP.1) };
    stage.reset("foretold", possible.contains(&Kind::Disk)).await?;
    let url = stage.sidecar.url();
    let status = stage.sidecar.wait_whole(REPAIR_MAX).await?;
    let act = stage.begin_with(url.clone(), "foretold", Mix::Visitors)?;
    act.advances(REPAIR_MAX).await?;
    let server = stage.primary(&status)?;
    let old = server.name.clone();
    let exhaustion = Exhaustion::begin(kind, server, ramp).await?;
    let (what, seconds) = (kind.as_str(), ramp.over.as_secs_f64());
    act.say(&format!("{what} of {old} begins to run out: in {seconds:.0} s nothing is left"));
    println!("  (time is compressed {COMPRESSION} times for the risk, and for nothing else)");
    let gauge = format!("{what} of {old}");
    let moments = watch(&stage.sidecar, &old, &exhaustion, ramp.over, |told| match told {
        Told::Level(level) => stage.record.gauge(&gauge, level.used),
        Told::AtRisk(status) => {
            let why = status.risk.as_ref().map(|risk| risk.causes.join(", ")).unwrap_or_default();
            act.see(&format!("at risk: {why}"));
        }
        Told::Synchronous => act.see("every write waits for a mirror"),
        Told::Moved(status) => {
            let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str());
            act.see(&format!("moved to {primary}, epoch {}", status.epoch));
        }
        Told::Gone => act.say(&format!("{old} has nothing left")),
    })
    .await?;
    act.play(AFTER).await;
    let over = act.end(&url, None).await?;
    exhaustion.end().await;

    let before =
        |of| moments.lead(of).map_or("not".to_owned(), |lead| format!("{:.1} s", lead.as_secs_f64()));
    let promise = format!("{what}: at risk, writes made safe, role moved, all before the end");
    let measured = format!(
        "{}, {} and {} before (1 s for {COMPRESSION} s)",
        before(moments.at_risk),
        before(moments.synchronous),
        before(moments.moved)
    );
    let kept =
        [moments.at_risk, moments.synchronous, moments.moved].iter().all(|of| moments.lead(*of).is_some());
    stage.report.promise(ACT, &promise, measured, kept);
    let findings = &over.findings;
    let failed = findings.not_executed.count + findings.in_doubt.count;
    let measured = format!("{failed} failed, {} lost of {}", findings.lost.len(), findings.done);
    let kept = failed == 0 && findings.lost.is_empty();
    stage.report.promise(ACT, "0 failed operations, 0 lost writes", measured, kept);
    stage.judge(ACT, findings);
    for kind in [&findings.not_executed, &findings.in_doubt] {
        if kind.count > 0 {
            stage.report.detail(format!("{ACT}: {kind}"));
        }
    }
    Ok(())
}
