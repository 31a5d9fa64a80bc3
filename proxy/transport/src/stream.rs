//! A connected socket of any kind.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// A connected socket: bytes both ways.
///
/// Flush after writing: TLS may keep the last record until then; for the others flushing costs nothing. A peer that
/// goes without saying goodbye reads as the end on plain sockets and as [`io::ErrorKind::UnexpectedEof`] on TLS, where
/// somebody else might have cut the connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP, without delay (`TCP_NODELAY`).
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over one of the others, on either side. Boxed: it is a kilobyte, and most connections are plain.
    Tls(Box<TlsStream<Stream>>),
}

/// Who is at the other end, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A process of this machine.
    Unix,
    /// A TCP peer that was gone before it could be asked for its address.
    Gone,
}

impl Stream {
    /// Who is at the other end. Costs a system call for TCP.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(socket) => socket.peer_addr().map_or(Peer::Gone, Peer::Tcp),
            Self::Unix(_) => Peer::Unix,
            Self::Tls(tls) => tls.get_ref().0.peer(),
        }
    }

    /// Our address and the peer's, of a TCP connection that still stands, TLS or not. Costs two system calls.
    #[must_use]
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().zip(socket.peer_addr().ok()),
            Self::Unix(_) => None,
            Self::Tls(tls) => tls.get_ref().0.addresses(),
        }
    }

    /// The certificate that the peer has shown and proved, in DER; `None` without TLS, or when it has shown none.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        let (_, session) = tls.get_ref();
        session.peer_certificates()?.first().map(|certificate| certificate.as_ref())
    }

    /// Whether the bytes are encrypted on their way and the server's certificate was checked.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Gone => f.write_str("gone"),
        }
    }
}

macro_rules! each {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($io) => $call,
            Stream::Unix($io) => $call,
            Stream::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
