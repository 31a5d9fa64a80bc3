//! Connecting, and bringing a connection into a session's replay state.

use std::rc::Rc;

use foretoken_protocol::Meter;
use foretoken_transport::{Connector, Stream};
use foretoken_types::{Fault, FaultKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::RedisUpstream;
use crate::session::SessionKey;
use crate::wire::ReplyScanner;

/// The replies to a preamble are a few lines; `HELLO`'s is the longest, about 300 bytes.
const PREAMBLE_REPLY_MOST: usize = 64 * 1024;

pub(crate) async fn connect(
    connector: &Connector,
    key: &SessionKey,
    shared: bool,
    meter: Rc<dyn Meter>,
) -> Result<RedisUpstream, Fault> {
    let stream = connect_bare(connector, key).await?;
    Ok(RedisUpstream::start(stream, shared, meter))
}

pub(crate) async fn connect_bare(connector: &Connector, key: &SessionKey) -> Result<Stream, Fault> {
    let fault = Fault::safe(FaultKind::Connect);
    let mut stream = connector.connect().await.map_err(|error| {
        tracing::debug!(address = %connector.address, error = %error, "upstream connect failed");
        fault
    })?;
    let (frames, requests) = key.preamble();
    if requests == 0 {
        return Ok(stream);
    }
    let exchange = async {
        stream.write_all(&frames).await?;
        stream.flush().await?;
        expect_no_error(&mut stream, requests).await
    };
    match tokio::time::timeout(connector.limit, exchange).await {
        Ok(Ok(true)) => Ok(stream),
        Ok(Ok(false)) => {
            tracing::debug!(address = %connector.address, "upstream refused the session's credentials or state");
            Err(Fault::safe(FaultKind::NotServing))
        }
        Ok(Err(_)) | Err(_) => Err(fault),
    }
}

/// Reads `requests` replies; `false` if one of them is an error.
async fn expect_no_error(stream: &mut Stream, requests: u32) -> std::io::Result<bool> {
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
    Ok(errors == 0)
}
