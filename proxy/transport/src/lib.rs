//! Listen and connect: TCP, Unix sockets, TLS.
//!
//! A [`Listener`] accepts raw sockets that may cross threads; [`Accepted::open`] turns one into a [`Stream`] on the thread
//! that will serve it, TLS handshake included. A [`Connector`] reaches one address and resolves its name anew each time.
#![warn(missing_docs)]

mod connect;
mod error;
mod listen;
mod stream;

pub use connect::Connector;
pub use error::Error;
pub use listen::{Accepted, Listener};
pub use stream::Stream;
