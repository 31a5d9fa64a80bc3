//! Where epochs, intents, the instance id and what else must survive a restart live, in memory and on disk.
//!
//! Only [`Registry::compare_and_swap`] raises an epoch, and only upwards (PROTOCOL 2): what it has returned `Ok` for is on
//! disk and survives a kill of the process. There is one trait with two homes: [`Disk`] for the product, [`Memory`] for
//! tests and simulations; one suite of tests holds both to the same behaviour.
//!
//! What this crate is *not* for: leases (they are never written) and decisions (`failover` makes them). It is synchronous:
//! a commit waits for the disk, so callers on a runtime use `spawn_blocking`.
//!
//! ```
//! use foretoken_registry::{IntentChange, Memory, Registry, StoreRecord};
//! use foretoken_types::{Epoch, StoreId};
//!
//! # fn main() -> foretoken_registry::Result<()> {
//! let registry = Memory::new()?;
//! let store = StoreId::from("orders");
//! assert!(registry.load(&store)?.is_none());
//! registry.compare_and_swap(&store, None, &StoreRecord::new(Epoch(1)), IntentChange::Keep)?;
//! registry.compare_and_swap(&store, Some(Epoch(1)), &StoreRecord::new(Epoch(2)), IntentChange::Clear)?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: an epoch never goes back; an intent exists only beside a record; a failed call has changed nothing, save that after [`Error::Storage`] from a writing call the outcome is not known until the next
//! [`Registry::load`].
#![warn(missing_docs)]

mod disk;
mod error;
mod instance;
mod memory;
mod record;
mod swap;

pub use disk::{Disk, FILE_NAME};
pub use error::{Error, Result};
pub use memory::Memory;
pub use record::{FORMAT, Intent, IntentChange, IntentKind, Keep, StoreRecord};

use foretoken_types::{Epoch, InstanceId, StoreId};

/// A home of epochs and intents. One process uses it; its threads may share it.
pub trait Registry: Send + Sync {
    /// The record of `store` and its intent, read together; `None` when there never was one.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Damaged`] or [`Error::Newer`].
    fn load(&self, store: &StoreId) -> Result<Option<(StoreRecord, Option<Intent>)>>;

    /// Replaces the record of `store` if its epoch is `expected` (`None`: there is no record) and the new epoch is
    /// higher, and changes the intent in the same transaction. Durable when it returns `Ok`.
    ///
    /// # Errors
    /// [`Error::EpochMoved`] when the epoch is another, or the new one is not higher; nothing is changed then.
    /// [`Error::Storage`] when the disk fails: [`Registry::load`] tells the outcome.
    fn compare_and_swap(
        &self,
        store: &StoreId,
        expected: Option<Epoch>,
        record: &StoreRecord,
        intent: IntentChange,
    ) -> Result<()>;

    /// Records what is about to be done. Durable when it returns `Ok`.
    ///
    /// # Errors
    /// [`Error::IntentExists`] when there is one already. [`Error::EpochMoved`] when [`Intent::epoch`] is not in force.
    fn put_intent(&self, store: &StoreId, intent: &Intent) -> Result<()>;

    /// Removes the intent, if there is one, without a change of epoch: the operation was undone. Durable when it returns
    /// `Ok`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn clear_intent(&self, store: &StoreId) -> Result<()>;

    /// Everything that is kept under a name that begins with `prefix`, in the order of the names.
    ///
    /// # Errors
    /// [`Error::Storage`] or [`Error::Damaged`].
    fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>>;

    /// Keeps or forgets bytes under names: keys and tokens, into which the registry does not look. All of `changes` or none
    /// of them, in order. Durable when it returns `Ok`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn keep(&self, changes: &[Keep]) -> Result<()>;

    /// Whether a change could be written now, and would be found by the next process. Blocks for a short file.
    ///
    /// # Errors
    /// [`Error::Storage`] when not: what stands there is gone or was replaced, the disk is full or read-only.
    fn examine(&self) -> Result<()>;

    /// The name by which this sidecar signs its owner records: chosen at random once, when the registry was created.
    fn instance(&self) -> InstanceId;
}

#[cfg(test)]
mod conformance;
