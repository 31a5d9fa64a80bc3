//! What is in the file: JSON under the store's name, so that a person with redb's tools can read it.

use foretoken_types::InstanceId;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Fault;
use crate::{FORMAT, Intent, StoreRecord};

pub(super) const STORES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("stores");
pub(super) const INTENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("intents");
/// Absent in a registry of a build that kept nothing else yet; made when first written to.
pub(super) const KEPT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("kept");
const SIDECAR: TableDefinition<'static, &str, &str> = TableDefinition::new("sidecar");
const INSTANCE: &str = "instance";
const FORMAT_KEY: &str = "format";

/// Writes what every registry has.
pub(super) fn found(database: &Database, instance: &InstanceId) -> Result<(), Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.open_table(STORES)?;
    transaction.open_table(INTENTS)?;
    transaction.open_table(KEPT)?;
    {
        let mut sidecar = transaction.open_table(SIDECAR)?;
        sidecar.insert(INSTANCE, instance.as_str())?;
        sidecar.insert(FORMAT_KEY, FORMAT.to_string().as_str())?;
    }
    Ok(transaction.commit()?)
}

/// Reads all of it once, so that a fault shows at the start and not in the middle of a failover.
pub(super) fn check(database: &Database) -> Result<InstanceId, Fault> {
    let transaction = database.begin_read()?;
    let sidecar = transaction.open_table(SIDECAR)?;
    let format = sidecar.get(FORMAT_KEY)?.and_then(|text| text.value().parse::<u32>().ok());
    match format {
        None => return Err(Fault::Record("it names no format".to_owned())),
        Some(found) if found > FORMAT => return Err(Fault::Format(found)),
        Some(_) => {}
    }
    let instance = sidecar.get(INSTANCE)?.map(|name| InstanceId::new(name.value()));
    let instance = instance.filter(|name| !name.as_str().is_empty());
    for entry in transaction.open_table(STORES)?.iter()? {
        decode::<StoreRecord>(entry?.1.value())?;
    }
    for entry in transaction.open_table(INTENTS)?.iter()? {
        decode::<Intent>(entry?.1.value())?;
    }
    instance.ok_or_else(|| Fault::Record("it names no instance".to_owned()))
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain structs with string keys")
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let broken = |error: serde_json::Error| Fault::Record(format!("a record does not read: {error}"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(broken)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(FORMAT) => {
            Err(Fault::Format(u32::try_from(found).unwrap_or(u32::MAX)))
        }
        _ => serde_json::from_value(value).map_err(broken),
    }
}
