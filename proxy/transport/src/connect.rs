//! Reaching one address.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foretoken_types::Address;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{is_open_files, refused};
use crate::{ClientTls, Error, Stream, keepalive};

/// How to reach one server.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where.
    pub address: Address,
    /// The whole of it, name resolution and TLS handshake included, ends within this time.
    pub limit: Duration,
    /// TLS, or plain bytes without.
    pub tls: Option<ClientTls>,
    /// What is said first on each connection, before it is handed out.
    pub greeting: Option<Arc<dyn Greeting>>,
}

/// What is said first on a fresh connection, and heard, before anybody uses it: the way past a doorkeeper.
///
/// It stands here, as the TLS handshake does, so that no connection of any kind can forget it.
pub trait Greeting: fmt::Debug + Send + Sync {
    /// Says it and hears the answer. The connector sees to the time limit.
    ///
    /// # Cancel safety
    /// The stream can't be used any more when this was dropped.
    fn greet<'a>(&'a self, stream: &'a mut Stream) -> Greeted<'a>;
}

/// A greeting under way.
pub type Greeted<'a> = Pin<Box<dyn Future<Output = Result<(), Unwelcome>> + Send + 'a>>;

/// Why a greeting led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// The doorkeeper said no; its words.
    #[error("{0}")]
    Refused(String),
    /// The doorkeeper says that nobody listens behind it.
    #[error("nobody listens behind it")]
    NobodyBehind,
    /// The connection ended.
    #[error("the connection ended")]
    Io(#[from] io::Error),
}

impl Connector {
    /// Without TLS.
    #[must_use]
    pub fn plain(address: Address, limit: Duration) -> Self {
        Self { address, limit, tls: None, greeting: None }
    }

    /// Connects. A name is resolved anew by the system's resolver (`getaddrinfo`, on the runtime's blocking pool), so
    /// that `/etc/hosts`, search domains and a name that moves all count; its addresses are tried in the resolver's
    /// order, each with an even share of the time that is left.
    ///
    /// With TLS 1.3 a server checks our certificate after this returns: its refusal is the first thing that is read.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Timeout`], [`Error::Handshake`], [`Error::HandshakeTimeout`],
    /// [`Error::ServerName`], [`Error::Socket`]; with a greeting also [`Error::Unwelcome`] and [`Error::GreetingTimeout`].
    ///
    /// # Cancel safety
    /// Dropping it closes the socket. A resolution under way goes on on its thread, and its result is dropped.
    pub async fn connect(&self) -> Result<Stream, Error> {
        let deadline = Instant::now() + self.limit;
        let address = &self.address;
        // Before anything is sent: a name that can't be checked is a mistake in the configuration.
        let tls = match &self.tls {
            Some(tls) => Some((tls, tls.name_at(address)?)),
            None => None,
        };
        let stream = timeout_at(deadline, self.open(deadline))
            .await
            .map_err(|_| Error::Timeout { address: address.clone(), limit: self.limit })??;
        let mut stream = match tls {
            None => stream,
            Some((tls, name)) => {
                let peer = stream.peer();
                match timeout_at(deadline, tls.connector().connect(name, stream)).await {
                    Ok(Ok(stream)) => Stream::Tls(Box::new(stream.into())),
                    Ok(Err(source)) => return Err(Error::Handshake { peer, source }),
                    Err(_) => return Err(Error::HandshakeTimeout { peer, limit: self.limit }),
                }
            }
        };
        if let Some(greeting) = &self.greeting {
            let greeted = timeout_at(deadline, greeting.greet(&mut stream)).await;
            let greeted = greeted
                .map_err(|_| Error::GreetingTimeout { address: address.clone(), limit: self.limit })?;
            greeted.map_err(|source| Error::Unwelcome { address: address.clone(), source })?;
        }
        Ok(stream)
    }

    async fn open(&self, deadline: Instant) -> Result<Stream, Error> {
        let failed = |source| Error::Connect { address: self.address.clone(), source };
        match &self.address {
            Address::Tcp { host, port } => {
                let found = lookup_host((&**host, *port)).await;
                let found: Vec<_> = found.map_err(|error| failed(open_files().unwrap_or(error)))?.collect();
                let socket = first_of(&found, deadline).await.map_err(failed)?;
                keepalive::upstream(&socket).map_err(Error::Socket)?;
                Ok(Stream::Tcp(socket))
            }
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await.map_err(failed)?)),
        }
    }
}

/// The reason of a resolver that could not open its files or sockets, which it keeps to itself.
fn open_files() -> Option<io::Error> {
    std::fs::File::open("/dev/null").err().filter(is_open_files)
}

/// Connects to the first of `addresses` that accepts. If none does, the error is one that leaves the server's state
/// open, if there is such: only when *every* address refuses is it certain that nobody listens.
async fn first_of(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut worst: Option<io::Error> = None;
    for (tried, address) in addresses.iter().enumerate() {
        let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / untried;
        let error = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(e)) => e,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {address}")),
        };
        if worst.as_ref().is_none_or(refused) {
            worst = Some(error);
        }
    }
    Err(worst.unwrap_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address")))
}

#[cfg(test)]
mod tests;
