//! What the listener asks the control loop for.

use std::time::Duration;

use async_trait::async_trait;
use foretoken_types::{EndpointId, Epoch, StoreId};

use crate::model::{GateNews, Readiness, StoreStatus, SwitchoverReport, SwitchoverRequest};

/// Why a switchover was not even considered. One whose checks failed, or that was taken back, is no error: it has a
/// [`SwitchoverReport`] that says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchoverError {
    /// No store has this name.
    #[error("there is no store \"{0}\" in the configuration")]
    UnknownStore(StoreId),
    /// The store has no endpoint of this name.
    #[error("store \"{store}\" has no endpoint \"{endpoint}\"")]
    UnknownEndpoint {
        /// The store.
        store: StoreId,
        /// The name that was asked for.
        endpoint: EndpointId,
    },
    /// Another change of primary is under way.
    #[error("another change of primary is under way: {0}")]
    Busy(String),
    /// This sidecar is not in charge of the store.
    #[error("this sidecar is not in charge of store \"{store}\": {why}")]
    NotInCharge {
        /// The store.
        store: StoreId,
        /// Who is, or why nobody.
        why: String,
    },
    /// The sidecar is shutting down.
    #[error("the sidecar is shutting down")]
    Draining,
    /// It was begun and its end is not known: an endpoint did not answer, or the disk failed.
    #[error("{0}")]
    Failed(String),
}

/// The stores of a running sidecar. The control loop implements it; the listener only asks.
#[async_trait]
pub trait Stores: Send + Sync {
    /// Every store, in the order of the configuration. Never waits: it reads what was published last.
    fn list(&self) -> Vec<StoreStatus>;

    /// Moves the primary role of `store`, or only checks whether it could.
    ///
    /// # Errors
    /// See [`SwitchoverError`]. Checks that fail are a report with [`Refused`](crate::model::SwitchoverOutcome::Refused).
    ///
    /// # Cancel safety
    /// Dropping the future loses the report and nothing else: a switchover that has begun goes on to its end.
    async fn switchover(
        &self,
        store: &StoreId,
        request: SwitchoverRequest,
    ) -> Result<SwitchoverReport, SwitchoverError>;

    /// What a gate in front of `store` needs to know; `None`: there is no such store, or none of its endpoints has a gate.
    /// Waits at most `wait` for another epoch than `known`.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    async fn gate_news(&self, store: &StoreId, known: Option<Epoch>, wait: Duration) -> Option<GateNews>;

    /// Whether the sidecar has started, lives and serves. Never waits.
    fn ready(&self) -> Readiness;

    /// Begins what SIGTERM begins: the sidecar drains and ends. From then on it is not ready. Never waits; asking again
    /// changes nothing.
    fn exit(&self);
}
