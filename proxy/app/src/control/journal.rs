//! The journal of alarms: what was foretold, what was or would have been done, and what happened after.
//!
//! JSON lines in `risk/STORE.jsonl` of the state directory, for people and for `foretoken status`; nothing is decided by it.
//! Two files of bounded size: the older one is given up when the newer one is full. A disk that is full or gone costs entries
//! and nothing else.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use foretoken_admin::model::{RiskEntry, RiskEvent};
use foretoken_types::StoreId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Size at which a new file is begun: some two thousand entries.
const BYTES_MOST: u64 = 1 << 20;
/// Entries on their way to the disk. One step makes seven at most.
const DEPTH: usize = 64;
/// Entries that a status shows.
const SHOWN: usize = 8;

/// The journal of one store.
pub(super) struct Journal {
    /// Where entries go, and who writes them; `None` once it is closed.
    out: Option<(mpsc::Sender<RiskEntry>, JoinHandle<()>)>,
    last: VecDeque<RiskEntry>,
    /// Alarms of which the horizon has not passed, with the steps since they began; one for each horizon at most.
    open: Vec<(RiskEntry, u16)>,
    /// The wall clock, in milliseconds since 1970.
    now: fn() -> u64,
}

impl Journal {
    /// Opens the journal of a store, and starts the thread that writes it, which ends with it.
    pub(super) fn open(folder: &Path, store: &StoreId, now: fn() -> u64) -> Self {
        let path = folder.join(format!("{store}.jsonl"));
        let last = last_of(&path);
        let (out, mut entries) = mpsc::channel(DEPTH);
        let (folder, store) = (folder.to_owned(), store.clone());
        let writer = tokio::task::spawn_blocking(move || {
            let mut file = Pages { path, file: None, bytes: 0 };
            let mut well = true;
            while let Some(entry) = entries.blocking_recv() {
                let result = std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&folder)
                    .and_then(|()| file.append(&entry));
                match result {
                    Ok(()) => well = true,
                    Err(error) => {
                        file.file = None;
                        if std::mem::take(&mut well) {
                            tracing::warn!(%store, file = %file.path.display(), %error, "the journal of risks can't be written");
                        }
                    }
                }
            }
        });
        Self { out: Some((out, writer)), last, open: Vec::new(), now }
    }

    /// The last entries, newest first.
    pub(super) fn last(&self) -> Vec<RiskEntry> {
        self.last.iter().rev().cloned().collect()
    }

    /// Writes an entry.
    pub(super) fn write(&mut self, entry: RiskEntry) {
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(entry.clone());
        // Full: the disk hangs, and its thread will say so. What is shown has the entry all the same.
        if let Some((out, _)) = &self.out {
            out.try_send(entry).ok();
        }
    }

    /// Waits until everything is written; nothing is from then on.
    pub(super) async fn close(&mut self) {
        if let Some((out, writer)) = self.out.take() {
            drop(out);
            writer.await.ok();
        }
    }

    /// Writes that an alarm began, and waits for what becomes of it.
    pub(super) fn raised(&mut self, entry: RiskEntry) {
        // An alarm that begins again within its horizon is still the same foretelling.
        if !self.open.iter().any(|(open, _)| open.steps == entry.steps) {
            self.open.push((entry.clone(), 0));
        }
        self.write(entry);
    }

    /// Another step. `failed`: the store has.
    pub(super) fn step(&mut self, failed: bool) {
        if failed {
            return self.settle(RiskEvent::Failed, |_, _| true);
        }
        for (_, steps) in &mut self.open {
            *steps = steps.saturating_add(1);
        }
        self.settle(RiskEvent::Nothing, |entry, steps| entry.steps.is_none_or(|horizon| steps > horizon));
    }

    /// The primary was changed.
    pub(super) fn moved(&mut self) {
        self.settle(RiskEvent::Moved, |_, _| true);
    }

    fn settle(&mut self, event: RiskEvent, is: impl Fn(&RiskEntry, u16) -> bool) {
        let settled: Vec<_> = self.open.extract_if(.., |(entry, steps)| is(entry, *steps)).collect();
        for (raised, _) in settled {
            let at_unix_ms = (self.now)();
            let after_ms = Some(at_unix_ms.saturating_sub(raised.at_unix_ms));
            self.write(RiskEntry { at_unix_ms, event, after_ms, ..raised });
        }
    }
}

/// The file and its size; it is opened with the first entry.
struct Pages {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Pages {
    fn append(&mut self, entry: &RiskEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        if self.file.is_some() && self.bytes >= BYTES_MOST {
            self.file = None;
            std::fs::rename(&self.path, older(&self.path))?;
        }
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            self.bytes = file.metadata()?.len();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&line)?;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// The last entries that can be read of a file: a line that was cut off, or that another version wrote, is left out.
fn last_of(path: &Path) -> VecDeque<RiskEntry> {
    let mut last = VecDeque::new();
    let Ok(file) = File::open(path) else { return last };
    for line in BufReader::new(io::Read::take(file, 2 * BYTES_MOST)).lines().map_while(Result::ok) {
        let Ok(entry) = serde_json::from_str(&line) else { continue };
        if last.len() == SHOWN {
            last.pop_front();
        }
        last.push_back(entry);
    }
    last
}

#[cfg(test)]
mod tests;
