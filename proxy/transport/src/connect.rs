//! Reaching one address.

use std::time::Duration;

use foretoken_types::Address;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::{Error, Stream};

/// How to reach one server.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where.
    pub address: Address,
    /// The whole of it, TLS handshake included, ends within this time.
    pub limit: Duration,
}

impl Connector {
    /// Connects; a name is resolved anew, and each of its addresses is tried in order.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Timeout`], [`Error::Socket`].
    ///
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub async fn connect(&self) -> Result<Stream, Error> {
        let address = &self.address;
        let failed = |source| Error::Connect { address: address.clone(), source };
        let connect = async {
            match address {
                Address::Tcp { host, port } => {
                    let socket = TcpStream::connect((&**host, *port)).await.map_err(failed)?;
                    socket.set_nodelay(true).map_err(Error::Socket)?;
                    Ok(Stream::Tcp(socket))
                }
                Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await.map_err(failed)?)),
            }
        };
        timeout(self.limit, connect)
            .await
            .map_err(|_| Error::Timeout { address: address.clone(), limit: self.limit })?
    }
}
