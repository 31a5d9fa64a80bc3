//! Act 5: somebody leaks connections of the primary; it is left before it takes no more.

use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::Error;
use crate::stage::{REPAIR_MAX, Stage};

const ACT: &str = "5 foretold";
/// Connections that the primary takes in this act.
const LIMIT: usize = 120;
/// Between two connections that are opened past the sidecar and never closed.
const LEAK: Duration = Duration::from_millis(150);
/// How long a server has to say that it takes no more.
const FULL_WITHIN: Duration = Duration::from_millis(20);

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let url = stage.sidecar.url();
    let status = stage.sidecar.wait_whole(REPAIR_MAX).await?;
    let server = stage.primary(&status)?;
    let (old, address) = (server.name.clone(), format!("127.0.0.1:{}", server.port()));
    let client = redis::Client::open(server.url())?;
    let mut direct = client.get_multiplexed_async_connection().await?;
    redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(LIMIT).exec_async(&mut direct).await?;
    let act = stage.begin(url.clone(), "foretold")?;
    act.say(&format!(
        "{old} takes {LIMIT} connections, and somebody opens one every {} ms",
        LEAK.as_millis()
    ));

    let has_moved = |status: &StoreStatus| {
        status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
    };
    let (mut leaked, mut warned, mut moved, mut full) = (Vec::new(), None, None, None);
    let mut pace = tokio::time::interval(LEAK);
    while full.is_none() && leaked.len() < 2 * LIMIT {
        pace.tick().await;
        let mut connection = TcpStream::connect(&address).await?;
        if is_refused(&mut connection).await {
            full = Some(Instant::now());
        }
        leaked.push(connection);
        stage.record.gauge(&format!("connections of {old}"), (leaked.len() as f64 / LIMIT as f64).min(1.0));
        let status = stage.sidecar.status().await?;
        if warned.is_none() && status.risk.as_ref().is_some_and(|risk| risk.raised) {
            warned = Some(Instant::now());
            let why = status.risk.as_ref().map(|risk| risk.causes.join(", ")).unwrap_or_default();
            act.see(&format!("at risk: {why}"));
        }
        if moved.is_none() && has_moved(&status) {
            moved = Some(Instant::now());
            let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str());
            act.see(&format!("moved to {primary}, epoch {}", status.epoch));
        }
    }
    if full.is_some() {
        act.say(&format!("{old} takes no more connections"));
    }
    act.play(Duration::from_millis(300)).await;
    let over = act.end(&url, None).await?;
    drop(leaked);

    let lead =
        |from: Option<Instant>| from.zip(full).and_then(|(from, full)| full.checked_duration_since(from));
    let measured = match (lead(warned), lead(moved)) {
        (Some(warned), Some(moved)) => {
            format!("at risk {:.1} s and moved {:.1} s before", warned.as_secs_f64(), moved.as_secs_f64())
        }
        _ => "not before".to_owned(),
    };
    let kept = lead(moved).is_some();
    stage.report.promise(ACT, "the role moves before connections run out (1 s for 1 min)", measured, kept);
    let findings = &over.findings;
    let failed = findings.not_executed.count + findings.in_doubt.count;
    let measured = format!("{failed} failed, {} lost of {}", findings.lost.len(), findings.done);
    let kept = failed == 0 && findings.lost.is_empty();
    stage.report.promise(ACT, "0 failed operations, 0 lost writes", measured, kept);
    stage.judge(ACT, findings);
    Ok(())
}

/// Whether a fresh connection is turned away. One that ends without a word was cut by a change of primary.
async fn is_refused(connection: &mut TcpStream) -> bool {
    let mut first = [0; 1];
    // A server that takes the connection says nothing.
    let read = tokio::time::timeout(FULL_WITHIN, connection.read(&mut first)).await;
    matches!(read, Ok(Ok(1))) && first == *b"-"
}
