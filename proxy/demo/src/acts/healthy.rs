//! Act 1: what the hop costs, direct and through the sidecar in turn.

use std::time::Duration;

use crate::Error;
use crate::history::Operation;
use crate::stage::Stage;
use crate::workload::quantiles;

const ACT: &str = "1 healthy";
const ROUND: Duration = Duration::from_millis(1000);
const ROUNDS: usize = 3;

pub(super) async fn play(stage: &mut Stage) -> Result<(), Error> {
    let status = stage.sidecar.status().await?;
    let direct_url = stage.primary(&status)?.url();
    let through_url = stage.sidecar.url();
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        direct.extend(run(stage, &direct_url, &format!("direct:{round}")).await?);
        let act = stage.begin(through_url.clone(), &format!("healthy:{round}"))?;
        act.play(ROUND).await;
        let over = act.end(&through_url, None).await?;
        let findings = over.findings;
        through.extend(over.history);
        if round + 1 == ROUNDS || !findings.is_flawless() {
            let failed = findings.not_executed.count + findings.in_doubt.count;
            let measured = format!("{failed} failed, {} lost", findings.lost.len());
            let kept = failed == 0 && findings.lost.is_empty();
            stage.report.promise(ACT, "0 failed operations, 0 lost writes", measured, kept);
            stage.judge(ACT, &findings);
        }
    }
    let figures = |history: &[Operation]| {
        let quantiles = quantiles(history);
        let rate = history.len() as f64 / (ROUND.as_secs_f64() * ROUNDS as f64);
        (quantiles["p50"], quantiles["p99"], rate)
    };
    let ((direct_p50, direct_p99, direct_rate), (p50, p99, rate)) = (figures(&direct), figures(&through));
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    stage.report.figure(
        ACT,
        "the hop, 8 clients, direct and through in turn",
        format!(
            "p50 {:.0} and {:.0} us, p99 {:.0} and {:.0} us, {:.2} of the rate",
            micros(direct_p50),
            micros(p50),
            micros(direct_p99),
            micros(p99),
            rate / direct_rate
        ),
    );
    Ok(())
}

async fn run(stage: &mut Stage, url: &str, prefix: &str) -> Result<Vec<Operation>, Error> {
    let act = stage.begin(url.to_owned(), prefix)?;
    act.play(ROUND).await;
    Ok(act.end(url, None).await?.history)
}
