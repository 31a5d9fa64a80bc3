//! The registry of tests and simulations: gone with the process.

use dashmap::DashMap;
use foretoken_types::{Epoch, InstanceId, StoreId};

use crate::swap::{may_intend, may_replace};
use crate::{Error, FORMAT, Intent, IntentChange, Registry, Result, StoreRecord, instance};

/// A [`Registry`] in memory.
#[derive(Debug)]
pub struct Memory {
    stores: DashMap<StoreId, (StoreRecord, Option<Intent>)>,
    instance: InstanceId,
}

impl Memory {
    /// An empty registry of a new instance.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new() -> Result<Self> {
        Ok(Self { stores: DashMap::new(), instance: instance::random()? })
    }
}

impl Registry for Memory {
    fn load(&self, store: &StoreId) -> Result<Option<(StoreRecord, Option<Intent>)>> {
        Ok(self.stores.get(store).map(|slot| slot.value().clone()))
    }

    fn compare_and_swap(
        &self,
        store: &StoreId,
        expected: Option<Epoch>,
        record: &StoreRecord,
        intent: IntentChange,
    ) -> Result<()> {
        // The entry keeps other threads out of this store until it is dropped.
        let entry = self.stores.entry(store.clone());
        let (found, kept) = match &entry {
            dashmap::Entry::Occupied(slot) => (Some(slot.get().0.epoch), slot.get().1.clone()),
            dashmap::Entry::Vacant(_) => (None, None),
        };
        may_replace(found, expected, record.epoch)?;
        let kept = kept.filter(|_| intent == IntentChange::Keep);
        entry.insert((StoreRecord { format: FORMAT, ..record.clone() }, kept));
        Ok(())
    }

    fn put_intent(&self, store: &StoreId, intent: &Intent) -> Result<()> {
        let mut slot = self.stores.get_mut(store).ok_or(Error::EpochMoved { found: None })?;
        may_intend(Some(slot.0.epoch), slot.1.as_ref(), intent)?;
        slot.1 = Some(intent.clone());
        Ok(())
    }

    fn clear_intent(&self, store: &StoreId) -> Result<()> {
        if let Some(mut slot) = self.stores.get_mut(store) {
            slot.1 = None;
        }
        Ok(())
    }

    fn instance(&self) -> InstanceId {
        self.instance.clone()
    }
}
