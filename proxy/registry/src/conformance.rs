//! One suite for every home: what a caller may rely on, wherever the registry lives.

use std::sync::atomic::{AtomicU64, Ordering};

use foretoken_types::{Epoch, Operation, Position, StoreId};

use crate::{Disk, Error, FORMAT, Intent, IntentChange, IntentKind, Keep, Memory, Registry, StoreRecord};

fn record(epoch: u64) -> StoreRecord {
    StoreRecord {
        primary: Some("a".into()),
        previous: Some("b".into()),
        begun_by: Some(IntentKind::Reactive),
        history: Some("8371445ee47aa1ed".to_owned()),
        descends: Some("before".to_owned()),
        position: Some(Position(u64::MAX)),
        owned: true,
        since_unix_ms: 1_700_000_000_000,
        ..StoreRecord::new(Epoch(epoch))
    }
}

fn intent(epoch: u64, operation: u64) -> Intent {
    Intent {
        kind: IntentKind::Planned,
        from: "a".into(),
        to: "b".into(),
        epoch: Epoch(epoch),
        operation: Operation(operation),
        started_unix_ms: 7,
    }
}

fn on_every_home(test: impl Fn(&dyn Registry)) {
    test(&Memory::new().unwrap());
    let dir = tempfile::tempdir().unwrap();
    test(&Disk::open(dir.path()).unwrap());
}

fn moved_to(error: Result<(), Error>) -> Option<Epoch> {
    match error {
        Err(Error::EpochMoved { found }) => found,
        other => panic!("not EpochMoved: {other:?}"),
    }
}

#[test]
fn a_record_reads_back_as_it_was_written_and_stores_are_apart() {
    on_every_home(|registry| {
        let (one, other) = (StoreId::from("orders"), StoreId::from("über/cache"));
        assert_eq!(registry.load(&one).unwrap(), None);
        registry.compare_and_swap(&one, None, &record(3), IntentChange::Keep).unwrap();
        registry.compare_and_swap(&other, None, &StoreRecord::new(Epoch(9)), IntentChange::Keep).unwrap();
        assert_eq!(registry.load(&one).unwrap(), Some((record(3), None)));
        assert_eq!(registry.load(&other).unwrap(), Some((StoreRecord::new(Epoch(9)), None)));
    });
}

#[test]
fn the_format_is_always_that_of_the_writer() {
    on_every_home(|registry| {
        let odd = StoreRecord { format: 77, ..record(1) };
        registry.compare_and_swap(&"s".into(), None, &odd, IntentChange::Keep).unwrap();
        assert_eq!(registry.load(&"s".into()).unwrap().map(|(record, _)| record.format), Some(FORMAT));
    });
}

#[test]
fn an_epoch_moves_only_from_the_one_expected_and_only_upwards() {
    on_every_home(|registry| {
        let store = StoreId::from("s");
        let swap = |expected: Option<u64>, to| {
            registry.compare_and_swap(&store, expected.map(Epoch), &record(to), IntentChange::Keep)
        };
        assert_eq!(moved_to(swap(Some(1), 2)), None, "there is no record");
        swap(None, 0).unwrap();
        assert_eq!(moved_to(swap(None, 5)), Some(Epoch(0)), "somebody was first");
        swap(Some(0), 7).unwrap();
        assert_eq!(moved_to(swap(Some(0), 8)), Some(Epoch(7)));
        assert_eq!(moved_to(swap(Some(7), 7)), Some(Epoch(7)), "the same epoch is not higher");
        assert_eq!(moved_to(swap(Some(7), 6)), Some(Epoch(7)));
        assert_eq!(registry.load(&store).unwrap(), Some((record(7), None)), "refusals change nothing");
        swap(Some(7), u64::MAX).unwrap();
        assert_eq!(moved_to(swap(Some(u64::MAX), u64::MAX)), Some(Epoch(u64::MAX)));
    });
}

#[test]
fn an_intent_stands_alone_and_names_the_epoch_in_force() {
    on_every_home(|registry| {
        let store = StoreId::from("s");
        assert_eq!(moved_to(registry.put_intent(&store, &intent(1, 1))), None);
        registry.compare_and_swap(&store, None, &record(1), IntentChange::Keep).unwrap();
        assert_eq!(moved_to(registry.put_intent(&store, &intent(2, 1))), Some(Epoch(1)));
        registry.put_intent(&store, &intent(1, 1)).unwrap();
        let second = registry.put_intent(&store, &intent(1, 2));
        assert!(matches!(second, Err(Error::IntentExists { found: Operation(1) })), "{second:?}");
        assert_eq!(registry.load(&store).unwrap(), Some((record(1), Some(intent(1, 1)))));
        registry.clear_intent(&store).unwrap();
        registry.clear_intent(&store).unwrap();
        registry.clear_intent(&"unheard of".into()).unwrap();
        assert_eq!(registry.load(&store).unwrap(), Some((record(1), None)));
        registry.put_intent(&store, &intent(1, 3)).unwrap();
    });
}

#[test]
fn an_intent_goes_with_the_epoch_or_stays_as_the_caller_says() {
    on_every_home(|registry| {
        let store = StoreId::from("s");
        registry.compare_and_swap(&store, None, &record(1), IntentChange::Keep).unwrap();
        registry.put_intent(&store, &intent(1, 1)).unwrap();
        moved_to(registry.compare_and_swap(&store, Some(Epoch(2)), &record(3), IntentChange::Clear));
        assert!(registry.load(&store).unwrap().unwrap().1.is_some(), "a refused swap clears nothing");
        registry.compare_and_swap(&store, Some(Epoch(1)), &record(2), IntentChange::Keep).unwrap();
        assert_eq!(registry.load(&store).unwrap(), Some((record(2), Some(intent(1, 1)))));
        registry.compare_and_swap(&store, Some(Epoch(2)), &record(3), IntentChange::Clear).unwrap();
        assert_eq!(registry.load(&store).unwrap(), Some((record(3), None)));
    });
}

#[test]
fn of_many_that_swap_at_once_one_wins_each_epoch() {
    const THREADS: u64 = 4;
    const EPOCHS: u64 = 25;
    on_every_home(|registry| {
        let store = StoreId::from("s");
        registry.compare_and_swap(&store, None, &record(0), IntentChange::Keep).unwrap();
        let won = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for epoch in 0..EPOCHS {
                        let record = record(epoch + 1);
                        match registry.compare_and_swap(
                            &store,
                            Some(Epoch(epoch)),
                            &record,
                            IntentChange::Keep,
                        ) {
                            Ok(()) => won.fetch_add(1, Ordering::Relaxed),
                            Err(Error::EpochMoved { .. }) => 0,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
        });
        let (last, _) = registry.load(&store).unwrap().unwrap();
        assert_eq!(last.epoch, Epoch(won.load(Ordering::Relaxed)), "an epoch that nobody won, or two did");
        assert_eq!(last.epoch, Epoch(EPOCHS));
    });
}

#[test]
fn an_instance_has_a_name_of_its_own() {
    on_every_home(|registry| {
        let name = registry.instance();
        assert_eq!(name.as_str().len(), 32);
        assert!(name.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(registry.instance(), name);
        assert_ne!(Memory::new().unwrap().instance(), name);
    });
}

#[test]
fn what_is_kept_is_found_by_the_beginning_of_its_name_until_it_is_forgotten() {
    on_every_home(|registry| {
        assert_eq!(registry.kept("").unwrap(), []);
        let bytes = |number: u8| vec![number; 300];
        let all =
            [Keep::this("token/b", bytes(1)), Keep::this("token/a", bytes(2)), Keep::this("key", vec![])];
        registry.keep(&all).unwrap();
        registry.keep(&[]).unwrap();
        let named = |prefix: &str| registry.kept(prefix).unwrap();
        assert_eq!(named("token/"), [("token/a".to_owned(), bytes(2)), ("token/b".to_owned(), bytes(1))]);
        assert_eq!(named("key"), [("key".to_owned(), vec![])]);
        assert_eq!(named("tokens"), []);
        let changes = [
            Keep::nothing("token/a"),
            Keep::nothing("never heard of"),
            Keep::this("token/b", bytes(3)),
            Keep::this("token/c", bytes(4)),
            Keep::nothing("token/c"),
        ];
        registry.keep(&changes).unwrap();
        assert_eq!(named("token/"), [("token/b".to_owned(), bytes(3))]);
        assert_eq!(named("").len(), 2);
    });
}
