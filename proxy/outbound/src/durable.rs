//! Durable: while writes are synchronous, one is acknowledged only once a mirror has it (PROTOCOL 5.4).
//!
//! Not by Redis' `WAIT`: it counts any replica, foreign ones too, answers at once inside `MULTI`, is swallowed by `CLIENT REPLY
//! OFF`, and keeps everything behind it on its connection waiting. Instead the control plane is asked whether a mirror has
//! everything that the primary has executed so far, which a reply to a write is a part of; one answer does for all writes that
//! wait for it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use foretoken_protocol::{ChunkReceiver, ChunkSender, Protocol, chunks};
use foretoken_types::{Access, BootInstant, Durability, EndpointId, Epoch, Fault, FaultKind};
use pin_project_lite::pin_project;
use tokio::sync::{mpsc, oneshot};
use tower::{Layer, Service};

use crate::own_writes::OwnWrites;
use crate::request::{Request, Response, Target};
use crate::view::View;

/// How much of a long reply waits for a mirror.
const REST_MOST: usize = 256 * 1024;

/// Whether a mirror has everything that the primary of `epoch` had executed when this was asked.
#[derive(Debug)]
pub struct Ask {
    /// The epoch under which the write was sent.
    pub epoch: Epoch,
    /// Answered with a mirror that has it; dropped when that can't be told now, which is no answer.
    pub answer: oneshot::Sender<EndpointId>,
}

#[derive(Clone)]
pub(crate) struct DurableLayer {
    asker: Rc<Asker>,
}

impl DurableLayer {
    pub(crate) fn new(view: Rc<View>, asks: mpsc::Sender<Ask>) -> Self {
        Self { asker: Rc::new(Asker::new(view, asks)) }
    }
}

impl<S> Layer<S> for DurableLayer {
    type Service = Durable<S>;

    fn layer(&self, inner: S) -> Durable<S> {
        Durable { asker: Rc::clone(&self.asker), inner }
    }
}

/// Keeps the reply to a write until a mirror has the write.
#[derive(Clone)]
pub(crate) struct Durable<S> {
    asker: Rc<Asker>,
    inner: S,
}

impl<S, P> Service<Request<P>> for Durable<S>
where
    P: Protocol,
    S: Service<Request<P>, Response = Response, Error = Fault>,
{
    type Response = Response;
    type Error = Fault;
    type Future = DurableFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<P>) -> Self::Future {
        let wrote = match (request.target, request.batch.access) {
            (Target::Primary(_, epoch), Access::Write) => {
                request.client.own_writes.wrote();
                Some((epoch, Rc::clone(&request.client.own_writes)))
            }
            _ => None,
        };
        DurableFuture::Sent { asker: Rc::clone(&self.asker), wrote, inner: self.inner.call(request) }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum DurableFuture<F> {
        Sent { asker: Rc<Asker>, wrote: Option<(Epoch, Rc<OwnWrites>)>, #[pin] inner: F },
        Waiting { kept: Pin<Box<dyn Future<Output = Result<Response, Fault>>>> },
    }
}

impl<F> Future for DurableFuture<F>
where
    F: Future<Output = Result<Response, Fault>>,
{
    type Output = Result<Response, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let kept = match self.as_mut().project() {
            Projected::Waiting { kept } => return kept.as_mut().poll(cx),
            Projected::Sent { asker, wrote, inner } => {
                let response = ready!(inner.poll(cx))?;
                let Some((epoch, own)) = wrote.take() else { return Poll::Ready(Ok(response)) };
                if asker.view.follows_own_writes() {
                    own.follow(asker);
                }
                if response.in_vain || !asker.is_needed(epoch) {
                    return Poll::Ready(Ok(response));
                }
                Box::pin(Rc::clone(asker).keep(response, epoch))
            }
        };
        self.set(Self::Waiting { kept });
        self.poll(cx)
    }
}

/// Asks whether a mirror has a write.
pub(crate) struct Asker {
    view: Rc<View>,
    asks: mpsc::Sender<Ask>,
}

impl Asker {
    pub(crate) const fn new(view: Rc<View>, asks: mpsc::Sender<Ask>) -> Self {
        Self { view, asks }
    }

    /// Whether a write that was sent under `epoch` must reach a mirror. What has ended is the affair of the layers above.
    fn is_needed(&self, epoch: Epoch) -> bool {
        let posture = self.view.posture();
        posture.epoch == epoch && posture.durability == Durability::Synchronous
    }

    async fn keep(self: Rc<Self>, mut response: Response, epoch: Epoch) -> Result<Response, Fault> {
        self.confirmed(epoch).await?;
        if let Some(reply) = &mut response.reply
            && let Some(rest) = reply.rest.take()
        {
            // Replies to later requests of the batch are still to come, and what they tell of was executed later, too.
            let (sender, receiver) = chunks(REST_MOST);
            reply.rest = Some(receiver);
            tokio::task::spawn_local(self.pass(rest, sender, epoch));
        }
        Ok(response)
    }

    async fn pass(self: Rc<Self>, mut rest: ChunkReceiver, sender: ChunkSender, epoch: Epoch) {
        let passed = async {
            while let Some(chunk) = rest.next().await? {
                self.confirmed(epoch).await?;
                std::future::poll_fn(|cx| sender.poll_room(cx)).await;
                if sender.abandoned() {
                    break;
                }
                sender.send(chunk);
            }
            Ok(())
        };
        let ended = passed.await;
        sender.end(ended);
    }

    /// Waits until a mirror has everything that was executed so far, if it must.
    ///
    /// # Errors
    /// No mirror had it within `hold_max`, or the epoch ended: the write may survive or not.
    pub(crate) async fn confirmed(&self, epoch: Epoch) -> Result<(), Fault> {
        self.wait(epoch, || self.is_needed(epoch)).await.map(drop)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.view.epoch()
    }

    /// Waits until a mirror has everything that was executed so far, and tells which (an endpoint's number). `None`: that could
    /// not be found out in `epoch`, or not within `hold_max`.
    pub(crate) async fn mirror_with_all(&self, epoch: Epoch) -> Option<usize> {
        let mirror = self.wait(epoch, || self.view.epoch() == epoch).await.ok()??;
        self.view.index(&mirror)
    }

    /// Waits until something has changed. `false`: nothing will any more.
    pub(crate) async fn another_posture(&self) -> bool {
        self.view.watch().changed().await.is_ok()
    }

    /// Asks for as long as it is `wanted`, within `hold_max`.
    async fn wait(&self, epoch: Epoch, wanted: impl Fn() -> bool) -> Result<Option<EndpointId>, Fault> {
        let end = self.view.now() + self.view.tunables().hold_max;
        let mut posture = self.view.watch();
        while wanted() {
            let now = self.view.now();
            if now >= end {
                return Err(Fault::unknown(FaultKind::NotDurable));
            }
            if self.is_fenced() {
                return Err(Fault::unknown(FaultKind::LeaseEnded));
            }
            let (answer, answered) = oneshot::channel();
            tokio::select! {
                // An answer that is there counts, whatever else has changed meanwhile.
                biased;
                mirror = self.ask(Ask { epoch, answer }, answered) => {
                    if mirror.is_some() {
                        return Ok(mirror);
                    }
                }
                Ok(()) = posture.changed() => {}
                () = sleep_until(end, now) => {}
            }
        }
        Ok(None)
    }

    /// The primary is given up: no mirror will ever be told more by it.
    fn is_fenced(&self) -> bool {
        self.view.posture().hold.is_some_and(|hold| hold.fence)
    }

    async fn ask(&self, ask: Ask, answered: oneshot::Receiver<EndpointId>) -> Option<EndpointId> {
        if self.asks.send(ask).await.is_err() {
            // The control plane is gone; the lease ends by itself.
            return std::future::pending().await;
        }
        answered.await.ok()
    }
}

async fn sleep_until(end: BootInstant, now: BootInstant) {
    tokio::time::sleep(now.until(end)).await;
}
