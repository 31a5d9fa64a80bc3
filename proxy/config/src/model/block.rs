//! A named part of a store.

use foretoken_types::BlockId;

use crate::section::section;
use crate::value::KeyPrefix;

section! {
    /// A data block: a named part of the store, chosen by the beginning of its keys. Tokens are given for a block, and
    /// services have rights to blocks. Without this table there is only "*", which is all of the store.
    DataBlock {
        /// Its name, the dataBlockId of the API: 1 to 63 of a-z, 0-9 and -.
        fixed name: BlockId = required("sessions");
        /// What its keys begin with. Taken literally: a star in it is a star.
        fixed prefix: KeyPrefix = required("session:");
    }
}
