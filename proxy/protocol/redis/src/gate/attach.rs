//! Attaching a token to each connection towards a gate.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use foretoken_transport::{Greeted, Greeting, Stream, Unwelcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{NOBODY_BEHIND, WELCOME, present};

/// The longest answer of a gate that is read.
const ANSWER_MAX: usize = 1024;

/// Why there is no token to present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token could be made: {0}")]
pub struct NoPass(pub String);

/// Where tokens for fresh connections come from.
pub trait Pass: fmt::Debug + Send + Sync {
    /// A token for this one connection. `plain` are our address and the gate's, when the connection has no TLS: then they
    /// take the place of the certificate as what the token is bound to.
    ///
    /// # Errors
    /// There is none to be had now.
    fn token(&self, plain: Option<(SocketAddr, SocketAddr)>) -> Result<Vec<u8>, NoPass>;
}

/// Says `AUTH ft-token <token>` on each fresh connection.
#[derive(Clone, Debug)]
pub struct Attach(pub Arc<dyn Pass>);

impl Greeting for Attach {
    fn greet<'a>(&'a self, stream: &'a mut Stream) -> Greeted<'a> {
        Box::pin(async move {
            let plain = if stream.is_tls() { None } else { stream.addresses() };
            let token = self.0.token(plain).map_err(|error| Unwelcome::Refused(error.to_string()))?;
            stream.write_all(&present(&token)).await?;
            stream.flush().await?;
            let answer = answer(stream).await?;
            if answer == WELCOME {
                return Ok(());
            }
            if answer == NOBODY_BEHIND {
                return Err(Unwelcome::NobodyBehind);
            }
            let words = String::from_utf8_lossy(&answer);
            let words = words.trim_end().trim_start_matches('-');
            Err(Unwelcome::Refused(format!("it answered the token with: {words}")))
        })
    }
}

/// One line. A gate says nothing after it that was not asked for, so nothing of what follows is taken.
async fn answer(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    while !line.ends_with(b"\r\n") {
        let read = stream.read(&mut buffer).await?;
        line.extend_from_slice(&buffer[..read]);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() > ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what answers is no gate"));
        }
    }
    Ok(line)
}
