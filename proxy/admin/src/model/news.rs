//! What a gate is told.

use foretoken_token::PublishedKey;
use foretoken_types::{EndpointId, Epoch, StoreId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Key;

/// The word of the sidecar to a gate, as `GET /v1/gates/{store}` gives it.
///
/// `?epoch=E&wait=MS` lets the answer wait for a change: it comes as soon as the epoch is another one than E, and after MS
/// milliseconds in any case. Whoever asks may go on for so long as it was told, counted from the moment it *asked*: the answer
/// was true later than that, so nothing that happens to it on its way can stretch a right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GateNews {
    /// The store.
    #[schema(value_type = String)]
    pub store: StoreId,
    /// The epoch in force.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Its primary, when it is known.
    #[schema(value_type = Option<String>)]
    pub primary: Option<EndpointId>,
    /// For how long this word counts, in milliseconds from the question on.
    pub ttl_ms: u64,
    /// The keys that tokens of connections are verified with.
    #[schema(value_type = Vec<Key>)]
    pub keys: Vec<PublishedKey>,
}
