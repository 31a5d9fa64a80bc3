//! Reads a node_exporter: one GET over plain HTTP, bounded in time and size.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A node_exporter with everything on answers about 200 KiB.
const BODY_MOST: usize = 4 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(2);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The body that `url` answers with.
pub(crate) async fn get(url: &str) -> Result<String, Error> {
    tokio::time::timeout(LIMIT, fetch(url)).await?
}

async fn fetch(url: &str) -> Result<String, Error> {
    let uri: Uri = url.parse()?;
    let host = uri.host().ok_or("the URL has no host")?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/metrics", |path| path.as_str());
    let path = if path == "/" { "/metrics" } else { path };
    let request = Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await;
    let text = match response {
        Ok(response) if response.status().is_success() => {
            Limited::new(response.into_body(), BODY_MOST).collect().await.map(|body| body.to_bytes())
        }
        Ok(response) => Err(format!("it answered {}", response.status()).into()),
        Err(error) => Err(error.into()),
    };
    driving.abort();
    Ok(String::from_utf8_lossy(&text?).into_owned())
}
