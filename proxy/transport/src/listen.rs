//! Accepting clients.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use foretoken_types::Address;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::{Error, Stream};

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
        path: PathBuf,
    },
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
    /// Binds and listens. The file of a Unix socket gets the permissions `mode`; one that a dead process left is replaced.
    ///
    /// # Errors
    /// [`Error::Listen`], also when a living process listens on the Unix socket.
    pub async fn bind(address: &Address, mode: u32) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: address.clone(), source };
        match address {
            Address::Tcp { host, port } => {
                Ok(Self::Tcp(TcpListener::bind((&**host, *port)).await.map_err(failed)?))
            }
            Address::Unix(path) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(failed(std::io::ErrorKind::AddrInUse.into()));
                }
                match std::fs::remove_file(path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
                    _ => {}
                }
                let socket = UnixListener::bind(path).map_err(failed)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
                Ok(Self::Unix { socket, path: path.clone() })
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

    /// The next client.
    ///
    /// # Errors
    /// [`Error::Socket`]: this client is lost (it went away, or there are no descriptors left); the listener goes on.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn accept(&self) -> Result<Accepted, Error> {
        match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await.map_err(Error::Socket)?;
                socket.set_nodelay(true).map_err(Error::Socket)?;
                Ok(Accepted::Tcp(socket.into_std().map_err(Error::Socket)?))
            }
            Self::Unix { socket, .. } => {
                let (socket, _) = socket.accept().await.map_err(Error::Socket)?;
                Ok(Accepted::Unix(socket.into_std().map_err(Error::Socket)?))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            // Best effort: the next start replaces a file that nobody listens on.
            std::fs::remove_file(path).ok();
        }
    }
}

impl Accepted {
    /// Registers the socket with the runtime of the calling thread.
    ///
    /// # Errors
    /// [`Error::Socket`].
    ///
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub async fn open(self) -> Result<Stream, Error> {
        Ok(match self {
            Self::Tcp(socket) => Stream::Tcp(TcpStream::from_std(socket).map_err(Error::Socket)?),
            Self::Unix(socket) => Stream::Unix(UnixStream::from_std(socket).map_err(Error::Socket)?),
        })
    }
}
