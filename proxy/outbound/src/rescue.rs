//! Rescue: a fault becomes the store's own words, so that a session never sees an `Err`.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use foretoken_protocol::{Batch, Protocol, Refusal, Reply, Session};
use foretoken_types::Fault;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::request::{Client, Request, Response};
use crate::tally::StoreTally;
use crate::view::View;

#[derive(Clone)]
pub(crate) struct RescueLayer {
    view: Rc<View>,
    tally: Rc<StoreTally>,
}

impl RescueLayer {
    pub(crate) const fn new(view: Rc<View>, tally: Rc<StoreTally>) -> Self {
        Self { view, tally }
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { layer: self.clone(), inner }
    }
}

#[derive(Clone)]
pub(crate) struct Rescue<S> {
    layer: RescueLayer,
    inner: S,
}

impl<S, P> Service<Request<P>> for Rescue<S>
where
    P: Protocol,
    S: Service<Request<P>, Response = Response, Error = Fault>,
{
    type Response = Response;
    type Error = Fault;
    type Future = RescueFuture<S::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<P>) -> Self::Future {
        RescueFuture {
            layer: self.layer.clone(),
            batch: request.batch.clone(),
            client: Rc::clone(&request.client),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    pub(crate) struct RescueFuture<F, P: Protocol> {
        layer: RescueLayer,
        batch: Batch,
        client: Rc<Client<P>>,
        #[pin]
        inner: F,
    }
}

impl<F, P> Future for RescueFuture<F, P>
where
    P: Protocol,
    F: Future<Output = Result<Response, Fault>>,
{
    type Output = Result<Response, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let fault = match ready!(this.inner.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response)),
            Err(fault) => fault,
        };
        this.layer.tally.fault(fault.kind);
        // What was refused without being sent leaves the connection in another state than the session: a `MULTI` may be open.
        this.client.own.borrow_mut().take();
        let epoch = this.layer.view.epoch();
        let Refusal { words, in_doubt, not_executed } =
            this.client.session.borrow_mut().refuse(this.batch, fault, epoch);
        let reply = words.map(|first| Reply { first, rest: None });
        Poll::Ready(Ok(Response { reply, epoch: None, in_doubt, not_executed }))
    }
}
