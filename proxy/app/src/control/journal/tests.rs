//! Goal: what was foretold and what became of it can be read afterwards, and the files have a bound.

use RiskEvent::{Failed, Moved, Nothing, Raised};

use super::*;

fn entry(steps: u16, at_unix_ms: u64) -> RiskEntry {
    RiskEntry {
        at_unix_ms,
        event: RiskEvent::Raised,
        primary: Some("a".into()),
        steps: Some(steps),
        risk: Some([0.5, 0.6, 0.7]),
        rule: None,
        model: Some([0.5, 0.6, 0.7]),
        threshold: [0.4; 3],
        causes: vec!["memory".to_owned()],
        policy: "observe".to_owned(),
        action: "stay".to_owned(),
        would: "prepare".to_owned(),
        why: "because".to_owned(),
        after_ms: None,
    }
}

fn lines(path: &Path) -> Vec<RiskEntry> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect()
}

/// Opens one in a folder, plays, and closes it.
async fn with(folder: &Path, play: impl FnOnce(&mut Journal)) -> Vec<RiskEntry> {
    let mut journal = Journal::open(folder, &"s".into(), || 9_000);
    play(&mut journal);
    journal.close().await;
    journal.last()
}

fn events(entries: &[RiskEntry]) -> Vec<(RiskEvent, Option<u16>)> {
    entries.iter().map(|entry| (entry.event, entry.steps)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_has_an_outcome_failed_nothing_or_moved() {
    let dir = tempfile::tempdir().expect("a directory");
    let last = with(dir.path(), |journal| {
        journal.raised(entry(5, 1_000));
        journal.raised(entry(15, 2_000));
        for _ in 0..6 {
            journal.step(false);
        }
        journal.step(true);
        journal.step(true);
        journal.raised(entry(30, 3_000));
        journal.moved();
    })
    .await;
    let wanted = [
        (Moved, Some(30)),
        (Raised, Some(30)),
        (Failed, Some(15)),
        (Nothing, Some(5)),
        (Raised, Some(15)),
        (Raised, Some(5)),
    ];
    assert_eq!(events(&last), wanted);
    assert_eq!(last[2].after_ms, Some(7_000));
    let again = Journal::open(dir.path(), &"s".into(), || 0);
    assert_eq!(again.last(), last, "a restart reads them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_begins_again_within_its_horizon_is_one_foretelling() {
    let dir = tempfile::tempdir().expect("a directory");
    let last = with(dir.path(), |journal| {
        journal.raised(entry(15, 1_000));
        journal.raised(entry(15, 2_000));
        journal.step(true);
    })
    .await;
    assert_eq!(events(&last)[0], (Failed, Some(15)));
    assert_eq!(last.len(), 3, "one outcome for both: {last:?}");
}

#[test]
fn the_files_have_a_bound() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s.jsonl");
    let mut pages = Pages { path: path.clone(), file: None, bytes: 0 };
    let big = RiskEntry { why: "x".repeat(200_000), ..entry(5, 0) };
    for _ in 0..20 {
        pages.append(&big).expect("there is room");
    }
    let size = |path: &Path| std::fs::metadata(path).expect("it is there").len();
    let most = BYTES_MOST + 210_000;
    assert!(size(&path) <= most && size(&older(&path)) <= most);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 2);
    assert_eq!(lines(&older(&path)).len(), 6, "whole entries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_costs_entries_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "a file where the folder should be").expect("writes");
    let last = with(&taken, |journal| journal.raised(entry(5, 1_000))).await;
    assert_eq!(last.len(), 1, "what is shown does not need the disk");
}

#[test]
fn lines_that_can_t_be_read_are_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s.jsonl");
    let good = serde_json::to_string(&entry(5, 1)).expect("is JSON");
    std::fs::write(&path, format!("nonsense\n{good}\n{{\"at_unix_ms\":1}}\n{good}\n{{\"at_u"))
        .expect("writes");
    assert_eq!(last_of(&path).len(), 2);
}
