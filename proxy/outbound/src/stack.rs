//! THE tower stack: one layer a line, outermost first, each with the reason for its place.
//!
//! Retry stands above Hold and Authorize, since a request that goes again must be admitted again: under the epoch and to
//! the primary of that moment. There is no in-flight limit in the stack because a session has one batch under way, and the
//! number of sessions is bounded where they are accepted. The endpoint sensor is the [`foretoken_protocol::Meter`] inside each
//! connection: only there the first byte of a reply and a late reply can be seen.

use std::rc::Rc;

use foretoken_protocol::Protocol;
use foretoken_stack::{HoldLayer, SensorLayer};
use foretoken_types::Fault;
use tower::retry::RetryLayer;
use tower::{Service, ServiceBuilder};

use crate::authorize::AuthorizeLayer;
use crate::durable::DurableLayer;
use crate::gate::Admission;
use crate::request::{Request, Response};
use crate::rescue::RescueLayer;
use crate::retry::Again;
use crate::route::Route;
use crate::store::Store;
use crate::tally::Felt;

/// The stack of one session.
pub(crate) fn build<P: Protocol>(
    store: &Store<P>,
) -> impl Service<Request<P>, Response = Response, Error = Fault> + Clone + use<P> {
    let view = || Rc::clone(&store.view);
    ServiceBuilder::new()
        .layer(SensorLayer::new(Felt(Rc::clone(&store.tally)))) // outermost: includes the time held and tries again
        .layer(RescueLayer::new(view(), Rc::clone(&store.tally))) // below it errors are ours, above it the store's words
        .layer(RetryLayer::new(Again::new(view()))) // above Hold: who goes again is admitted again
        .layer(HoldLayer::new(Admission::new(view(), Rc::clone(&store.held)))) // above Authorize: held, then authorised
        .layer(AuthorizeLayer::new(view())) // stamps the epoch going down, checks it coming up
        .layer(DurableLayer::new(view(), store.asks.clone())) // below Authorize: the right is checked after the wait
        .service(Route::new(Rc::clone(&store.pool), view())) // checks it once more, where it is used
}
