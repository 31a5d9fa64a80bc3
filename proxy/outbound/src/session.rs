//! One client: bytes to steps, steps through the stack, replies back in order.
//!
//! A session has one batch under way. While it waits it goes on reading, within a bound, so that it notices a client that
//! leaves; while a slow client takes its reply nothing more is sent for it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use foretoken_protocol::{Batch, Carriage, ChunkSender, Protocol, Session, Step, chunks};
use foretoken_transport::Stream;
use foretoken_types::{Access, Epoch, Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tower::Service;

use crate::relay;
use crate::request::{Apart, Client, Request, Response, Target};
use crate::store::Store;
use crate::view::View;

/// One read.
const READ_BYTES: usize = 16 * 1024;
/// How far a session reads ahead of the batch that is under way.
const AHEAD_BYTES: usize = 1024 * 1024;
/// How far it reads ahead of a client that does not take its replies: a driver that writes a long pipeline to its end before
/// it reads would otherwise wait for us while we wait for it.
const AHEAD_STALLED_BYTES: usize = 16 * 1024 * 1024;
/// A client that takes nothing for this long is cut.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Bytes of a long request or reply that wait between the two sockets.
const PIPE_BYTES: usize = 256 * 1024;

/// The session is over: the client left, or must be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

/// The client's socket.
pub(crate) struct Downstream {
    pub(crate) stream: Stream,
    pub(crate) input: BytesMut,
    pub(crate) eof: bool,
    /// Bytes that were handed to the kernel.
    forwarded: u64,
}

impl Downstream {
    pub(crate) const fn new(stream: Stream, input: BytesMut) -> Self {
        Self { stream, input, eof: false, forwarded: 0 }
    }

    /// Reads what is there, once. Ready with `false` at the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Over>> {
        if self.eof {
            return Poll::Ready(Ok(false));
        }
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Err(Over)),
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(buf.filled());
                self.eof = buf.filled().is_empty();
                Poll::Ready(Ok(!self.eof))
            }
        }
    }

    /// Reads ahead for as long as there is something and fewer than `limit` bytes wait; an error means the client is gone.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, limit: usize) -> Result<(), Over> {
        while !self.eof && self.input.len() < limit {
            match self.poll_read(cx) {
                Poll::Pending | Poll::Ready(Ok(false)) => break,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(over)) => return Err(over),
            }
        }
        Ok(())
    }

    /// Waits for more bytes.
    async fn fill(&mut self, draining: &mut tokio::sync::watch::Receiver<bool>) -> Result<(), Over> {
        let idle = self.input.is_empty();
        if idle {
            // An idle session keeps no buffer.
            self.input = BytesMut::new();
        }
        let read = poll_fn(|cx| self.poll_read(cx));
        tokio::select! {
            biased;
            more = read => if more? { Ok(()) } else { Err(Over) },
            _ = draining.wait_for(|draining| *draining), if idle => Err(Over),
        }
    }

    /// Awaits `work` and reads ahead meanwhile. A client that leaves ends it only if `abandon`; one whose connection breaks
    /// ends it always.
    async fn alongside<T>(&mut self, abandon: bool, work: impl Future<Output = T>) -> Result<T, Over> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if self.poll_ahead(cx, AHEAD_BYTES).is_err() || (self.eof && abandon) {
                return Poll::Ready(Err(Over));
            }
            Poll::Pending
        })
        .await
    }

    /// Forwards a reply, or a part of one, that needs the right of `epoch` until its last byte has been handed to the kernel.
    pub(crate) async fn forward(
        &mut self,
        view: &View,
        epoch: Option<Epoch>,
        mut bytes: Bytes,
    ) -> Result<(), Over> {
        while !bytes.is_empty() {
            let progress = poll_fn(|cx| {
                // The place of the check is the place of use: nothing lies between it and write(2).
                if !view.acknowledges(epoch) {
                    return Poll::Ready(Err(Over));
                }
                match Pin::new(&mut self.stream).poll_write(cx, &bytes) {
                    Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Over)),
                    Poll::Ready(Ok(written)) => Poll::Ready(Ok(written)),
                    Poll::Pending => match self.poll_ahead(cx, AHEAD_STALLED_BYTES) {
                        Ok(()) => Poll::Pending,
                        Err(over) => Poll::Ready(Err(over)),
                    },
                }
            });
            let written = unless_stalled(progress).await??;
            bytes.advance(written);
            self.forwarded += written as u64;
        }
        // TLS gathers records; a plain socket has nothing to flush.
        if self.stream.is_tls() {
            unless_stalled(self.stream.flush()).await?.map_err(|_| Over)?;
        }
        Ok(())
    }
}

/// Gives `work` with the client's socket its time, which begins when it has to wait: nearly always it has not.
async fn unless_stalled<T>(work: impl Future<Output = T>) -> Result<T, Over> {
    let mut work = pin!(work);
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(WRITE_STALL, work).await.map_err(|_| Over),
    }
}

/// Serves one client until it leaves.
pub(crate) async fn serve<P: Protocol>(store: Rc<Store<P>>, stream: Stream) {
    let client = Client::<P>::new(store.protocol.session());
    let mut down = Downstream::new(stream, BytesMut::new());
    // How a session ends matters to nobody but the client, who sees it.
    let (Ok(()) | Err(Over)) = run(&store, &client, &mut down).await;
    // Says goodbye properly where the client still listens; it may be gone.
    tokio::time::timeout(WRITE_STALL, down.stream.shutdown()).await.ok();
}

async fn run<P: Protocol>(
    store: &Rc<Store<P>>,
    client: &Rc<Client<P>>,
    down: &mut Downstream,
) -> Result<(), Over> {
    let mut stack = crate::stack::build(store);
    let mut draining = store.draining.clone();
    loop {
        let step = client.session.borrow_mut().step(&mut down.input);
        match step {
            Step::Starved => down.fill(&mut draining).await?,
            Step::Answer { reply, close } => {
                store.tally.answered_here(1);
                down.forward(&store.view, None, reply).await?;
                if close {
                    return Ok(());
                }
            }
            // Apart, so that a session without one does not keep room for it.
            Step::Batch(batch) if batch.carriage == Carriage::Relay => {
                return Box::pin(relay::serve(store, client, down, batch, false)).await;
            }
            Step::Long(batch) if batch.carriage == Carriage::Relay => {
                return Box::pin(relay::serve(store, client, down, batch, true)).await;
            }
            Step::Batch(batch) => exchange(store, client, down, &mut stack, batch).await?,
            Step::Long(batch) => {
                let (feed, body) = chunks(PIPE_BYTES);
                let request = request(store, client, batch, Some(body));
                let response = feed_long(client, down, &feed, stack.call(request)).await?;
                answer(&store.view, down, response).await?;
            }
            // A piece of a request whose reply is already out: it was refused early.
            Step::Piece { .. } => {}
        }
    }
}

/// Sends a batch and forwards its replies.
async fn exchange<P: Protocol>(
    store: &Store<P>,
    client: &Rc<Client<P>>,
    down: &mut Downstream,
    stack: &mut impl Service<Request<P>, Response = Response, Error = Fault>,
    batch: Batch,
) -> Result<(), Over> {
    let whole = request(store, client, batch, None);
    let since = whole.since;
    let mut next = Some(whole);
    // What is left of a batch that was taken apart, last first.
    let mut left = Vec::new();
    while let Some(mut request) = next.take().or_else(|| left.pop()) {
        // A read that ends between the check of its right and the wire goes again.
        let again = (request.batch.access == Access::Read
            && matches!(request.batch.carriage, Carriage::Shared | Carriage::Dedicated))
        .then(|| request.clone());
        let (abandon, quiet) = (request.batch.carriage == Carriage::Blocking, request.batch.quiet);
        request.since = since;
        let mut response = down.alongside(abandon, stack.call(request)).await?;
        if let Some(Apart { pieces, ended }) =
            response.as_mut().ok().and_then(|response| response.apart.take())
        {
            // Pieces of which nothing was sent wait no longer, all together, than the batch would have.
            let waiting = ended.is_none().then(|| store.view.now());
            left.extend(pieces.into_iter().rev().map(|batch| {
                let ended = ended.filter(|_| batch.access == Access::Write);
                Request { ended, waiting, ..self::request(store, client, batch, None) }
            }));
            continue;
        }
        if quiet {
            continue;
        }
        let epoch = response.as_ref().map_or(None, |response| response.epoch);
        let forwarded = down.forwarded;
        let Err(over) = answer(&store.view, down, response).await else { continue };
        // This thread may have slept since the reply was authorised.
        let unseen = down.forwarded == forwarded && !store.view.acknowledges(epoch);
        next = Some(again.filter(|_| unseen).ok_or(over)?);
    }
    Ok(())
}

pub(crate) fn request<P: Protocol>(
    store: &Store<P>,
    client: &Rc<Client<P>>,
    batch: Batch,
    body: Option<foretoken_protocol::ChunkReceiver>,
) -> Request<P> {
    Request {
        batch,
        client: Rc::clone(client),
        target: Target::Open,
        since: store.view.now(),
        waiting: None,
        body: body.map(|body| Rc::new(Cell::new(Some(body)))),
        ended: None,
    }
}

async fn answer(view: &View, down: &mut Downstream, response: Result<Response, Fault>) -> Result<(), Over> {
    // The stack's Rescue leaves no error; should one come through, the client is cut rather than misled.
    let Response { reply, epoch, .. } = response.map_err(|_| Over)?;
    let reply = reply.ok_or(Over)?;
    down.forward(view, epoch, reply.first).await?;
    let Some(mut rest) = reply.rest else { return Ok(()) };
    // A reply of which a part is out can't be turned into a refusal any more: a fault cuts the client.
    while let Some(chunk) = rest.next().await.map_err(|_| Over)? {
        down.forward(view, epoch, chunk).await?;
    }
    Ok(())
}

/// Reads the rest of a long request into its pipe while the stack sends it on.
async fn feed_long<P: Protocol, T>(
    client: &Client<P>,
    down: &mut Downstream,
    feed: &ChunkSender,
    work: impl Future<Output = T>,
) -> Result<T, Over> {
    let mut work = pin!(work);
    let mut complete = false;
    let done = poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        while !complete && feed.poll_room(cx).is_ready() {
            let step = client.session.borrow_mut().step(&mut down.input);
            match step {
                Step::Piece { bytes, last } => {
                    feed.send(bytes);
                    if last {
                        feed.end(Ok(()));
                        complete = true;
                    }
                    // The stack's side has something to do now.
                    cx.waker().wake_by_ref();
                }
                Step::Starved => match down.poll_read(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false) | Err(_)) => {
                        feed.end(Err(Fault::unknown(FaultKind::Reset)));
                        return Poll::Ready(Err(Over));
                    }
                    Poll::Pending => break,
                },
                Step::Batch(_) | Step::Long(_) | Step::Answer { .. } => {
                    // The codec found the rest malformed: it can't be completed.
                    feed.end(Err(Fault::unknown(FaultKind::Malformed)));
                    return Poll::Ready(Err(Over));
                }
            }
        }
        Poll::Pending
    })
    .await?;
    Ok(done)
}
