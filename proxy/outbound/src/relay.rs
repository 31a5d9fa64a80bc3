//! Relay: from here on bytes flow both ways as they come (subscriptions, `MONITOR`).
//!
//! The socket is the client's own. Each chunk from the store is forwarded only while the lease lives; when the epoch moves
//! the client is cut, and its driver subscribes again at the new primary. A client that also writes over such a connection
//! is cut by a hold, because its writes can't be drained.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use foretoken_protocol::{Batch, Protocol, Session, Step};
use foretoken_transport::Stream;
use foretoken_types::{Access, Epoch};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::request::{Client, Target};
use crate::session::{Downstream, Over};
use crate::store::Store;
use crate::view::View;

const READ_BYTES: usize = 16 * 1024;

pub(crate) async fn serve<P: Protocol>(
    store: &Rc<Store<P>>,
    client: &Rc<Client<P>>,
    down: &mut Downstream,
    first: Batch,
) -> Result<(), Over> {
    let view = &store.view;
    let (endpoint, epoch) = admitted(view, &first, store.view.tunables().hold_max).await?;
    let key = client.session.borrow().key().clone();
    let mut up = store.pool.connect_bare(endpoint, &key).await.map_err(|_| Over)?;
    let mut wrote = first.access == Access::Write;
    send(view, epoch, &mut up, &first).await?;
    store.tally.answered_here(first.requests);
    let mut posture = view.watch();
    let mut draining = store.draining.clone();
    loop {
        // Before any wait: a pipeline brings more in one read than the request that began the relay.
        if pass_on(store, client, down, &mut up, epoch, &mut wrote).await? {
            return Ok(());
        }
        enum Turn {
            Up(Bytes),
            Down,
            Posture,
            Over,
        }
        // While nothing may be forwarded, nothing is read.
        let open = view.acknowledges(Some(epoch));
        let turn = tokio::select! {
            changed = posture.changed() => if changed.is_ok() { Turn::Posture } else { Turn::Over },
            _ = draining.wait_for(|draining| *draining) => Turn::Over,
            chunk = read(&mut up), if open => chunk.map_or(Turn::Over, Turn::Up),
            more = std::future::poll_fn(|cx| down.poll_read(cx)) => if more? { Turn::Down } else { Turn::Over },
        };
        match turn {
            Turn::Over => return Err(Over),
            Turn::Posture => {
                let (moved, held) = {
                    let posture = view.posture();
                    (posture.epoch != epoch, posture.hold.is_some_and(|hold| hold.keeps(Access::Write)))
                };
                if moved || (held && wrote) {
                    return Err(Over);
                }
            }
            Turn::Up(chunk) => down.forward(view, Some(epoch), chunk).await?,
            Turn::Down => {}
        }
    }
}

/// Sends the requests on that have been read. `true`: the client has said goodbye.
async fn pass_on<P: Protocol>(
    store: &Rc<Store<P>>,
    client: &Rc<Client<P>>,
    down: &mut Downstream,
    up: &mut Stream,
    epoch: Epoch,
    wrote: &mut bool,
) -> Result<bool, Over> {
    let view = &store.view;
    loop {
        let step = client.session.borrow_mut().step(&mut down.input);
        match step {
            Step::Starved => return Ok(false),
            Step::Batch(batch) | Step::Long(batch) => {
                *wrote |= batch.access == Access::Write;
                send(view, epoch, up, &batch).await?;
                store.tally.answered_here(batch.requests);
            }
            Step::Piece { bytes, .. } => up.write_all(&bytes).await.map_err(|_| Over)?,
            Step::Answer { reply, close } => {
                down.forward(view, None, reply).await?;
                if close {
                    return Ok(true);
                }
            }
        }
    }
}

async fn admitted(view: &View, batch: &Batch, within: std::time::Duration) -> Result<(usize, Epoch), Over> {
    let mut posture = view.watch();
    let wait = async {
        loop {
            if let Some(Target::Primary(endpoint, epoch)) = view.admit(batch, true, view.now()) {
                return Ok((endpoint, epoch));
            }
            posture.changed().await.map_err(|_| Over)?;
        }
    };
    tokio::time::timeout(within, wait).await.map_err(|_| Over)?
}

async fn send(view: &View, epoch: Epoch, up: &mut Stream, batch: &Batch) -> Result<(), Over> {
    let now = view.now();
    let admitted = {
        let posture = view.posture();
        posture.epoch == epoch && posture.admits(batch.access, now)
    };
    if !admitted {
        return Err(Over);
    }
    up.write_all(&batch.frames).await.map_err(|_| Over)?;
    up.flush().await.map_err(|_| Over)
}

async fn read(up: &mut Stream) -> Option<Bytes> {
    std::future::poll_fn(|cx| {
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *up).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => Poll::Ready(None),
            Poll::Ready(Ok(())) => Poll::Ready(Some(BytesMut::from(buf.filled()).freeze())),
        }
    })
    .await
}
