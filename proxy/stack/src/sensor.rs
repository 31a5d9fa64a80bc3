//! An observer hears how each request ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Hears of each request when it starts.
pub trait Observe<Request> {
    /// What is remembered of a request while it is under way. It is dropped untold if the caller gives up.
    type Started;

    /// A request came.
    fn started(&self, request: &Request) -> Self::Started;
}

/// Hears how it ended: the other half of [`Observe`], for what it remembered.
pub trait Ended<Output> {
    /// The request ended with `output`.
    fn ended(self, output: &Output);
}

/// Makes [`Sensor`]s.
#[derive(Clone, Debug)]
pub struct SensorLayer<O> {
    observer: O,
}

impl<O> SensorLayer<O> {
    /// `observer` hears of each request.
    pub const fn new(observer: O) -> Self {
        Self { observer }
    }
}

impl<O: Clone, S> Layer<S> for SensorLayer<O> {
    type Service = Sensor<O, S>;

    fn layer(&self, inner: S) -> Sensor<O, S> {
        Sensor { observer: self.observer.clone(), inner }
    }
}

/// Tells an observer how each request ended.
#[derive(Clone, Debug)]
pub struct Sensor<O, S> {
    observer: O,
    inner: S,
}

impl<O, S, Request> Service<Request> for Sensor<O, S>
where
    S: Service<Request>,
    O: Observe<Request>,
    O::Started: Ended<Result<S::Response, S::Error>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SensorFuture<O::Started, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        SensorFuture { started: Some(self.observer.started(&request)), inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Future of [`Sensor`].
    pub struct SensorFuture<T, F> {
        started: Option<T>,
        #[pin]
        inner: F,
    }
}

impl<T, F> Future for SensorFuture<T, F>
where
    F: Future,
    T: Ended<F::Output>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        if let Some(started) = this.started.take() {
            started.ended(&output);
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests;
