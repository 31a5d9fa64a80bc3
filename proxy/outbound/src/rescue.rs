//! Rescue: a fault becomes the store's own words, so that a session never sees an `Err`.
//!
//! Requests of which some only read and some may write share a batch, and so a fault. When nobody knows what became of the
//! writes, the batch is handed back taken apart: the reads go again, and the writes come by once more for their words. So is a
//! batch with a write that its data block does not let wait: the others may have time.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use foretoken_protocol::{Batch, Carriage, Protocol, Refusal, Reply, Session};
use foretoken_types::{Access, Fault, FaultKind, Resend};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::request::{Apart, Client, Request, Response};
use crate::retry::may_resend;
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
            whole: request.body.is_none(),
            fate: match request.ended {
                Some(fault) => Fate::Known { fault },
                None => Fate::Open { inner: self.inner.call(request) },
            },
        }
    }
}

pin_project! {
    pub(crate) struct RescueFuture<F, P: Protocol> {
        layer: RescueLayer,
        batch: Batch,
        client: Rc<Client<P>>,
        whole: bool,
        #[pin]
        fate: Fate<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Fate<F> {
        Open { #[pin] inner: F },
        Known { fault: Fault },
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
        let fault = match this.fate.project() {
            Projected::Known { fault } => *fault,
            Projected::Open { inner } => match ready!(inner.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(fault) => {
                    let apart = apart(this.batch, *this.whole, this.client, fault);
                    // Pieces that have not ended yet are counted when they do.
                    if apart.as_ref().is_none_or(|apart| apart.ended.is_some()) {
                        this.layer.tally.fault(fault.kind);
                    }
                    if apart.is_some() {
                        return Poll::Ready(Ok(Response { apart, ..Response::ours(None) }));
                    }
                    fault
                }
            },
        };
        // What was refused without being sent leaves the connection in another state than the session: a `MULTI` may be open.
        this.client.own.borrow_mut().take();
        // What is in doubt is so for the epoch in which it was sent, which may be over.
        let epoch = fault.epoch.unwrap_or_else(|| this.layer.view.epoch());
        let Refusal { words, in_doubt, not_executed } =
            this.client.session.borrow_mut().refuse(this.batch, fault, epoch);
        Poll::Ready(Ok(Response { in_doubt, not_executed, ..Response::ours(words.map(Reply::whole)) }))
    }
}

/// The batch taken apart, when that saves requests from the fate of those that they travelled with: reads from that of writes
/// in doubt, all from that of writes that may not wait.
fn apart<P: Protocol>(batch: &Batch, whole: bool, client: &Client<P>, fault: Fault) -> Option<Apart> {
    let in_doubt = fault.resend == Resend::Unknown && batch.access == Access::Write;
    let refused = fault.kind == FaultKind::HoldRefused;
    let helps = refused || (in_doubt && may_resend(fault, Access::Read, batch.carriage));
    if !helps || !whole || batch.carriage != Carriage::Shared {
        return None;
    }
    let pieces = client.session.borrow().apart(batch);
    (pieces.len() > 1).then(|| Apart { pieces, ended: (!refused).then_some(fault) })
}
