//! The file: kept from other processes, made whole or not at all, and checked when opened.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::table;
use crate::{Error, Result, instance};

/// Held by the process that uses the registry; the system lets go of it when the process ends, however it ends.
const GUARD_NAME: &str = "registry.lock";
/// The registry before it is whole. Only the holder of the guard touches it, so one name does.
const DRAFT_NAME: &str = "registry.redb.new";
/// What is written to see whether that is possible, and removed at once.
const PROBE_NAME: &str = "registry.probe";
/// redb's own default is 1 GiB, for a file that holds a few records.
const CACHE_BYTES: usize = 1 << 20;

/// Keeps other processes out while it lives.
#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    file: File,
}

impl Guard {
    pub(super) fn take(state_dir: &Path) -> Result<Self> {
        let storage = |error| storage(state_dir.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(storage)?;
        let path = state_dir.join(GUARD_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| self::storage(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
            Err(TryLockError::Error(error)) => Err(self::storage(path, error)),
        }
    }

    /// Whether it still keeps others out: with another file of its name another process would get in.
    pub(super) fn examine(&self) -> Result<()> {
        let place = |found: Metadata| (found.dev(), found.ino());
        let storage = |error| storage(self.path.clone(), error);
        let ours = self.file.metadata().map(place).map_err(storage)?;
        if std::fs::metadata(&self.path).map(place).map_err(storage)? != ours {
            return Err(storage(io::Error::other("it was replaced while it was in use")));
        }
        Ok(())
    }
}

/// Whether the registry at `path` is there and something can be written beside it.
pub(super) fn examine(path: &Path) -> Result<()> {
    std::fs::metadata(path).map_err(|error| storage(path.to_owned(), error))?;
    let probe = path.with_file_name(PROBE_NAME);
    let written = std::fs::write(&probe, PROBE_NAME);
    // One that could be made and not written must go as well; what made the writing fail says more.
    let removed = std::fs::remove_file(&probe);
    written.and(removed).map_err(|error| storage(probe, error))
}

fn storage(path: PathBuf, source: io::Error) -> Error {
    Error::Storage { path, source: Box::new(source) }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Without the check redb trusts a file that was closed cleanly, and may panic on one that was altered since.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Opens the registry, after making it when there is none.
pub(super) fn open_or_create(state_dir: &Path, path: &Path) -> Result<Database> {
    // Asked of the link itself: one that leads nowhere (a volume that is not mounted) is a fault, not a first start.
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => create(state_dir, path)?,
        Err(error) => return Err(storage(path.to_owned(), error)),
        Ok(_) => {}
    }
    open(path)
}

/// Makes a whole registry under another name, then gives it its own.
fn create(state_dir: &Path, path: &Path) -> Result<()> {
    let draft = state_dir.join(DRAFT_NAME);
    let failed = |error| storage(draft.clone(), error);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft);
    drop(made.map_err(failed)?);
    let database = builder().create(&draft).map_err(|error| sort(draft.clone(), error.into()))?;
    table::found(&database, &instance::random()?).map_err(|fault| fault.at(&draft))?;
    database.close().map_err(|error| sort(draft.clone(), error.into()))?;
    std::fs::rename(&draft, path).map_err(failed)?;
    // The name itself is durable only when the directory is.
    File::open(state_dir).and_then(|dir| dir.sync_all()).map_err(|error| storage(state_dir.to_owned(), error))
}

/// Opens a registry that exists, and checks every page of it.
pub(super) fn open(path: &Path) -> Result<Database> {
    let damaged = |detail: &str| Error::Damaged { path: path.to_owned(), detail: detail.to_owned() };
    let found = std::fs::metadata(path).map_err(|error| storage(path.to_owned(), error))?;
    if !found.is_file() {
        return Err(damaged("it is no regular file"));
    }
    // redb would make a new database of it, and the epochs would be forgotten without a word.
    if found.len() == 0 {
        return Err(damaged("it is empty"));
    }
    builder().open(path).map_err(|error| sort(path.to_owned(), error.into()))
}

/// Tells a file that can't be used from a disk that can't.
pub(super) fn sort(path: PathBuf, error: redb::Error) -> Error {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::InUse { path },
        redb::Error::Io(error)
            if !matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
            ) =>
        {
            storage(path, error)
        }
        error @ (redb::Error::PreviousIo | redb::Error::Backend(_) | redb::Error::DatabaseClosed) => {
            Error::Storage { path, source: Box::new(error) }
        }
        error => Error::Damaged { path, detail: error.to_string() },
    }
}
