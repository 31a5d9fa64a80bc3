//! The record that a running sidecar keeps: whole after a kill, read by others, and never in the way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foretoken_demo::sidecar::STORE;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{Disk, LONG, Store};

const RISK: &str = "risk = { step = \"1s\" }\n";

fn file(dir: &Path) -> PathBuf {
    dir.join("state/record").join(format!("{STORE}.csv"))
}

/// Rows by column, as Python's csv module reads the file: each with as many fields as the header.
const READ: &str = "
import csv, sys
with open(sys.argv[1], newline='') as file:
    rows = list(csv.DictReader(file, strict=True))
assert rows and all(None not in row and None not in row.values() for row in rows), 'a torn row'
print(len(rows))
for row in rows:
    print(' '.join(row[name] or '-' for name in sys.argv[2:]))
";

/// The columns of each row, as Python gives them.
fn python(file: &Path, columns: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new("python3").args(["-c", READ]).arg(file).args(columns).output();
    let output = output.expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("is text");
    let mut lines = text.lines();
    let count: usize = lines.next().and_then(|line| line.parse().ok()).expect("the number of rows");
    let rows: Vec<Vec<String>> = lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    assert_eq!(rows.len(), count);
    rows
}

/// Waits until the file has so many lines.
async fn lines(file: &Path, least: usize) -> String {
    let deadline = Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    loop {
        look.tick().await;
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= least {
            return text;
        }
        assert!(Instant::now() < deadline, "only\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_outlives_kills_and_tells_of_a_switchover_and_others_can_read_it() {
    let mut store = Store::start_with(2, |setup| setup.store = RISK.to_owned()).await;
    let file = file(store.dir.path());
    let mut least = 1;
    for _ in 0..3 {
        least += lines(&file, least + 4).await.lines().count();
        store.sidecar.restart().expect("starts");
        store.whole().await;
    }
    let report = store.switch().await;
    assert!(report.outcome.as_str() == "done", "{report:?}");
    let deadline = Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let columns =
        ["endpoint", "role", "change", "verdict", "memory_used", "disk_ratio", "cpu_ratio", "epoch"];
    let rows = loop {
        let rows = python(&file, &columns);
        if rows.iter().any(|row| row[..3] == ["b", "primary", "switchover_done"]) {
            break rows;
        }
        assert!(Instant::now() < deadline, "{rows:?}");
        look.tick().await;
    };
    assert!(rows.iter().any(|row| row[..2] == ["a", "primary"] && row[3] == "up"));
    assert!(rows.iter().any(|row| row[4].parse::<u64>().is_ok_and(|bytes| bytes > 100_000)), "{rows:?}");
    for (place, what) in [(5, "disk"), (6, "CPU")] {
        let known =
            |row: &Vec<String>| row[place].parse::<f64>().is_ok_and(|share| share > 0.0 && share < 2.0);
        assert!(rows.iter().any(known), "{what} of a server on this machine is known: {rows:?}");
    }
    // 0: a sidecar that has only begun does not know it yet.
    let epochs = rows.iter().map(|row| row[7].parse().expect("a number"));
    let epochs: Vec<u64> = epochs.filter(|epoch| *epoch > 0).collect();
    assert!(epochs.is_sorted() && epochs.first() < epochs.last(), "{epochs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_for_the_record_disturbs_nobody() {
    let Some(small) = Disk::mount(1) else { return };
    let dir = TempDir::new().expect("a directory");
    std::fs::create_dir(dir.path().join("state")).expect("there is room");
    std::os::unix::fs::symlink(small.path(), dir.path().join("state/record")).expect("a link");
    let mut store = Store::start_in(dir, 2, |setup| setup.store = RISK.to_owned()).await;
    let clients = store.clients();
    lines(&file(store.dir.path()), 3).await;
    // Fills it to the last byte.
    let filler = small.path().join("filler");
    std::fs::write(&filler, vec![0; 2 << 20]).expect_err("there is no room for that");
    let lost = "foretoken_record_lost_lines_total";
    let deadline = Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(50));
    while store.sidecar.counter(lost).await.expect("answers") < 4 {
        look.tick().await;
        assert!(Instant::now() < deadline, "nothing was lost");
    }
    let log = std::fs::read_to_string(store.sidecar.log()).expect("is there");
    assert_eq!(log.matches("the record can't be written").count(), 1, "it is said once:\n{log}");
    std::fs::remove_file(&filler).expect("is ours");
    let written = std::fs::read_to_string(file(store.dir.path())).expect("is there").lines().count();
    lines(&file(store.dir.path()), written + 4).await;
    python(&file(store.dir.path()), &["endpoint"]);
    clients.work(500).await;
    let url = store.sidecar.url();
    clients.end(&url, None).await.assert_flawless();
    store.whole().await;
}
