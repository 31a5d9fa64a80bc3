//! The stack without sockets around it, for benches.

use foretoken_protocol::{Batch, Protocol, Reply};
use foretoken_types::Fault;
use tokio::sync::watch;
use tower::Service;

use crate::request::{Client, Response};
use crate::session::request;
use crate::stack;
use crate::store::{Store, StoreParams};

/// Sends the batches of one session through the stack of one store. `params` are as for a [`crate::DataPlane`]; `exchange`
/// is called with each batch, and gives its reply. To be used within a `LocalSet`.
pub fn exchange<P: Protocol + Clone>(
    params: &StoreParams<P>,
) -> impl AsyncFnMut(Batch) -> Result<Option<Reply>, Fault> {
    let (_, draining) = watch::channel(false);
    let store = Store::new(params, draining);
    let client = Client::<P>::new(store.protocol.session());
    let mut stack = stack::build(&store);
    async move |batch| {
        let request = request(&store, &client, batch, None);
        let Response { reply, .. } = stack.call(request).await?;
        Ok(reply)
    }
}
