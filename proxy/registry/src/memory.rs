//! The registry of tests and simulations: gone with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use foretoken_types::{Epoch, InstanceId, StoreId};

use crate::swap::{may_intend, may_replace};
use crate::{Error, FORMAT, Intent, IntentChange, Keep, Registry, Result, StoreRecord, instance};

/// A [`Registry`] in memory.
#[derive(Debug)]
pub struct Memory {
    stores: DashMap<StoreId, (StoreRecord, Option<Intent>)>,
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    instance: InstanceId,
}

impl Memory {
    /// An empty registry of a new instance.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new() -> Result<Self> {
        Ok(Self { stores: DashMap::new(), kept: Mutex::default(), instance: instance::random()? })
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

    fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let named = kept.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        Ok(named.map(|(name, bytes)| (name.clone(), bytes.clone())).collect())
    }

    fn keep(&self, changes: &[Keep]) -> Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for Keep { name, bytes } in changes {
            match bytes {
                Some(bytes) => kept.insert(name.clone(), bytes.clone()),
                None => kept.remove(name),
            };
        }
        Ok(())
    }

    fn examine(&self) -> Result<()> {
        Ok(())
    }

    fn instance(&self) -> InstanceId {
        self.instance.clone()
    }
}
