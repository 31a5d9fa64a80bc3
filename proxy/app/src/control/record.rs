//! The machine's record in the registry's terms, and back.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use foretoken_failover::{Cause, Intent, Record, SaveFailure};
use foretoken_registry::{Error, IntentChange, IntentKind, Registry, StoreRecord};
use foretoken_types::{Operation, StoreId};

/// Milliseconds since 1970: for people, and for tokens that third parties judge by that clock. No right of our own ends by it.
pub(crate) fn unix_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a date for others")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the registry holds of `store`. Waits for the disk.
pub(super) fn load(registry: &dyn Registry, store: &StoreId) -> Result<Option<Record>, Error> {
    let Some((record, intent)) = registry.load(store)? else { return Ok(None) };
    // A record without a primary or a history says no more than its epoch, and that the markers tell as well.
    let (Some(primary), Some(history)) = (record.primary, record.history) else { return Ok(None) };
    Ok(Some(Record {
        epoch: record.epoch,
        primary,
        previous: record.previous,
        history,
        descends: record.descends,
        position: record.position.unwrap_or_default(),
        cause: match record.begun_by {
            None => Cause::Found,
            Some(IntentKind::Planned) => Cause::Switchover,
            Some(IntentKind::Reactive) => Cause::Failover,
        },
        owned: record.owned,
        intent: intent.map(|intent| Intent { from: intent.from, to: intent.to }),
    }))
}

/// Replaces `expected` by `record`. Waits for the disk.
pub(super) fn save(
    registry: &Arc<dyn Registry>,
    store: &StoreId,
    expected: Option<&Record>,
    record: &Record,
    operation: Operation,
) -> Result<(), SaveFailure> {
    write(&**registry, store, expected, record, operation).map_err(|error| match error {
        Error::EpochMoved { .. } | Error::IntentExists { .. } => match load(&**registry, store) {
            Ok(found) => SaveFailure::Conflict(found),
            Err(error) => SaveFailure::Failed(error.to_string()),
        },
        error => SaveFailure::Failed(error.to_string()),
    })
}

fn write(
    registry: &dyn Registry,
    store: &StoreId,
    expected: Option<&Record>,
    record: &Record,
    operation: Operation,
) -> Result<(), Error> {
    if let Some(before) = expected.filter(|before| before.epoch == record.epoch) {
        // The epoch stays: only the intent comes or goes.
        return match (&before.intent, &record.intent) {
            (None, Some(intent)) => registry.put_intent(
                store,
                &foretoken_registry::Intent {
                    kind: IntentKind::Planned,
                    from: intent.from.clone(),
                    to: intent.to.clone(),
                    epoch: record.epoch,
                    operation,
                    started_unix_ms: unix_ms(),
                },
            ),
            (Some(_), None) => registry.clear_intent(store),
            _ => Ok(()),
        };
    }
    let new = StoreRecord {
        primary: Some(record.primary.clone()),
        previous: record.previous.clone(),
        begun_by: match record.cause {
            Cause::Found => None,
            Cause::Switchover => Some(IntentKind::Planned),
            Cause::Failover => Some(IntentKind::Reactive),
        },
        history: Some(record.history.clone()),
        descends: record.descends.clone(),
        position: Some(record.position),
        owned: record.owned,
        since_unix_ms: unix_ms(),
        ..StoreRecord::new(record.epoch)
    };
    let intent = if record.intent.is_some() { IntentChange::Keep } else { IntentChange::Clear };
    registry.compare_and_swap(store, expected.map(|before| before.epoch), &new, intent)
}
