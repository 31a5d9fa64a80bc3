//! Our own keys in a store's database 0.

use foretoken_types::StoreId;

/// The key of the write probe. Nobody creates it.
pub(super) const PROBE: &str = "__ft:probe";

/// The keys of one store. The braces are part of the names: they make all of them hash to one slot.
#[derive(Debug)]
pub(super) struct Keys {
    /// The marker (PROTOCOL 7.3).
    pub(super) epoch: String,
    /// The owner record (PROTOCOL 5.5).
    pub(super) owner: String,
    /// A sorted set: instance to the end of its registration, in ms of the server's clock.
    pub(super) followers: String,
}

impl Keys {
    pub(super) fn of(store: &StoreId) -> Self {
        let key = |what: &str| format!("__ft:{{{store}}}:{what}");
        Self { epoch: key("epoch"), owner: key("owner"), followers: key("followers") }
    }
}
