//! Route: the connection that carries a request, and the fence just before it is sent.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use foretoken_protocol::{
    Batch, Carriage, ChunkReceiver, Protocol, Reply, Restore, Retirement, Session, Upstream,
};
use foretoken_types::{Access, BootInstant, Epoch, Fault, FaultKind};
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;
use tower::Service;

use crate::pool::{Found, Pool};
use crate::request::{Client, Handle, Own, Request, Response, Target};
use crate::view::View;

/// A request that came just now is sent as it is.
const WAITED_LEAST: Duration = Duration::from_millis(5);

/// The innermost service: sends a request over the connection that it needs.
pub(crate) struct Route<P: Protocol> {
    pool: Rc<Pool<P>>,
    view: Rc<View>,
}

impl<P: Protocol> Clone for Route<P> {
    fn clone(&self) -> Self {
        Self { pool: Rc::clone(&self.pool), view: Rc::clone(&self.view) }
    }
}

impl<P: Protocol> Route<P> {
    pub(crate) const fn new(pool: Rc<Pool<P>>, view: Rc<View>) -> Self {
        Self { pool, view }
    }

    /// The shared connection that this client used last, if it is still the right one, or the one that the pool has for it.
    fn shared(&self, request: &Request<P>, endpoint: usize) -> Found<P::Upstream> {
        if let Some(upstream) = self.last(request, endpoint) {
            return Found::Open(upstream);
        }
        put_away_own(&self.pool, &request.client);
        let key = request.client.session.borrow().key().clone();
        let found = self.pool.shared(endpoint, &key);
        if let Found::Open(upstream) = &found {
            remember(&self.view, &request.client, upstream, endpoint);
        }
        found
    }

    fn last(&self, request: &Request<P>, endpoint: usize) -> Option<P::Upstream> {
        let shared = request.client.shared.borrow();
        let handle = shared.as_ref()?;
        let fits = handle.endpoint == endpoint
            && handle.epoch == self.view.epoch()
            && handle.key == *request.client.session.borrow().key()
            && handle.upstream.is_open()
            && handle.upstream.is_shareable();
        fits.then(|| handle.upstream.clone())
    }
}

impl<P: Protocol> Service<Request<P>> for Route<P> {
    type Response = Response;
    type Error = Fault;
    type Future = RouteFuture<<P::Upstream as Upstream>::Pending>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<P>) -> Self::Future {
        let (endpoint, epoch) = match request.target {
            Target::Primary(endpoint, epoch) => (endpoint, Some(epoch)),
            Target::Mirror(endpoint) => (endpoint, None),
            Target::Open => return RouteFuture::slow(async { Err(Fault::safe(FaultKind::EpochMoved)) }),
        };
        let shareable = request.batch.carriage == Carriage::Shared
            && request.body.is_none()
            && !request.client.session.borrow().is_pinned();
        let found = if shareable { self.shared(&request, endpoint) } else { Found::Full };
        match found {
            Found::Open(upstream) if self.view.still_admits(request.target, request.batch.access) => {
                RouteFuture::Sent { pending: upstream.send(&request.batch), epoch }
            }
            Found::Open(_) => RouteFuture::slow(async { Err(Fault::safe(FaultKind::EpochMoved)) }),
            Found::Connecting(connecting) => {
                let view = Rc::clone(&self.view);
                RouteFuture::slow(async move {
                    let upstream = connecting.await?;
                    remember(&view, &request.client, &upstream, endpoint);
                    if !view.still_admits(request.target, request.batch.access) {
                        return Err(Fault::safe(FaultKind::EpochMoved));
                    }
                    Ok(Response::of(upstream.send(&request.batch).await?, epoch))
                })
            }
            Found::Full => {
                let Self { pool, view } = self.clone();
                RouteFuture::slow(async move { over_own(&pool, &view, &request, endpoint, epoch).await })
            }
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum RouteFuture<F> {
        Sent { #[pin] pending: F, epoch: Option<Epoch> },
        Slow { future: LocalBoxFuture<'static, Result<Response, Fault>> },
    }
}

impl<F> RouteFuture<F> {
    fn slow(future: impl Future<Output = Result<Response, Fault>> + 'static) -> Self {
        Self::Slow { future: Box::pin(future) }
    }
}

impl<F: Future<Output = Result<Reply, Fault>>> Future for RouteFuture<F> {
    type Output = Result<Response, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Sent { pending, epoch } => {
                pending.poll(cx).map(|result| Ok(Response::of(result?, *epoch)))
            }
            Projected::Slow { future } => future.as_mut().poll(cx),
        }
    }
}

/// The client's next requests find their connection without a look-up.
fn remember<P: Protocol>(view: &View, client: &Client<P>, upstream: &P::Upstream, endpoint: usize) {
    let key = client.session.borrow().key().clone();
    let handle = Handle { upstream: upstream.clone(), key, epoch: view.epoch(), endpoint };
    *client.shared.borrow_mut() = Some(handle);
}

/// A session that has logged in on a connection of its own and now turns to the shared ones leaves it to them.
fn put_away_own<P: Protocol>(pool: &Pool<P>, client: &Client<P>) {
    let mut own = client.own.borrow_mut();
    if own.as_ref().is_some_and(|own| own.surplus.get())
        && let Some(own) = own.take()
    {
        own.given.set(true);
        pool.offer(own.endpoint, own.epoch, client.session.borrow().key(), own.upstream.clone());
    }
}

/// Over a connection that serves this session alone.
async fn over_own<P: Protocol>(
    pool: &Rc<Pool<P>>,
    view: &View,
    request: &Request<P>,
    endpoint: usize,
    epoch: Option<Epoch>,
) -> Result<Response, Fault> {
    let (client, batch) = (&request.client, &request.batch);
    if let Some(answer) = provide_own(pool, view, request, endpoint).await? {
        return Ok(Response::ours(Some(Reply::whole(answer))));
    }
    let upstream = match client.own.borrow().as_ref() {
        Some(own) => {
            own.surplus.set(false);
            own.upstream.clone()
        }
        None => return Err(Fault::safe(FaultKind::EpochMoved)),
    };
    if !view.still_admits(request.target, batch.access) {
        return Err(Fault::safe(FaultKind::EpochMoved));
    }
    if batch.carriage == Carriage::Blocking {
        client.blocked_since.set(Some(view.just_now()));
    }
    let pending = match shorter(request, view.now()) {
        Some(frames) => upstream.send(&Batch { frames, ..*batch }),
        None => upstream.send(batch),
    };
    let body = request.body.as_ref().and_then(|body| body.take());
    let reply = match body {
        None => pending.await,
        Some(body) => long(&upstream, pending, body).await,
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(fault) => {
            client.own.borrow_mut().take();
            // What a read, or a command that was to be queued, left on the lost connection is lost with it. The session was
            // told nothing: on another connection, brought into the state before it, it goes again.
            let again = batch.access == Access::Read && fault.kind != FaultKind::Malformed;
            return Err(if again { Fault::safe(fault.kind) } else { fault });
        }
    };
    if client.session.borrow().turned_away(&reply.first) {
        // While the roles are exchanged the old primary serves reads, and refuses to queue writes.
        upstream.close();
        client.own.borrow_mut().take();
        return Err(Fault::safe(FaultKind::NotServing));
    }
    let in_vain =
        batch.carriage == Carriage::Blocking && client.session.borrow().waited_in_vain(batch, &reply.first);
    let retirement = client.session.borrow_mut().replied(batch, &reply.first);
    if retirement == Retirement::Spent {
        client.own.borrow_mut().take();
    }
    if let Some(own) = client.own.borrow().as_ref() {
        own.surplus.set(retirement == Retirement::Surplus);
    }
    // The session has taken over what such a reply says; refused after that, the client would think otherwise.
    let told = matches!(retirement, Retirement::Surplus | Retirement::Spent | Retirement::Told);
    let right = if told { None } else { epoch };
    Ok(Response { in_vain, ..Response::of(reply, right) })
}

/// Sees to it that the client has a connection of its own to `endpoint`, in the state that its session is in. `Some` answers the
/// request without it.
///
/// # Errors
/// [`FaultKind::Pinned`]: the connection is lost, and with it state that can't be moved. Otherwise it can be tried again.
pub(crate) async fn provide_own<P: Protocol>(
    pool: &Rc<Pool<P>>,
    view: &View,
    request: &Request<P>,
    endpoint: usize,
) -> Result<Option<Bytes>, Fault> {
    let client = &request.client;
    let at = view.epoch();
    let usable =
        |own: &Own<P::Upstream>| own.epoch == at && own.endpoint == endpoint && own.upstream.is_open();
    if client.own.borrow().as_ref().is_some_and(usable) {
        return Ok(None);
    }
    let lost = client.own.borrow_mut().take().is_some() || client.session.borrow().is_pinned();
    if lost && let Some(answer) = client.session.borrow_mut().moved(&request.batch) {
        return Ok(Some(answer));
    }
    let restore = client.session.borrow().restore();
    let Restore::Replay { frames, requests } = restore else {
        return Err(Fault::safe(FaultKind::Pinned));
    };
    let key = client.session.borrow().key().clone();
    let upstream = pool.connect(endpoint, &key, false).await?;
    // From here on it is closed if it is not kept.
    let own = Own { upstream, epoch: at, endpoint, surplus: Cell::new(false), given: Cell::new(false) };
    if requests > 0 {
        replay(&own.upstream, view, request, frames, requests).await?;
    }
    *client.own.borrow_mut() = Some(own);
    Ok(None)
}

/// A request that waits at the server has less time for it when it has waited here, or at another server.
fn shorter<P: Protocol>(request: &Request<P>, now: BootInstant) -> Option<Bytes> {
    let waited = now.since(request.since);
    let blocks = request.batch.carriage == Carriage::Blocking && waited >= WAITED_LEAST;
    blocks.then(|| request.client.session.borrow().with_less_time(&request.batch, waited))?
}

/// Brings a new connection into the state that the session had on its lost one.
async fn replay<P: Protocol>(
    upstream: &P::Upstream,
    view: &View,
    request: &Request<P>,
    frames: Bytes,
    requests: u32,
) -> Result<(), Fault> {
    if !view.still_admits(request.target, request.batch.access) {
        return Err(Fault::safe(FaultKind::EpochMoved));
    }
    let (carriage, quiet) = (Carriage::Dedicated, true);
    let batch = Batch { frames, requests, carriage, quiet, ..request.batch };
    let fault = match upstream.send(&batch).await {
        Ok(reply) => match request.client.session.borrow().restored(&reply.first) {
            Ok(()) => return Ok(()),
            Err(kind) => kind,
        },
        Err(fault) if fault.kind == FaultKind::NotServing => fault.kind,
        Err(_) => FaultKind::Reset,
    };
    // What was queued is only executed by its EXEC, which was not sent.
    Err(Fault::safe(fault))
}

/// Sends the rest of a long request while its reply is awaited.
async fn long<U: Upstream>(
    upstream: &U,
    pending: U::Pending,
    mut body: ChunkReceiver,
) -> Result<Reply, Fault> {
    let feed = async {
        loop {
            match body.next().await {
                Ok(Some(bytes)) => upstream.extend(bytes).await?,
                Ok(None) => return Ok::<(), Fault>(()),
                Err(fault) => {
                    // The client left in the middle: the server must never see the rest, nor wait for it.
                    upstream.close();
                    return Err(fault);
                }
            }
        }
    };
    tokio::pin!(feed, pending);
    tokio::select! {
        fed = &mut feed => { fed?; pending.await }
        early = &mut pending => early,
    }
}
