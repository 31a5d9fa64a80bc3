//! The rules of a change, apart from where it is kept.

use foretoken_types::Epoch;

use crate::{Error, Intent, Result};

/// Whether a record of epoch `new` may replace one of epoch `found`.
pub(crate) fn may_replace(found: Option<Epoch>, expected: Option<Epoch>, new: Epoch) -> Result<()> {
    if found == expected && found.is_none_or(|found| new > found) {
        Ok(())
    } else {
        Err(Error::EpochMoved { found })
    }
}

/// Whether `intent` may be recorded in epoch `found`, beside `existing`.
pub(crate) fn may_intend(found: Option<Epoch>, existing: Option<&Intent>, intent: &Intent) -> Result<()> {
    if let Some(existing) = existing {
        return Err(Error::IntentExists { found: existing.operation });
    }
    if found == Some(intent.epoch) { Ok(()) } else { Err(Error::EpochMoved { found }) }
}
