//! Requests wait at a gate.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Decides which requests wait, and for how long.
pub trait Gate<Request> {
    /// Why a request does not go on.
    type Error;
    /// Resolves when the request may go on.
    type Wait: Future<Output = Result<(), Self::Error>>;

    /// `None`: the request goes on at once.
    fn wait(&self, request: &Request) -> Option<Self::Wait>;
}

/// Makes [`Hold`]s.
#[derive(Clone, Debug)]
pub struct HoldLayer<G> {
    gate: G,
}

impl<G> HoldLayer<G> {
    /// Requests wait at `gate`.
    pub const fn new(gate: G) -> Self {
        Self { gate }
    }
}

impl<G: Clone, S> Layer<S> for HoldLayer<G> {
    type Service = Hold<G, S>;

    fn layer(&self, inner: S) -> Hold<G, S> {
        Hold { gate: self.gate.clone(), inner }
    }
}

/// Lets requests wait at a [`Gate`], then passes them on.
///
/// The inner service is cloned for a request that waits, and must be ready at all times (`poll_ready` of a clone is not
/// called again).
#[derive(Clone, Debug)]
pub struct Hold<G, S> {
    gate: G,
    inner: S,
}

impl<G, S, Request> Service<Request> for Hold<G, S>
where
    G: Gate<Request>,
    S: Service<Request> + Clone,
    S::Error: From<G::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HoldFuture<G::Wait, S, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.gate.wait(&request) {
            None => HoldFuture { state: State::Calling { future: self.inner.call(request) } },
            Some(wait) => {
                HoldFuture { state: State::Waiting { wait, next: Some((self.inner.clone(), request)) } }
            }
        }
    }
}

pin_project! {
    /// Future of [`Hold`].
    pub struct HoldFuture<W, S, Request> where S: Service<Request> {
        #[pin]
        state: State<W, S, Request, S::Future>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<W, S, Request, F> {
        Waiting { #[pin] wait: W, next: Option<(S, Request)> },
        Calling { #[pin] future: F },
    }
}

impl<W, S, Request, E> Future for HoldFuture<W, S, Request>
where
    W: Future<Output = Result<(), E>>,
    S: Service<Request>,
    S::Error: From<E>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let future = match state.as_mut().project() {
                Projected::Calling { future } => return future.poll(cx),
                Projected::Waiting { wait, next } => {
                    ready!(wait.poll(cx))?;
                    let (mut inner, request) = next.take().expect("a gate is passed once");
                    inner.call(request)
                }
            };
            state.set(State::Calling { future });
        }
    }
}

#[cfg(test)]
mod tests;
