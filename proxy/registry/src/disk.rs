//! The registry of the product: one redb file, every change synced to disk before it is reported.

mod file;
mod table;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use foretoken_types::{Epoch, InstanceId, StoreId};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _};

use self::file::Guard;
use self::table::{INTENTS, KEPT, STORES, decode, encode};
use crate::swap::{may_intend, may_replace};
use crate::{Error, FORMAT, Intent, IntentChange, Keep, Registry, Result, StoreRecord};

/// Name of the file inside of the state directory.
pub const FILE_NAME: &str = "registry.redb";

/// A [`Registry`] on disk.
///
/// The file is made complete under another name before it gets its own, so a kill at any moment leaves either no registry
/// or a whole one. A second file beside it, `registry.lock`, keeps other processes out for as long as this one lives.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    instance: InstanceId,
    /// `None` after the disk has failed: redb refuses everything then, and the next call opens it anew.
    database: Mutex<Option<Database>>,
    guard: Guard,
}

impl Disk {
    /// Opens the registry in `state_dir`, which is made when missing, and checks all of it.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::Damaged`] and [`Error::Newer`] when the file cannot be
    /// used, [`Error::Storage`] when the system refuses, [`Error::NoRandomness`].
    pub fn open(state_dir: &Path) -> Result<Self> {
        let guard = Guard::take(state_dir)?;
        let path = state_dir.join(FILE_NAME);
        let database = file::open_or_create(state_dir, &path)?;
        let instance = table::check(&database).map_err(|fault| fault.at(&path))?;
        Ok(Self { path, instance, database: Mutex::new(Some(database)), guard })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the open database, which is dropped when the disk fails.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T> {
        // A panic in another thread leaves the slot as it was, and redb rolls its transaction back.
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => file::open(&self.path)?,
        };
        let done = work(&database);
        if !matches!(done, Err(Fault::Redb(_))) {
            *slot = Some(database);
        }
        done.map_err(|fault| fault.at(&self.path))
    }
}

impl Registry for Disk {
    fn load(&self, store: &StoreId) -> Result<Option<(StoreRecord, Option<Intent>)>> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let record = transaction.open_table(STORES)?.get(store.as_str())?;
            let Some(record) = record else { return Ok(None) };
            let intent = transaction.open_table(INTENTS)?.get(store.as_str())?;
            Ok(Some((decode(record.value())?, intent.map(|bytes| decode(bytes.value())).transpose()?)))
        })
    }

    fn compare_and_swap(
        &self,
        store: &StoreId,
        expected: Option<Epoch>,
        record: &StoreRecord,
        intent: IntentChange,
    ) -> Result<()> {
        self.change(|stores, intents| {
            let found = match stores.get(store.as_str())? {
                Some(bytes) => Some(decode::<StoreRecord>(bytes.value())?.epoch),
                None => None,
            };
            may_replace(found, expected, record.epoch)?;
            let record = StoreRecord { format: FORMAT, ..record.clone() };
            stores.insert(store.as_str(), encode(&record).as_slice())?;
            if intent == IntentChange::Clear {
                intents.remove(store.as_str())?;
            }
            Ok(())
        })
    }

    fn put_intent(&self, store: &StoreId, intent: &Intent) -> Result<()> {
        self.change(|stores, intents| {
            let found = match stores.get(store.as_str())? {
                Some(bytes) => Some(decode::<StoreRecord>(bytes.value())?.epoch),
                None => None,
            };
            let existing = match intents.get(store.as_str())? {
                Some(bytes) => Some(decode::<Intent>(bytes.value())?),
                None => None,
            };
            may_intend(found, existing.as_ref(), intent)?;
            intents.insert(store.as_str(), encode(intent).as_slice())?;
            Ok(())
        })
    }

    fn clear_intent(&self, store: &StoreId) -> Result<()> {
        self.change(|_, intents| {
            intents.remove(store.as_str())?;
            Ok(())
        })
    }

    fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(KEPT) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table?,
            };
            let mut kept = Vec::new();
            for entry in table.range(prefix..)? {
                let (name, bytes) = entry?;
                if !name.value().starts_with(prefix) {
                    break;
                }
                kept.push((name.value().to_owned(), bytes.value().to_vec()));
            }
            Ok(kept)
        })
    }

    fn keep(&self, changes: &[Keep]) -> Result<()> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            let done = write_kept(&transaction, changes);
            match done {
                Ok(()) => Ok(transaction.commit()?),
                Err(fault) => {
                    transaction.abort()?;
                    Err(fault)
                }
            }
        })
    }

    fn examine(&self) -> Result<()> {
        self.guard.examine()?;
        file::examine(&self.path)
    }

    fn instance(&self) -> InstanceId {
        self.instance.clone()
    }
}

fn write_kept(transaction: &redb::WriteTransaction, changes: &[Keep]) -> Result<(), Fault> {
    let mut table = transaction.open_table(KEPT)?;
    for Keep { name, bytes } in changes {
        match bytes {
            Some(bytes) => table.insert(name.as_str(), bytes.as_slice())?,
            None => table.remove(name.as_str())?,
        };
    }
    Ok(())
}

type Table<'txn> = redb::Table<'txn, &'static str, &'static [u8]>;

impl Disk {
    /// One transaction over both tables, synced to disk when it returns `Ok`.
    fn change(&self, work: impl FnOnce(&mut Table<'_>, &mut Table<'_>) -> Result<(), Fault>) -> Result<()> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            let done = {
                let mut stores = transaction.open_table(STORES)?;
                let mut intents = transaction.open_table(INTENTS)?;
                work(&mut stores, &mut intents)
            };
            match done {
                Ok(()) => Ok(transaction.commit()?),
                Err(fault) => {
                    transaction.abort()?;
                    Err(fault)
                }
            }
        })
    }
}

/// An error before it is known which file it is about.
#[derive(Debug)]
pub(crate) enum Fault {
    Ours(Error),
    Record(String),
    Format(u32),
    Redb(redb::Error),
}

impl Fault {
    fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Ours(error) => error,
            Self::Record(detail) => Error::Damaged { path, detail },
            Self::Format(found) => Error::Newer { path, found, known: FORMAT },
            Self::Redb(error) => file::sort(path, error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => { $(
        impl From<redb::$kind> for Fault {
            fn from(error: redb::$kind) -> Self {
                Self::Redb(error.into())
            }
        }
    )* };
}

from_redb!(TransactionError, TableError, StorageError, CommitError, SetDurabilityError, DatabaseError);

#[cfg(test)]
mod tests;
