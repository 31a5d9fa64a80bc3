//! What goes wrong with sockets.

use std::io;
use std::time::Duration;

use foretoken_types::Address;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Binding or listening failed.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody accepted, or the name has no address.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long, the TLS handshake included.
    #[error("connect to {address} took longer than {limit:?}")]
    Timeout {
        /// Where to.
        address: Address,
        /// The limit.
        limit: Duration,
    },
    /// A socket could not be set up after it was connected.
    #[error("set up the socket")]
    Socket(#[source] io::Error),
}

impl Error {
    /// Whether a fresh connection was refused: nobody listens there.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let refused = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::NotFound
            )
        };
        matches!(self, Self::Connect { source, .. } if refused(source))
    }
}
