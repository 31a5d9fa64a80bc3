//! Act 5: something runs out at the primary, chosen by chance from what this machine lets run out; it is left before.

use std::time::Duration;

use crate::Error;
use crate::exhaustion::{Exhaustion, Kind, Ramp};
use crate::foretold::{Told, failed, watch};
use crate::stage::{COMPRESSION, REPAIR_MAX, Stage};
use crate::workload::Mix;

const ACT: &str = "5 foretold";
/// How long it takes until nothing is left.
const RAMP: (Duration, Duration) = (Duration::from_secs(22), Duration::from_secs(28));
/// How long clients work on when it is over.
const AFTER: Duration = Duration::from_secs(1);

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let mut possible = Vec::new();
    for kind in Kind::ALL {
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
        Told::Temporary => act.see("a temporary token is held in advance, beside the valid one"),
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
    // Once the role has moved they speak of another server.
    let crossed = |who, of| match moments.lead(of) {
        Some(lead) => format!("{who} {:.1} s before the end", lead.as_secs_f64()),
        None => format!("{who} not until the role moved"),
    };
    let measured = [crossed("rule", moments.rule), crossed("model", moments.model)].join(", ");
    stage.report.figure(ACT, &format!("threshold crossed (1 s for {COMPRESSION} s)"), measured);
    let steps = [moments.at_risk, moments.temporary, moments.synchronous, moments.moved];
    let promise = format!("{what}: at risk, T1 held, writes made safe, role moved, all before the end");
    let measured = format!("{} before", steps.map(before).join(", "));
    let kept = steps.iter().all(|of| moments.lead(*of).is_some());
    stage.report.promise(ACT, &promise, measured, kept);
    let findings = &over.findings;
    let failed = failed(&over.history);
    let measured = format!("{failed} failed, {} lost of {}", findings.lost.len(), findings.done);
    let kept = failed == 0 && findings.lost.is_empty();
    stage.report.promise(ACT, "0 failed operations or slower than 0.8 s, 0 lost writes", measured, kept);
    stage.judge(ACT, findings);
    for kind in [&findings.not_executed, &findings.in_doubt] {
        if kind.count > 0 {
            stage.report.detail(format!("{ACT}: {kind}"));
        }
    }
    Ok(())
}
