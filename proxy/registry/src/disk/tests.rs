//! What only the disk has: it lasts, it is alone, and it says what is wrong with it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use foretoken_types::{Epoch, Operation, StoreId};

use super::*;
use crate::IntentKind;

/// Tells the child process where its registry is; without it the child's test does nothing.
const CHILD_DIR: &str = "FORETOKEN_REGISTRY_TEST_DIR";

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

fn spawn(dir: &Path) -> KilledOnDrop {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::tests::raises_epochs_until_killed", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    KilledOnDrop(child)
}

/// The child of the tests below: not a test of its own.
#[test]
#[ignore = "run as a child process by the tests beside it"]
fn raises_epochs_until_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let registry = Disk::open(Path::new(&dir)).unwrap();
    let store = StoreId::from("s");
    let mut out = std::io::stdout().lock();
    let mut say = |word: &str, epoch: Epoch| {
        writeln!(out, "{word} {}", epoch.0).unwrap();
        out.flush().unwrap();
    };
    loop {
        let found = registry.load(&store).unwrap();
        let expected = found.as_ref().map(|(record, _)| record.epoch);
        let epoch = expected.map_or(Epoch(1), Epoch::next);
        if let Some(leaving) = expected {
            if found.is_some_and(|(_, intent)| intent.is_some()) {
                registry.clear_intent(&store).unwrap();
            }
            registry.put_intent(&store, &intent(leaving)).unwrap();
            say("intent", leaving);
        }
        registry.compare_and_swap(&store, expected, &StoreRecord::new(epoch), IntentChange::Clear).unwrap();
        say("epoch", epoch);
    }
}

fn intent(epoch: Epoch) -> Intent {
    Intent {
        kind: IntentKind::Reactive,
        from: "a".into(),
        to: "b".into(),
        epoch,
        operation: Operation(epoch.0),
        started_unix_ms: 0,
    }
}

#[test]
fn whatever_was_reported_durable_survives_kill_minus_nine() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreId::from("s");
    let mut name = None;
    let mut before = Epoch(0);
    for round in 0..25 {
        let mut child = spawn(dir.path());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let (mut epoch, mut intended) = (before, None);
        let mut hear = |line: String| match line.split_once(' ') {
            Some(("epoch", number)) => {
                epoch = Epoch(number.parse().unwrap());
                intended = None;
            }
            Some(("intent", number)) => intended = Some(Epoch(number.parse().unwrap())),
            _ => {}
        };
        for _ in 0..random(30) + 5 {
            hear(lines.next().expect("the child goes on until it is killed").unwrap());
        }
        // Somewhere inside the next transactions, which take a few milliseconds each.
        for _ in 0..random(2_000_000) {
            std::hint::spin_loop();
        }
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        lines.for_each(|line| hear(line.unwrap()));

        let registry = Disk::open(dir.path()).unwrap();
        let (found, intent) = registry.load(&store).unwrap().unwrap_or_else(|| panic!("round {round}: gone"));
        assert!(found.epoch > before || epoch == before, "round {round}: no progress");
        // One more than was reported may be there: it was durable, and the report was not yet written.
        assert!(
            found.epoch == epoch || found.epoch == epoch.next(),
            "round {round}: {epoch} was reported and {} found",
            found.epoch
        );
        if let Some(intent) = &intent {
            assert_eq!(intent.epoch, found.epoch, "round {round}: epoch and intent go together");
        }
        if let Some(intended) = intended {
            assert!(intent.is_some() || found.epoch > intended, "round {round}: the intent is gone");
        }
        assert_eq!(*name.get_or_insert(registry.instance()), registry.instance());
        before = found.epoch;
    }
}

#[test]
fn a_kill_during_the_first_start_leaves_nothing_or_all() {
    for _ in 0..25 {
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(dir.path());
        let aim = if random(2) == 0 { "registry.lock" } else { "registry.redb.new" };
        for _ in 0..2_000_000 {
            if dir.path().join(aim).exists() || dir.path().join(FILE_NAME).exists() {
                break;
            }
            std::hint::spin_loop();
        }
        for _ in 0..random(1_000_000) {
            std::hint::spin_loop();
        }
        drop(child);
        let registry = Disk::open(dir.path()).unwrap();
        registry.load(&"s".into()).unwrap();
    }
}

#[test]
fn a_restart_finds_the_same_instance_and_records() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("var/lib/foretoken");
    let first = Disk::open(&state).unwrap();
    first.compare_and_swap(&"s".into(), None, &StoreRecord::new(Epoch(4)), IntentChange::Keep).unwrap();
    first.put_intent(&"s".into(), &intent(Epoch(4))).unwrap();
    let name = first.instance();
    drop(first);
    let second = Disk::open(&state).unwrap();
    assert_eq!(second.instance(), name);
    let found = second.load(&"s".into()).unwrap();
    assert_eq!(found, Some((StoreRecord::new(Epoch(4)), Some(intent(Epoch(4))))));
    for file in [FILE_NAME, "registry.lock"] {
        let mode = fs::metadata(state.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_second_process_is_told_that_the_directory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let held = Disk::open(dir.path()).unwrap();
    let error = Disk::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("another foretoken uses this state_dir") && text.contains("registry.lock"),
        "{text}"
    );
    drop(held);
    Disk::open(dir.path()).unwrap();
}

#[test]
fn a_draft_of_a_start_that_was_killed_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("registry.redb.new"), b"half").unwrap();
    Disk::open(dir.path()).unwrap();
    assert!(!dir.path().join("registry.redb.new").exists());
}

/// Opens `bytes` as a registry and reads it.
fn read(bytes: &[u8]) -> Result<Option<(StoreRecord, Option<Intent>)>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), bytes).unwrap();
    Disk::open(dir.path())?.load(&"s".into())
}

fn whole() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let registry = Disk::open(dir.path()).unwrap();
    for epoch in 0..4 {
        let expected = (epoch > 0).then(|| Epoch(epoch - 1));
        let record = StoreRecord::new(Epoch(epoch));
        registry.compare_and_swap(&"s".into(), expected, &record, IntentChange::Keep).unwrap();
    }
    drop(registry);
    fs::read(dir.path().join(FILE_NAME)).unwrap()
}

#[test]
fn foreign_and_cut_files_are_named_with_a_remedy() {
    let good = whole();
    assert_eq!(read(&good).unwrap(), Some((StoreRecord::new(Epoch(3)), None)));
    let mut cases = vec![Vec::new(), b"{\"epoch\": 7}".to_vec(), vec![0; 1 << 16], vec![0xff; 4096]];
    cases.extend((0..20).map(|part| good[..good.len() * part / 20].to_vec()));
    cases.extend([1, 9, 63, 64, 320, 512, 4095, 4096, 4097].map(|length| good[..length].to_vec()));
    for case in cases {
        let error = read(&case).expect_err("a cut file was taken for a whole one");
        let text = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "{} bytes: {error:?}", case.len());
        assert!(text.contains(FILE_NAME) && text.contains("move it away"), "{text}");
    }
}

#[test]
fn altered_bytes_never_panic_and_never_pass_for_another_epoch() {
    let good = whole();
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let mut refused = 0;
    for round in 0..250 {
        let mut bytes = good.clone();
        // The head of the file and what is in use of it tell most; the rest is free space.
        let at = match round % 3 {
            0 => usize::try_from(random(512)).unwrap(),
            1 => used[usize::try_from(random(used.len() as u64)).unwrap()],
            _ => usize::try_from(random(good.len() as u64)).unwrap(),
        };
        bytes[at] ^= u8::try_from(random(255)).unwrap() + 1;
        match std::panic::catch_unwind(|| read(&bytes)) {
            Ok(Ok(found)) => {
                let epoch = found.map(|(record, _)| record.epoch);
                // redb may fall back on the commit before, whose checksums are right.
                assert!(epoch.is_some_and(|epoch| epoch >= Epoch(2)), "byte {at}: {epoch:?}");
            }
            Ok(Err(Error::Damaged { .. } | Error::Newer { .. })) => refused += 1,
            Ok(Err(other)) => panic!("byte {at}: {other:?}"),
            Err(_) => panic!("byte {at}: opening it panics"),
        }
    }
    assert!(refused > 20, "only {refused} were noticed");
}

#[test]
fn a_record_of_a_newer_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(Disk::open(dir.path()).unwrap());
    let path = dir.path().join(FILE_NAME);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let newer = br#"{"format": 2, "whatever": []}"#;
    transaction.open_table(STORES).unwrap().insert("s", newer.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Disk::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    fs::write(&file, b"").unwrap();
    let error = Disk::open(&file).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }) && error.to_string().contains("plain"), "{error}");
    let state = dir.path().join("state");
    fs::create_dir_all(state.join(FILE_NAME)).unwrap();
    assert!(matches!(Disk::open(&state), Err(Error::Damaged { .. })));
    let lost = dir.path().join("lost");
    fs::create_dir(&lost).unwrap();
    std::os::unix::fs::symlink("/nowhere/registry", lost.join(FILE_NAME)).unwrap();
    assert!(matches!(Disk::open(&lost), Err(Error::Storage { .. })), "not a first start");
}

#[test]
fn after_a_failure_of_the_disk_the_next_call_opens_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Disk::open(dir.path()).unwrap();
    registry.compare_and_swap(&"s".into(), None, &StoreRecord::new(Epoch(1)), IntentChange::Keep).unwrap();
    let failed = registry.with(|_| Err::<(), _>(Fault::from(redb::StorageError::PreviousIo)));
    assert!(matches!(failed, Err(Error::Storage { .. })), "{failed:?}");
    let record = StoreRecord::new(Epoch(2));
    registry.compare_and_swap(&"s".into(), Some(Epoch(1)), &record, IntentChange::Keep).unwrap();
    assert_eq!(registry.load(&"s".into()).unwrap(), Some((record, None)));
}

#[test]
fn a_registry_that_the_next_process_would_not_find_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let registry = Disk::open(&state).unwrap();
    registry.examine().unwrap();
    let mut names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["registry.lock", FILE_NAME], "no trace");

    let moved = dir.path().join("moved");
    fs::rename(&state, &moved).unwrap();
    let error = registry.examine().unwrap_err();
    assert!(matches!(error, Error::Storage { .. }) && error.to_string().contains("registry.lock"), "{error}");
    // What another process would make of it.
    drop(Disk::open(&state).unwrap());
    let error = registry.examine().unwrap_err();
    let Error::Storage { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("was replaced"), "{source}");

    fs::remove_dir_all(&state).unwrap();
    fs::rename(&moved, &state).unwrap();
    registry.examine().unwrap();
    fs::rename(state.join(FILE_NAME), state.join("elsewhere")).unwrap();
    let error = registry.examine().unwrap_err();
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    fs::rename(state.join("elsewhere"), state.join(FILE_NAME)).unwrap();
    registry.examine().unwrap();
    // What can't be written: a directory stands where the probe would.
    fs::create_dir(state.join("registry.probe")).unwrap();
    let error = registry.examine().unwrap_err();
    assert!(error.to_string().contains("registry.probe"), "{error}");
}
