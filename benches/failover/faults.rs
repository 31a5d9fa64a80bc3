//! One fault under load, from a store that is whole to a store that is whole again.

use std::fmt;
use std::time::Duration;

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{LastLoss, SwitchoverOutcome, SwitchoverRequest};
use foretoken_demo::Error;
use foretoken_demo::history::Fault;
use foretoken_demo::sidecar::STORE;
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::stage::{LONG, Seen, Stage};

/// For how long clients work before the fault, so that it meets the sidecar's looks at any point of their period (250 ms).
const BEFORE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(800));
/// For how long they work after it.
const AFTER: Duration = Duration::from_millis(300);
/// For how long a frozen primary stands still after another one has taken over.
const FROZEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(800));
/// Operations that show that the store serves again.
const SERVES: u64 = 100;

/// What one fault cost.
#[derive(Default)]
pub(crate) struct Sample {
    /// For how long a switchover says that it held writes.
    pub(crate) held: Option<Duration>,
    /// Why a switchover was not done.
    pub(crate) undone: Option<String>,
    /// Longest time without an acknowledged write, from the last one before the fault to the end.
    pub(crate) gap: Duration,
    /// When that time began, after the fault; zero when it was the last one before it.
    pub(crate) gap_at: Duration,
    /// The same before the fault.
    pub(crate) gap_before: Duration,
    /// Operations in all.
    pub(crate) operations: u64,
    pub(crate) acknowledged_writes: u64,
    pub(crate) not_executed: u64,
    pub(crate) in_doubt: u64,
    /// Acknowledged writes that are gone.
    pub(crate) lost: u64,
    /// Those among them that the sidecar does not say may be gone.
    pub(crate) unpublished: u64,
    /// Those among them that were acknowledged after the old primary's return.
    pub(crate) late_acknowledged: u64,
    /// Replies of the old primary after its return that were dropped.
    pub(crate) late_replies: u64,
    /// Everything else that the checker found.
    pub(crate) wrong: Vec<String>,
    /// Operations that were refused, and those that failed or are lost where none may: the first ones.
    pub(crate) examples: Vec<String>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(held) = self.held {
            write!(f, "held {:.1} ms, ", held.as_secs_f64() * 1e3)?;
        }
        write!(
            f,
            "no write acknowledged for {:.1} ms from {:.1} ms on; {} operations, {} refused, {} in doubt, {} lost",
            self.gap.as_secs_f64() * 1e3,
            self.gap_at.as_secs_f64() * 1e3,
            self.operations,
            self.not_executed,
            self.in_doubt,
            self.lost
        )?;
        for words in self.undone.iter().chain(&self.wrong).chain(&self.examples) {
            write!(f, "; {words}")?;
        }
        Ok(())
    }
}

impl Sample {
    /// What `seen` tells of a fault at `at`.
    fn of(seen: &Seen, at: Duration) -> Self {
        let findings = &seen.findings;
        let (not_executed, in_doubt) = (findings.not_executed.count, findings.in_doubt.count);
        let acknowledged = seen.history.iter().filter(|operation| operation.is_acknowledged_write());
        let mut ends: Vec<Duration> = acknowledged.map(|operation| operation.ended).collect();
        ends.sort_unstable();
        let warm = ends.partition_point(|&end| end < seen.warm);
        let after = ends.partition_point(|&end| end <= at);
        // The time in which the fault happened began with the last one before it.
        let (gap_at, gap) = longest_gap(&ends[after.saturating_sub(1)..]);
        let (_, gap_before) = longest_gap(&ends[warm.min(after)..after]);
        Self {
            gap,
            gap_at: gap_at.saturating_sub(at),
            gap_before,
            operations: findings.done + not_executed + in_doubt,
            acknowledged_writes: findings.acknowledged_writes,
            not_executed,
            in_doubt,
            lost: count(findings.lost.len()),
            wrong: findings.faults(),
            examples: examples("refused", &findings.not_executed.examples),
            ..Self::default()
        }
    }

    /// Holds lost writes against what is published of the loss. Everything that is said must hold: the moment until which
    /// nothing is lost, and, once the old primary has told it, the number of bytes. What was acknowledged when the next primary
    /// served is no part of any loss.
    fn judge_loss(&mut self, seen: &Seen, fault: Fault, loss: Option<&LastLoss>) {
        let findings = &seen.findings;
        let kept_until = loss.and_then(|loss| loss.kept_until_unix_ms);
        let exact = loss.filter(|loss| loss.exact).map(|loss| loss.bytes);
        let nothing_is_said = kept_until.is_none() && exact.is_none();
        let too_much = nothing_is_said || exact.is_some_and(|bytes| findings.lost_bytes > bytes);
        let is_unpublished = |lost: usize| {
            let ended = seen.history[lost].ended;
            let too_early = kept_until.is_some_and(|kept_until| seen.unix_ms(ended) < kept_until);
            too_much || too_early || ended >= fault.until
        };
        self.unpublished = count(findings.lost.iter().filter(|&&lost| is_unpublished(lost)).count());
        if self.unpublished > 0 {
            // Before those that were refused, which is a lesser evil.
            let mut lost = examples("lost", &findings.lost_examples);
            lost.push(format!("{} bytes lost, published: {loss:?}", findings.lost_bytes));
            self.examples.splice(..0, lost);
        }
    }
}

/// A switchover on order.
pub(crate) async fn switchover(stage: &mut Stage, rng: &mut StdRng) -> Result<Sample, Error> {
    let url = stage.sidecar.url();
    stage.sidecar.wait_whole(LONG).await?;
    let clients = stage.clients(rng).await?;
    clients.play(rng.random_range(BEFORE.0..BEFORE.1)).await;
    let at = clients.now();
    let request = SwitchoverRequest { to: None, dry_run: false };
    let report = stage.sidecar.client().switchover(&StoreId::from(STORE), &request).await?;
    clients.play(AFTER).await;
    clients.advance(SERVES).await?;
    let seen = clients.end(&url, None).await?;
    let done = report.outcome == SwitchoverOutcome::Done;
    let mut sample = Sample::of(&seen, at);
    sample.held = report.hold_us.map(Duration::from_micros);
    sample.undone = (!done).then(|| format!("{}: {}", report.outcome.as_str(), report.detail));
    // A switchover on order publishes no loss, because there must be none.
    sample.unpublished = sample.lost;
    sample.examples.extend(examples("in doubt", &seen.findings.in_doubt.examples));
    sample.examples.extend(examples("lost", &seen.findings.lost_examples));
    Ok(sample)
}

/// kill -9 of the primary; it is started again when clients have gone on elsewhere.
pub(crate) async fn kill(stage: &mut Stage, rng: &mut StdRng) -> Result<Sample, Error> {
    let url = stage.sidecar.url();
    let before = stage.sidecar.wait_whole(LONG).await?;
    let clients = stage.clients(rng).await?;
    clients.play(rng.random_range(BEFORE.0..BEFORE.1)).await;
    let server = stage.primary(&before)?;
    server.kill()?;
    let (old, from) = (server.name.clone(), clients.now());
    stage.moved_from(&old).await?;
    clients.advance(SERVES).await?;
    let until = clients.now();
    clients.play(AFTER).await;
    let status = stage.sidecar.status().await?;
    let fault = Fault { from, until };
    let seen = clients.end(&url, Some(fault)).await?;
    let mut sample = Sample::of(&seen, from);
    let loss = status.last_loss.filter(|loss| loss.endpoint.as_str() == old && loss.epoch > before.epoch);
    sample.judge_loss(&seen, fault, loss.as_ref());
    stage.server(&old)?.restart()?;
    stage.sidecar.wait_whole(LONG).await?;
    Ok(sample)
}

/// SIGSTOP of the primary, and its return with old writes in its sockets, while clients are at work.
pub(crate) async fn freeze(stage: &mut Stage, rng: &mut StdRng) -> Result<Sample, Error> {
    let url = stage.sidecar.url();
    let before = stage.sidecar.wait_whole(LONG).await?;
    let late_before = late_replies(stage).await?;
    let clients = stage.clients(rng).await?;
    clients.play(rng.random_range(BEFORE.0..BEFORE.1)).await;
    let server = stage.primary(&before)?;
    server.freeze()?;
    let (old, from) = (server.name.clone(), clients.now());
    stage.moved_from(&old).await?;
    clients.advance(SERVES).await?;
    let until = clients.now();
    clients.play(rng.random_range(FROZEN.0..FROZEN.1)).await;
    let returned = clients.now();
    stage.server(&old)?.thaw()?;
    let status = stage.sidecar.wait_whole(LONG).await?;
    clients.play(AFTER).await;
    let fault = Fault { from, until };
    let seen = clients.end(&url, Some(fault)).await?;
    let mut sample = Sample::of(&seen, from);
    let loss = status.last_loss.filter(|loss| loss.endpoint.as_str() == old && loss.epoch > before.epoch);
    sample.judge_loss(&seen, fault, loss.as_ref());
    let lost = seen.findings.lost.iter();
    sample.late_acknowledged = count(lost.filter(|&&lost| seen.history[lost].ended >= returned).count());
    sample.late_replies = late_replies(stage).await?.saturating_sub(late_before);
    Ok(sample)
}

async fn late_replies(stage: &Stage) -> Result<u64, Error> {
    Ok(stage.sidecar.counter("foretoken_outbound_late_replies_total").await?)
}

fn examples(what: &str, words: &[String]) -> Vec<String> {
    words.iter().map(|words| format!("{what}: {words}")).collect()
}

/// When the longest time between two neighbours of `ends` began, and how long it was.
fn longest_gap(ends: &[Duration]) -> (Duration, Duration) {
    let gaps = ends.windows(2).map(|pair| (pair[0], pair[1] - pair[0]));
    gaps.max_by_key(|&(_, gap)| gap).unwrap_or_default()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
