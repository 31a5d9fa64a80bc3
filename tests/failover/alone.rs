//! Nobody left to ask: what a temporary token that was given in advance is good for.

use foretoken_demo::alone::{Alone, HANDED_OVER, Seen, TEMPORARY, TEMPORARY_LEAST};
use foretoken_demo::exhaustion::{Exhaustion, Kind, Ramp};
use foretoken_types::StoreState;
use std::time::Duration;
use tempfile::TempDir;

use crate::support::{LONG, program};

const LEAK: Ramp = Ramp { to: 0.9, over: Duration::from_secs(20) };

/// At risk by a leak, then alone.
async fn left_alone(policy: &str) -> Seen {
    let dir = TempDir::new().expect("a directory");
    let mut alone = Alone::set(program(), dir.path(), policy).await.expect("starts");
    let leak = Exhaustion::begin(Kind::Connections, &alone.servers[0], LEAK).await.expect("begins");
    let prepared = policy == "prepare";
    let status = alone
        .sidecar
        .wait("an alarm", LONG, |status| {
            let raised = status.risk.as_ref().is_some_and(|risk| risk.raised);
            raised && (!prepared || status.state == StoreState::AtRisk)
        })
        .await
        .expect("sees it");
    assert_eq!(status.state == StoreState::AtRisk, prepared);
    let seen = alone.leave().await.expect("is left").ends().await.expect("ends");
    leak.end().await;
    assert!(seen.findings.is_honest() && seen.findings.lost.is_empty(), "{:?}", seen.findings);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_with_a_temporary_token_in_hand_until_it_ends_and_without_one_they_stop() {
    let (with, without) = tokio::join!(left_alone("prepare"), left_alone("observe"));
    let (last, gap) = (with.went_on(), with.longest_gap());
    assert!(last >= TEMPORARY_LEAST, "they stopped after {last:?}");
    assert!(last <= TEMPORARY + HANDED_OVER, "they went on for {last:?}");
    assert!(gap <= HANDED_OVER, "they paused for {gap:?}");
    let last = without.went_on();
    assert!(last <= HANDED_OVER, "they went on for {last:?} without any right to");
}
