//! A request with the only reply that it may get, for the generators of our own.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

const KEY: &str = "bench:exchange";

#[derive(Clone, Default)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Vec<u8>,
}

impl Exchange {
    pub(crate) fn set(size: usize) -> Self {
        let request =
            format!("*3\r\n$3\r\nSET\r\n${}\r\n{KEY}\r\n${size}\r\n{}\r\n", KEY.len(), "x".repeat(size));
        Self { request: request.into(), reply: b"+OK\r\n".to_vec() }
    }

    /// Of what [`Self::set`] has set.
    pub(crate) fn get(size: usize) -> Self {
        let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{KEY}\r\n", KEY.len());
        Self { request: request.into(), reply: format!("${size}\r\n{}\r\n", "x".repeat(size)).into() }
    }

    pub(crate) fn then(mut self, next: &Self) -> Self {
        self.request.extend_from_slice(&next.request);
        self.reply.extend_from_slice(&next.reply);
        self
    }

    pub(crate) fn with(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.request)?;
        let mut reply = vec![0; self.reply.len()];
        stream.read_exact(&mut reply)?;
        self.check(&reply)
    }

    /// A run with wrong replies is worth nothing.
    pub(crate) fn check(&self, reply: &[u8]) -> io::Result<()> {
        if reply == self.reply {
            return Ok(());
        }
        let said = String::from_utf8_lossy(reply.get(..reply.len().min(60)).unwrap_or_default()).into_owned();
        Err(io::Error::other(format!("the wrong reply: {said:?}")))
    }
}
