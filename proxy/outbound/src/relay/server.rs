//! The connection of a relay: the one that the session has, or a new one.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_protocol::{Batch, Carriage, Protocol, Session, Upstream};
use foretoken_transport::Stream;
use foretoken_types::{Access, Epoch, Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::must_wait;
use crate::request::{Client, Request, Target};
use crate::retry::may_resend;
use crate::route::provide_own;
use crate::session::{Over, request};
use crate::store::Store;
use crate::view::View;

/// One read.
const READ_BYTES: usize = 16 * 1024;
/// Between two tries to reach a server.
const BACKOFF: Duration = Duration::from_millis(50);

/// The connection to the primary of the moment.
pub(super) struct Server {
    stream: Stream,
    endpoint: usize,
    pub(super) epoch: Epoch,
    /// What it has said and nobody has taken.
    pub(super) input: BytesMut,
}

/// What the first relayed request gets.
pub(super) enum Begun {
    Server(Server),
    /// This, and no server: what its session had to lose is lost.
    Answer(Bytes),
}

impl Server {
    /// Takes the socket of a driven connection.
    async fn of(upstream: &impl Upstream, endpoint: usize, epoch: Epoch) -> Result<Self, Fault> {
        let stream = upstream.hand_over().await.ok_or(Fault::safe(FaultKind::EpochMoved))?;
        Ok(Self { stream, endpoint, epoch, input: BytesMut::new() })
    }

    pub(super) const fn target(&self) -> Target {
        Target::Primary(self.endpoint, self.epoch)
    }

    /// Sends what was admitted, while its epoch lasts: a server that takes nothing may be the reason why that ends.
    pub(super) async fn send(&mut self, view: &View, frames: &[u8]) -> Result<(), Over> {
        let sent = async {
            self.stream.write_all(frames).await?;
            self.stream.flush().await
        };
        tokio::select! {
            biased;
            sent = sent => sent.map_err(|_| Over),
            () = view.left(self.epoch) => Err(Over),
        }
    }

    /// Reads what is there, once. `false`: the server is gone.
    pub(super) async fn read(&mut self) -> bool {
        poll_fn(|cx| {
            let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_)) => Poll::Ready(false),
                Poll::Ready(Ok(())) => {
                    self.input.extend_from_slice(buf.filled());
                    Poll::Ready(!buf.filled().is_empty())
                }
            }
        })
        .await
    }
}

/// The session's own connection, which is in the session's state, for the first request that is relayed.
pub(super) async fn begin<P: Protocol>(
    store: &Store<P>,
    client: &Rc<Client<P>>,
    first: &Batch,
) -> Result<Begun, Fault> {
    if let Some(wait) = must_wait(store, client, first, store.view.now()) {
        wait.await?;
    }
    reach(store, first.access, async |endpoint, epoch| {
        let target = Target::Primary(endpoint, epoch);
        let request = Request { target, ..request(store, client, first.clone(), None) };
        if let Some(answer) = provide_own(&store.pool, &store.view, &request, endpoint).await? {
            return Ok(Begun::Answer(answer));
        }
        let own = client.own.borrow_mut().take().ok_or(Fault::safe(FaultKind::EpochMoved))?;
        Server::of(&own.upstream, endpoint, own.epoch).await.map(Begun::Server)
    })
    .await
}

/// A new connection, to the primary of an epoch behind `before`: that of the same one, if it can be reached again, has closed the
/// connection that is lost on purpose.
pub(super) async fn another<P: Protocol>(
    store: &Store<P>,
    client: &Client<P>,
    before: Epoch,
) -> Result<Server, Fault> {
    // Who takes writes is no primary that is about to leave.
    reach(store, Access::Write, async |endpoint, epoch| {
        let key = client.session.borrow().key().clone();
        let upstream = store.pool.connect(endpoint, &key, false).await?;
        if epoch == before {
            upstream.close();
            return Err(Fault::unknown(FaultKind::Reset));
        }
        Server::of(&upstream, endpoint, epoch).await
    })
    .await
}

/// Connects to the primary as soon as there is one that takes such requests, within `hold_max`.
async fn reach<P: Protocol, C>(
    store: &Store<P>,
    access: Access,
    connect: impl AsyncFn(usize, Epoch) -> Result<C, Fault>,
) -> Result<C, Fault> {
    let view = &store.view;
    let mut posture = view.watch();
    let reached = async {
        loop {
            if let Some((endpoint, epoch)) = view.primary_for(access, view.now()) {
                match connect(endpoint, epoch).await {
                    Err(fault) if may_resend(fault, access, Carriage::Relay) => {}
                    ended => return ended,
                }
            }
            tokio::select! {
                changed = posture.changed() => changed.map_err(|_| Fault::safe(FaultKind::Draining))?,
                () = tokio::time::sleep(BACKOFF) => {}
            }
        }
    };
    let within = view.tunables().hold_max;
    tokio::time::timeout(within, reached).await.unwrap_or(Err(Fault::safe(FaultKind::HoldExpired)))
}
