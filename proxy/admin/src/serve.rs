//! Connections: accepted, bounded, served, drained.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use foretoken_token::Fingerprint;
use foretoken_transport::{Accepted, ServerTls, Stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::events::{Cut, Streams};
use crate::gate::{Caller, Doors, Gate, Told};
use crate::recorder::MetricsPage;
use crate::secret::Secret;
use crate::server::{REQUEST_MAX, Server, router};
use crate::stores::Stores;
use crate::tokens::Tokens;

/// Connections of one listener; further ones wait in the kernel's queue. Each listener has its own, so that a crowd on
/// TCP does not keep the operator out of the Unix socket.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take for a request's head, and how long it may idle between two.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// After this a connection gets no further request: one that never reads its answers would stay for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// How long connections get to finish at the end.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Head start of the operating system when it has no file descriptors or memory left for another connection.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Where to listen: bound already, so that a fault is found before anything starts.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The operator's door. Its file must have mode 0600.
    pub unix: Option<UnixListener>,
    /// For health checks and metrics.
    pub tcp: Option<TcpListener>,
    /// TLS on `tcp`. A client certificate that it accepts is a credential beside the bearer secret.
    pub tls: Option<ServerTls>,
}

/// What the listener needs to know.
#[derive(Debug)]
pub struct Params {
    /// What a caller over TCP must present to change things; `None` lets nobody do so.
    pub secret: Option<Secret>,
    /// Whether callers on loopback may change things without it.
    pub open: bool,
    /// Who else is known; each request goes by the newest.
    pub doors: watch::Receiver<Arc<Doors>>,
}

impl Default for Params {
    /// Nobody is known but the owner of the Unix socket.
    fn default() -> Self {
        Self { secret: None, open: false, doors: watch::channel(Arc::default()).1 }
    }
}

/// Serves until `shutdown` resolves and the requests under way are answered (5 s at most).
///
/// # Cancel safety
/// Dropping the future closes the listeners and cuts every connection.
pub async fn serve(
    listeners: Listeners,
    params: Params,
    stores: Arc<dyn Stores>,
    tokens: Option<Arc<dyn Tokens>>,
    metrics: MetricsPage,
    shutdown: impl Future<Output = ()>,
) {
    let uid = rustix::process::geteuid().as_raw();
    let gate =
        Gate { secret: params.secret, open: params.open, uid, doors: params.doors, told: Told::default() };
    let (stop, stopped) = watch::channel(false);
    let streams = Streams::new(stopped.clone());
    let router = router(Arc::new(Server { stores, tokens, metrics, gate, streams }));
    let unix = async {
        if let Some(listener) = listeners.unix {
            accept_all(listener, router.clone(), stopped.clone()).await;
        }
    };
    let tcp = async {
        if let Some(listener) = listeners.tcp {
            let listener = Tcp { listener, tls: listeners.tls };
            accept_all(listener, router.clone(), stopped.clone()).await;
        }
    };
    let wait = async {
        shutdown.await;
        stop.send_replace(true);
    };
    tokio::join!(unix, tcp, wait);
}

/// What both kinds of listener can do.
trait Accept: Send {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// What is left to do before a connection speaks HTTP; within [`HEAD_MAX`]. None: it never will.
    type Opening: Future<Output = Option<(Self::Stream, Caller)>> + Send + 'static;

    /// Cancel safe, as tokio's are: no connection is lost.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Opening>> + Send;
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    type Opening = Ready<Option<(UnixStream, Caller)>>;

    async fn accept(&self) -> io::Result<Self::Opening> {
        let (stream, _) = self.accept().await?;
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        Ok(ready(Some((stream, Caller::Unix { uid }))))
    }
}

/// The TCP listener, with TLS or without.
struct Tcp {
    listener: TcpListener,
    tls: Option<ServerTls>,
}

impl Accept for Tcp {
    type Stream = Stream;
    type Opening = Pin<Box<dyn Future<Output = Option<(Stream, Caller)>> + Send>>;

    async fn accept(&self) -> io::Result<Self::Opening> {
        let (stream, peer) = self.listener.accept().await?;
        let accepted = Accepted::Tcp(stream.into_std()?);
        let tls = self.tls.clone();
        // The handshake is the connection's own time, not that of the next one.
        Ok(Box::pin(async move {
            match accepted.open(tls.as_ref(), HEAD_MAX).await {
                Ok(stream) => {
                    let holder = stream.peer_certificate().map(Fingerprint::of);
                    Some((stream, Caller::at(peer.ip(), holder)))
                }
                Err(error) => {
                    tracing::debug!(%peer, error = %error, "admin connection not opened");
                    None
                }
            }
        }))
    }
}

/// Accepts until told to stop, then awaits the connections.
async fn accept_all<L: Accept>(listener: L, router: Router, mut stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?, permit))
        };
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => accepted,
        };
        match accepted {
            Ok((opening, permit)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                connections.spawn(async move {
                    if let Some((stream, caller)) = opening.await {
                        connection(stream, caller, router, stopped).await;
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "admin connection not accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    // Callers who come now hear that nobody listens, instead of waiting in the kernel's queue.
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection<S>(stream: S, caller: Caller, router: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let cut = Cut::default();
    let cutting = cut.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(cutting.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => Some(ended),
        // A reader that takes nothing would be waited for for ever.
        () = cut.0.notified() => return,
        _ = stopped.wait_for(|stop| *stop) => None,
        () = tokio::time::sleep(CONNECTION_AGE_MAX) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(REQUEST_MAX + DRAIN_MAX, served).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended early");
    }
}

#[cfg(test)]
mod tests;
