//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretoken_types::Address;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::time::{sleep, timeout};

use crate::error::not_tls;
use crate::{Error, Peer, ServerTls, Stream, keepalive};

/// Connections that the kernel keeps until they are accepted; the same as tokio's for TCP. The system may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 1024;

/// Pause after an accept that failed for want of descriptors or memory. The client stays in the kernel's queue, so the
/// next try fails at once: without a pause the thread would do nothing else. Short against a client's patience.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed when the listener is dropped.
    Unix {
        /// The socket.
        socket: UnixListener,
        /// Its file.
        file: SocketFile,
    },
}

/// The file of a Unix socket, removed when dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: a successor's file at the same path is left alone.
    id: (u64, u64),
}

/// A client's socket, not yet bound to a thread's runtime.
#[derive(Debug)]
pub enum Accepted {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Listener {
    /// Binds and listens. The file of a Unix socket gets the permissions `mode` before anybody can connect; one that a
    /// dead process left is replaced. `mode` means nothing for TCP.
    ///
    /// # Errors
    /// [`Error::Listen`], also when a living process listens on the Unix socket, or when its path holds something that
    /// is not a socket.
    ///
    /// # Cancel safety
    /// Dropping it closes the socket; a new file of a Unix socket may stay behind, for the next start to replace.
    pub async fn bind(address: &Address, mode: u32) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: address.clone(), source };
        match address {
            Address::Tcp { host, port } => {
                Ok(Self::Tcp(TcpListener::bind((&**host, *port)).await.map_err(failed)?))
            }
            Address::Unix(path) => {
                remove_stale(path).await.map_err(failed)?;
                bind_unix(path, mode).map_err(failed)
            }
        }
    }

    /// The TCP address that it got, for a port of 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// The bare Unix socket and its file, for a server that accepts by itself; `None` for TCP.
    #[must_use]
    pub fn into_unix(self) -> Option<(UnixListener, SocketFile)> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix { socket, file } => Some((socket, file)),
        }
    }

    /// The next client. Call it again after an error: it paces itself when descriptors or memory have run out.
    ///
    /// # Errors
    /// [`Error::Accept`]: no client this time; it went away, or there are no descriptors left.
    /// [`Error::Socket`]: this client is lost. The listener goes on after either.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn accept(&self) -> Result<Accepted, Error> {
        let accepted = match self {
            Self::Tcp(listener) => match listener.accept().await {
                Ok((socket, _)) => {
                    keepalive::downstream(&socket).map_err(Error::Socket)?;
                    socket.into_std().map(Accepted::Tcp).map_err(Error::Socket)
                }
                Err(e) => Err(Error::Accept(e)),
            },
            Self::Unix { socket, .. } => match socket.accept().await {
                Ok((socket, _)) => socket.into_std().map(Accepted::Unix).map_err(Error::Socket),
                Err(e) => Err(Error::Accept(e)),
            },
        };
        if matches!(&accepted, Err(Error::Accept(e)) if !went_away(e)) {
            sleep(EXHAUSTED_PAUSE).await;
        }
        accepted
    }
}

/// Whether an accept failed because of that one client; see the list of errors in `accept(2)`.
fn went_away(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Makes room at `path`, if what is there is a socket on which nobody listens.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            let why = "the path holds something that is not a socket: remove it or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    match UnixStream::connect(path).await {
        // A refusal is the only sure sign; a full backlog, for one, fails in another way.
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Between bind and listen: nobody can connect while the permissions are those of the umask.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let socket = socket.listen(BACKLOG)?;
    Ok(Listener::Unix { socket, file: SocketFile { path: path.to_owned(), id: file_id(path)? } })
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if file_id(&self.path).is_ok_and(|found| found == self.id) {
            // Best effort: the next start replaces a file that nobody listens on.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

impl Accepted {
    /// Registers the socket with the runtime of the calling thread, and does the TLS handshake if there is one, within
    /// `limit`: a client that connects and says nothing must not keep a session for longer. Without `tls` nothing is
    /// waited for.
    ///
    /// # Errors
    /// [`Error::Socket`]; with `tls` also [`Error::Handshake`], [`Error::HandshakeTimeout`] and [`Error::Plaintext`].
    /// The connection is closed.
    ///
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub async fn open(self, tls: Option<&ServerTls>, limit: Duration) -> Result<Stream, Error> {
        let stream = match self {
            Self::Tcp(socket) => Stream::Tcp(TcpStream::from_std(socket).map_err(Error::Socket)?),
            Self::Unix(socket) => Stream::Unix(UnixStream::from_std(socket).map_err(Error::Socket)?),
        };
        let Some(tls) = tls else { return Ok(stream) };
        let peer = stream.peer();
        match timeout(limit, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
            Ok(Err(source)) if not_tls(&source) => Err(Error::Plaintext { peer }),
            Ok(Err(source)) => Err(Error::Handshake { peer, source }),
            Err(_) => Err(Error::HandshakeTimeout { peer, limit }),
        }
    }

    /// Who is at the other end. Costs a system call for TCP.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(socket) => socket.peer_addr().map_or(Peer::Gone, Peer::Tcp),
            Self::Unix(_) => Peer::Unix,
        }
    }
}

#[cfg(test)]
mod tests;
