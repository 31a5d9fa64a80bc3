//! Listen and connect: TCP, Unix sockets, TLS.
//!
//! A [`Listener`] accepts raw sockets that may cross threads; [`Accepted::open`] turns one into a [`Stream`] on the
//! thread that will serve it, TLS handshake included. A [`Connector`] reaches one address and resolves its name anew
//! each time: a name that moves with a failover is followed by the next connection.
//!
//! Not for: pools, retries, protocols that begin in plain text and turn to TLS later.
//!
//! ```
//! # use std::time::Duration;
//! # use foretoken_transport::{Connector, Listener};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limit = Duration::from_secs(1);
//! let listener = Listener::bind(&"127.0.0.1:0".parse()?, 0o600).await?;
//! let address = listener.local_addr().ok_or("a TCP listener has one")?.to_string().parse()?;
//!
//! let mut upstream = Connector::plain(address, limit).connect().await?;
//! let mut downstream = listener.accept().await?.open(None, limit).await?;
//! upstream.write_all(b"PING\r\n").await?;
//! upstream.flush().await?;
//! assert_eq!(downstream.read_u8().await?, b'P');
//! # Ok(())
//! # }
//! ```
//!
//! Promises: every wait has a limit; a certificate or key that can't be used is refused when it is loaded, by an error
//! that names the file and the remedy; certificates of peers are always checked; no file but a dead Unix socket is
//! ever removed.
#![warn(missing_docs)]

mod connect;
mod error;
mod keepalive;
mod listen;
mod stream;
#[cfg(test)]
mod testing;
mod tls;

pub use connect::{Connector, Greeted, Greeting, Unwelcome};
pub use error::{Error, FileFault, is_open_files};
pub use listen::{Accepted, Listener, SocketFile};
pub use stream::{Peer, Stream};
pub use tls::{ClientTls, Clients, Identity, ServerTls};
