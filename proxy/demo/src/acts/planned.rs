//! Act 2: switchovers by hand while clients work.

use std::time::Duration;

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};

use crate::Error;
use crate::sidecar::STORE;
use crate::stage::{REPAIR_MAX, Stage};
use crate::workload::quantiles;

const ACT: &str = "2 planned";
const SWITCHOVERS: usize = 3;

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let url = stage.sidecar.url();
    let act = stage.begin(url.clone(), "planned")?;
    let mut longest = 0;
    for _ in 0..SWITCHOVERS {
        let pause = stage.chance(Duration::from_millis(300), Duration::from_millis(1300));
        act.play(pause).await;
        stage.sidecar.wait_whole(REPAIR_MAX).await?;
        let request = SwitchoverRequest { to: None, dry_run: false };
        let report = stage.sidecar.client().switchover(&StoreId::from(STORE), &request).await?;
        let name =
            |id: Option<&foretoken_app::client::EndpointId>| id.map_or("-".to_owned(), ToString::to_string);
        act.see(&format!(
            "{} -> {}, {} in epoch {}, writes held {} us",
            name(report.from.as_ref()),
            name(report.to.as_ref()),
            report.outcome.as_str(),
            report.epoch,
            report.hold_us.unwrap_or(0)
        ));
        if report.outcome != SwitchoverOutcome::Done {
            stage.report.promise(ACT, "the role moves", report.detail, false);
        }
        longest = report.hold_us.unwrap_or(0).max(longest);
    }
    act.play(Duration::from_millis(500)).await;
    let over = act.end(&url, None).await?;
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
    let slowest = quantiles(&over.history)["max"];
    stage.report.figure(
        ACT,
        &format!("{SWITCHOVERS} switchovers"),
        format!(
            "writes held {:.1} ms at most, slowest operation {:.1} ms",
            longest as f64 / 1e3,
            slowest.as_secs_f64() * 1e3
        ),
    );
    Ok(())
}
