//! A named part of a store.

use std::time::Duration;

use foretoken_types::BlockId;

use super::{HeldWrites, Reads};
use crate::section::section;
use crate::value::KeyPrefix;

section! {
    /// A data block: a named part of the store, chosen by the beginning of its keys. Tokens are given for a block, services
    /// have rights to blocks, and what happens while the primary can't serve may be another in each. A command over several
    /// blocks takes the strictest; one whose keys can't be told (KEYS, SCAN, EVAL without keys) counts for all of them.
    /// Without this table there is only "*", which is all of the store, and nobody looks at keys.
    DataBlock {
        /// Its name, the dataBlockId of the API: 1 to 63 of a-z, 0-9 and -.
        fixed name: BlockId = required("sessions");
        /// What its keys begin with. Taken literally: a star in it is a star. Of several that fit a key the longest counts.
        fixed prefix: KeyPrefix = required("session:");
        /// Where reads of its keys go, as the store's key of the same name.
        /// Unset: as the store says.
        live reads: Option<Reads> = optional("mirror-when-held");
        /// Whether a mirror must have what the connection has written, as the store's key of the same name.
        /// Unset: as the store says.
        live read_your_writes: Option<bool> = optional(true);
        /// Greatest lag of a mirror that serves stale reads of its keys; at most the store's read_lag_max.
        /// Unset: as the store says.
        live read_lag_max: Option<Duration> = optional("2s") in "100ms" to "1h";
        /// What writes of its keys do while the primary can't serve, as the store's key of the same name.
        /// Unset: as the store says.
        live writes_when_held: Option<HeldWrites> = optional("refuse");
    }
}

impl DataBlock {
    /// Most blocks of a store: a set of them, "*" included, is one word.
    pub const MOST: usize = 63;
}
