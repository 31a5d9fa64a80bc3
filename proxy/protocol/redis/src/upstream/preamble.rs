//! Connecting, and bringing a connection into a session's replay state.

use std::rc::Rc;

use foretoken_protocol::Meter;
use foretoken_transport::{Connector, Stream};
use foretoken_types::{Fault, FaultKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::RedisUpstream;
use crate::scripts::Scripts;
use crate::session::SessionKey;
use crate::wire::ReplyScanner;

/// The replies to a preamble are a few lines; `HELLO`'s is the longest, about 300 bytes.
const PREAMBLE_REPLY_MOST: usize = 64 * 1024;

pub(crate) async fn connect(
    connector: &Connector,
    key: &SessionKey,
    scripts: &Scripts,
    shared: bool,
    meter: Rc<dyn Meter>,
) -> Result<RedisUpstream, Fault> {
    let mut stream = greet(connector, key).await?;
    if let Some((frames, requests)) = scripts.to_load(&connector.address, shared) {
        let loaded = exchange(&mut stream, &frames, requests);
        match tokio::time::timeout(connector.limit, loaded).await {
            Ok(Ok(0)) => scripts.loaded(&connector.address),
            // A user who may not load scripts did not load these, and goes on without them.
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(Fault::safe(FaultKind::Connect)),
        }
    }
    Ok(RedisUpstream::start(stream, shared, meter))
}

/// A socket in the state `key`.
async fn greet(connector: &Connector, key: &SessionKey) -> Result<Stream, Fault> {
    let fault = Fault::safe(FaultKind::Connect);
    let mut stream = connector.connect().await.map_err(|error| {
        tracing::debug!(address = %connector.address, error = %error, "upstream connect failed");
        if error.is_open_files() { Fault::safe(FaultKind::OpenFiles) } else { fault }
    })?;
    let (frames, requests) = key.preamble();
    if requests == 0 {
        return Ok(stream);
    }
    match tokio::time::timeout(connector.limit, exchange(&mut stream, &frames, requests)).await {
        Ok(Ok(0)) => Ok(stream),
        Ok(Ok(_)) => {
            tracing::debug!(address = %connector.address, "upstream refused the session's credentials or state");
            Err(Fault::safe(FaultKind::NotServing))
        }
        Ok(Err(_)) | Err(_) => Err(fault),
    }
}

/// Sends `requests` and reads their replies; gives how many of them are errors.
async fn exchange(stream: &mut Stream, frames: &[u8], requests: u32) -> std::io::Result<u32> {
    stream.write_all(frames).await?;
    stream.flush().await?;
    let mut scanner = ReplyScanner::default();
    let (mut left, mut errors, mut total) = (requests, 0_u32, 0_usize);
    let mut buf = [0_u8; 4096];
    while left > 0 {
        let read = stream.read(&mut buf).await?;
        total += read;
        if read == 0 || total > PREAMBLE_REPLY_MOST {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let progress = scanner
            .scan(&buf[..read], left, |_| errors += 1)
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
        if progress.consumed < read {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        left -= progress.complete;
    }
    Ok(errors)
}
