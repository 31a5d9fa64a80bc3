//! Act 3: the primary is killed while clients work.

use std::time::Duration;

use super::{FAILOVER_MAX, judge_loss, unix_ms};
use crate::Error;
use crate::history::Fault;
use crate::sidecar::is_equal;
use crate::stage::{REPAIR_MAX, Stage};
use crate::workload::longest_gap;

const ACT: &str = "3 crash";

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let url = stage.sidecar.url();
    let status = stage.sidecar.wait_whole(REPAIR_MAX).await?;
    let act = stage.begin(url.clone(), "crash")?;
    let pause = stage.chance(Duration::from_millis(600), Duration::from_millis(2000));
    act.play(pause).await;
    let server = stage.primary(&status)?;
    server.kill()?;
    let (old, from) = (server.name.clone(), act.elapsed());
    act.say(&format!("kill -9 of {old}"));
    let served = |status: &foretoken_app::client::model::StoreStatus| {
        status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
    };
    let status = stage.sidecar.wait("another primary", FAILOVER_MAX, served).await?;
    act.advances(FAILOVER_MAX).await?;
    let until = act.elapsed();
    let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str()).to_owned();
    act.see(&format!("{primary} serves in epoch {}", status.epoch));
    act.play(Duration::from_millis(700)).await;
    let loss = stage.sidecar.status().await?.last_loss;
    let over = act.end(&url, Some(Fault { from, until })).await?;

    let gap = longest_gap(&over.history);
    stage.report.promise(
        ACT,
        "a mirror takes over by itself",
        format!("{primary} for {old}, no write acknowledged for {} ms", gap.as_millis()),
        true,
    );
    let kept_until = loss.as_ref().and_then(|loss| loss.kept_until_unix_ms);
    let published = match kept_until {
        Some(until) => {
            let window = unix_ms(&over, from).saturating_sub(until);
            format!("at most the last {window} ms before the crash")
        }
        None => "nothing".to_owned(),
    };
    judge_loss(stage, ACT, &over, &published, |operation| {
        kept_until.is_some_and(|until| unix_ms(&over, operation.ended) >= until)
    });
    stage.judge(ACT, &over.findings);
    stage.report.figure(
        ACT,
        "what clients were told meanwhile",
        format!(
            "{} in doubt, {} not executed",
            over.findings.in_doubt.count, over.findings.not_executed.count
        ),
    );

    stage.say(&format!("{old} is started again with the data that it has"));
    let server = stage.servers.iter_mut().find(|server| server.name == old);
    if let Some(server) = server {
        server.restart()?;
    }
    stage.sidecar.wait("lag 0 everywhere", REPAIR_MAX, is_equal).await?;
    stage.say(&format!("{old} is a complete mirror again, lag 0"));
    Ok(())
}
