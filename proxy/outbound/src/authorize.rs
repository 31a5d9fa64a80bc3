//! Authorize: nothing is sent without the right to, and nothing acknowledged without it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use foretoken_protocol::Protocol;
use foretoken_types::{Fault, FaultKind};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::request::{Request, Response, Target};
use crate::view::{InFlightGuard, View};

#[derive(Clone)]
pub(crate) struct AuthorizeLayer {
    view: Rc<View>,
}

impl AuthorizeLayer {
    pub(crate) const fn new(view: Rc<View>) -> Self {
        Self { view }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { view: Rc::clone(&self.view), inner }
    }
}

/// Stamps a request with its target and epoch, and checks both again when the reply is there.
#[derive(Clone)]
pub(crate) struct Authorize<S> {
    view: Rc<View>,
    inner: S,
}

impl<S, P> Service<Request<P>> for Authorize<S>
where
    P: Protocol,
    S: Service<Request<P>, Response = Response, Error = Fault>,
{
    type Response = Response;
    type Error = Fault;
    type Future = AuthorizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<P>) -> Self::Future {
        // Hold has just looked, and Route looks again where the right is used.
        let now = self.view.just_now();
        let Some(target) = self.view.admit(&request.batch, &request.reader(), now) else {
            // The gate was passed a moment ago and the posture moved since: go round again.
            return AuthorizeFuture::Refused;
        };
        request.target = target;
        let guard = match target {
            Target::Primary(..) => Some(self.view.in_flight.enter(&request.batch)),
            Target::Mirror(_) | Target::Open => None,
        };
        AuthorizeFuture::Sent { view: Rc::clone(&self.view), target, guard, inner: self.inner.call(request) }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum AuthorizeFuture<F> {
        Refused,
        Sent { view: Rc<View>, target: Target, guard: Option<InFlightGuard>, #[pin] inner: F },
    }
}

impl<F> Future for AuthorizeFuture<F>
where
    F: Future<Output = Result<Response, Fault>>,
{
    type Output = Result<Response, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected::Sent { view, target, guard, inner } = self.project() else {
            return Poll::Ready(Err(Fault::safe(FaultKind::EpochMoved)));
        };
        let result = ready!(inner.poll(cx));
        guard.take();
        let epoch = match *target {
            Target::Primary(_, epoch) => Some(epoch),
            Target::Mirror(mirror) => {
                if result.is_err() {
                    view.shun(mirror);
                }
                None
            }
            Target::Open => None,
        };
        let mut response = result.map_err(|fault| fault.under(epoch))?;
        // What a layer below answered by itself needs no right.
        response.epoch = response.epoch.and(epoch);
        if view.acknowledges(response.epoch) {
            return Poll::Ready(Ok(response));
        }
        let moved = epoch != Some(view.epoch());
        let kind = if moved { FaultKind::EpochMoved } else { FaultKind::LeaseEnded };
        // At the new primary it may still find what it waits for.
        let fault = if response.in_vain { Fault::safe(kind) } else { Fault::unknown(kind) };
        Poll::Ready(Err(fault.under(epoch)))
    }
}
