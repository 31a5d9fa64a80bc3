//! Act 4: the primary stands still, is replaced, and comes back with old sockets open and old writes in them.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use super::{FAILOVER_MAX, judge_loss};
use crate::Error;
use crate::history::{Action, Ending, Fault, Tag};
use crate::stage::{REPAIR_MAX, Stage};
use crate::workload::longest_gap;

const ACT: &str = "4 freeze";

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let url = stage.sidecar.url();
    let status = stage.sidecar.wait_whole(REPAIR_MAX).await?;
    let late_before = stage.sidecar.counter("foretoken_outbound_late_replies_total").await?;
    let act = stage.begin(url.clone(), "freeze")?;
    let pause = stage.chance(Duration::from_millis(600), Duration::from_millis(2000));
    let reserve = act.reserve().await?;
    act.play(pause).await;
    let server = stage.primary(&status)?;
    server.freeze()?;
    let (old, from, log) = (server.name.clone(), act.elapsed(), server.log_ends()?);
    // The clients so far may have been waiting for replies to what was executed already; these send what was not.
    reserve.release();
    act.say(&format!("SIGSTOP of {old}"));
    let served = |status: &foretoken_app::client::model::StoreStatus| {
        status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
    };
    let status = stage.sidecar.wait("another primary", FAILOVER_MAX, served).await?;
    act.advances(FAILOVER_MAX).await?;
    let until = act.elapsed();
    let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str()).to_owned();
    act.see(&format!("{primary} serves in epoch {}", status.epoch));
    let pause = stage.chance(Duration::from_millis(200), Duration::from_millis(1500));
    act.play(pause).await;
    act.say(&format!("SIGCONT of {old}"));
    if let Some(server) = stage.servers.iter().find(|server| server.name == old) {
        server.thaw()?;
    }
    let status = stage.sidecar.wait_whole(REPAIR_MAX).await?;
    act.say(&format!("{old} is a complete mirror again"));
    act.play(Duration::from_millis(300)).await;
    let over = act.end_with(&url, Some(Fault { from, until }), Some(reserve)).await?;
    let late_replies = stage.sidecar.counter("foretoken_outbound_late_replies_total").await? - late_before;

    // What the old node wrote to its log after the thaw, and the store does not hold: it came too late.
    let executed = tags(log)?;
    let late: Vec<_> = over
        .history
        .iter()
        .filter(|operation| match operation.action {
            Action::Append { list, tag } => {
                executed.contains(&tag)
                    && over.contents.lists.get(&list).is_some_and(|values| !values.contains(&Ok(tag)))
            }
            _ => false,
        })
        .filter(|operation| operation.invoked < until && operation.ended >= from)
        .collect();
    let acknowledged = late.iter().filter(|operation| matches!(operation.ending, Ending::Done(_))).count();

    let gap = longest_gap(&over.history);
    stage.report.promise(
        ACT,
        "a mirror takes over by itself",
        format!("{primary} for {old}, no write acknowledged for {} ms", gap.as_millis()),
        true,
    );
    stage.report.promise(
        ACT,
        "the thawed node executes old writes (or this proves nothing)",
        format!("{} appends executed, {late_replies} late replies dropped", late.len()),
        !late.is_empty() && late_replies > 0,
    );
    stage.report.promise(
        ACT,
        "none of them is acknowledged",
        format!("{acknowledged} acknowledged"),
        acknowledged == 0,
    );
    let loss = status.last_loss;
    let exact = loss.as_ref().filter(|loss| loss.exact).map(|loss| loss.bytes);
    let published = exact.map_or("nothing".to_owned(), |bytes| {
        format!("exactly {bytes} bytes, acknowledged or not (lost: {})", over.findings.lost_bytes)
    });
    let within = exact.is_some_and(|bytes| over.findings.lost_bytes <= bytes);
    judge_loss(stage, ACT, &over, &published, |_| within);
    stage.judge(ACT, &over.findings);
    stage.report.figure(
        ACT,
        "what clients were told meanwhile",
        format!(
            "{} in doubt, {} not executed",
            over.findings.in_doubt.count, over.findings.not_executed.count
        ),
    );
    Ok(())
}

/// The unique values in what is left of `files`.
fn tags(files: Vec<File>) -> Result<HashSet<Tag>, Error> {
    let mut found = HashSet::new();
    for mut file in files {
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        let text = String::from_utf8_lossy(&rest);
        found.extend(text.split("\r\n").filter_map(Tag::parse));
    }
    Ok(found)
}
