use super::*;
use crate::history::{Action, Tag};

fn operation(invoked: u64, ended: u64, ending: Ending) -> Operation {
    Operation {
        client: 1,
        action: Action::Append { list: 0, tag: Tag { client: 1, number: 1 } },
        invoked: Duration::from_millis(invoked),
        ended: Duration::from_millis(ended),
        ending,
        bytes: 1,
    }
}

#[test]
fn operations_are_counted_where_they_ended_and_a_standstill_is_no_hole() {
    let history = [
        operation(0, 10, Ending::Done(1)),
        operation(0, 99, Ending::Done(1)),
        operation(90, 100, Ending::InDoubt("cut".to_owned())),
        operation(100, 350, Ending::Done(1)),
        operation(100, 399, Ending::NotExecuted("full".to_owned())),
    ];
    let found = intervals(&history, Duration::from_millis(1000));
    let counts: Vec<_> =
        found.iter().map(|at| (at.at_ms, at.done, at.not_executed, at.in_doubt, at.max_us)).collect();
    assert_eq!(
        counts,
        [
            (1000, 2, 0, 0, Some(99_000)),
            (1100, 0, 0, 1, None),
            (1200, 0, 0, 0, None),
            (1300, 1, 1, 0, Some(250_000))
        ]
    );
    assert!(intervals(&[], Duration::ZERO).is_empty());
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut kept = Vec::new();
    for number in 0..MOST + 10 {
        push(&mut kept, number);
    }
    assert_eq!(kept.len(), MOST);
    // An operation that ended a day late must not fill the memory with empty intervals.
    let day = 24 * 3600 * 1000;
    let history = [operation(0, 1, Ending::Done(1)), operation(0, day, Ending::Done(1))];
    assert_eq!(intervals(&history, Duration::ZERO).len(), MOST);
}

#[tokio::test(start_paused = true)]
async fn parts_follow_each_other_and_the_last_one_ends_with_the_run() {
    let record = Record::new(vec!["a".to_owned()]);
    record.part("one");
    tokio::time::advance(Duration::from_millis(300)).await;
    record.part("two");
    record.event(By::Demo, &"x".repeat(10 * WORDS_MAX));
    tokio::time::advance(Duration::from_millis(200)).await;
    let seen = record.so_far();
    let parts: Vec<_> = seen.parts.iter().map(|part| (part.from_ms, part.until_ms)).collect();
    assert_eq!(parts, [(0, Some(300)), (300, Some(500))]);
    assert_eq!((seen.took_ms, seen.events[0].at_ms), (500, 300));
    assert_eq!(seen.events[0].words.len(), WORDS_MAX);
}

#[test]
fn a_change_of_primary_or_of_risk_is_told_once() {
    use foretoken_app::client::model::{ChangeKind, SwitchoverOutcome};
    let before = StoreStatus::unknown("demo".into());
    assert!(changes(None, &before).is_empty());
    let mut after = before.clone();
    after.last_switchover = Some(LastSwitchover {
        from: Some("a".into()),
        to: Some("b".into()),
        kind: ChangeKind::Switchover,
        hold_us: Some(3_045),
        outcome: SwitchoverOutcome::Done,
        detail: String::new(),
        at_unix_ms: 1,
    });
    let told = changes(Some(&before), &after);
    assert_eq!(told, ["switchover a to b: done, epoch 0, writes held 3.045 ms"]);
    assert!(changes(Some(&after), &after).is_empty());
    let mut tried = after.clone();
    tried.last_attempt = after.last_switchover.clone().map(|done| LastSwitchover {
        kind: ChangeKind::Failover,
        outcome: SwitchoverOutcome::Aborted,
        ..done
    });
    assert_eq!(
        changes(Some(&after), &tried),
        ["failover a to b: aborted, epoch 0, requests held 3.045 ms from when it was noticed"]
    );
}
