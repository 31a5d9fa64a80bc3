//! Asks a running sidecar: the client side of the admin listener, for `foretoken status` and `switchover`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use foretoken_admin::model;
use foretoken_admin::model::{Problem, Readiness, StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_admin::{Secret, SecretError};
pub use foretoken_transport::{ClientTls, Identity};
use foretoken_transport::{Connector, Error as TransportError, Stream};
pub use foretoken_types::{Address, EndpointId, StoreId};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

mod place;

pub use place::{BadPlace, place};

/// How long a question may take; the answers are in the sidecar's memory.
const READ_MAX: Duration = Duration::from_secs(5);
/// How long a switchover may take: a little more than the listener gives it, so that its answer is heard.
const CHANGE_MAX: Duration = Duration::from_secs(35);
/// The longest answer that is read. Ten thousand metric lines are about 1 MiB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Why a question got no answer, or not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no sidecar answers on {address}: {source}. Is it running? See that \"foretoken run\" has the same --config or --admin"
    )]
    NoAnswer {
        /// Where.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, and is not ours to use.
    #[error("{address} belongs to another user: run this as the user of the sidecar, or as root")]
    NoAccess {
        /// Where.
        address: Address,
    },
    /// Somebody listens, and no TLS came about.
    #[error("no TLS with {address}: {source}")]
    Tls {
        /// Where.
        address: Address,
        /// Why.
        source: Box<TransportError>,
    },
    /// Somebody listens and says nothing.
    #[error("the sidecar on {address} did not answer within {after:?}")]
    Timeout {
        /// Where.
        address: Address,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody listens who is no sidecar, or one of another version.
    #[error("what answers on {address} does not speak as a sidecar does: {detail}")]
    Strange {
        /// Where.
        address: Address,
        /// What was odd.
        detail: String,
    },
    /// The sidecar says no.
    #[error("{}", said(.0))]
    Problem(Box<Problem>),
}

/// The sidecar's refusal in a line.
fn said(problem: &Problem) -> String {
    if problem.detail.is_empty() {
        problem.title.clone()
    } else {
        format!("{}: {}", problem.title, problem.detail)
    }
}

impl ClientError {
    /// Whether no sidecar was reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::NoAnswer { .. }
            | Self::NoAccess { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Strange { .. } => true,
            Self::Problem(_) => false,
        }
    }
}

/// A client of one sidecar's admin listener. Each call makes a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    tls: Option<ClientTls>,
    bearer: Option<Secret>,
}

impl Client {
    /// The sidecar behind the Unix socket at `path`.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Address::Unix(path.into()))
    }

    /// The sidecar that listens on `host` and `port`.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::at(Address::Tcp { host: host.into(), port })
    }

    /// The sidecar at `address`.
    #[must_use]
    pub fn at(address: Address) -> Self {
        Self { address, tls: None, bearer: None }
    }

    /// Speaks TLS from now on, as a listener with `admin.tls` does; a certificate in `tls` is a credential there.
    #[must_use]
    pub fn with_tls(self, tls: ClientTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Presents the bearer secret of the file at `path` from now on; changing things over TCP needs it.
    ///
    /// # Errors
    /// The file can't be read, or others may read it.
    pub fn with_secret_file(self, path: &Path) -> Result<Self, SecretError> {
        Ok(Self { bearer: Some(Secret::load(path)?), ..self })
    }

    /// Where the sidecar is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Every store.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn stores(&self) -> Result<Vec<StoreStatus>, ClientError> {
        let (status, body) = self.ask(Method::GET, "/v1/stores", Vec::new(), READ_MAX).await?;
        self.read(status, &body)
    }

    /// One store.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn store(&self, store: &StoreId) -> Result<StoreStatus, ClientError> {
        let path = format!("/v1/stores/{}", escape(store.as_str()));
        let (status, body) = self.ask(Method::GET, &path, Vec::new(), READ_MAX).await?;
        self.read(status, &body)
    }

    /// Moves the primary role of `store`, or checks whether it could be moved. A switchover that was refused or taken
    /// back is a report as well.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    /// Dropping the future after it was first polled may leave a switchover that goes on; `stores` shows its outcome.
    pub async fn switchover(
        &self,
        store: &StoreId,
        request: &SwitchoverRequest,
    ) -> Result<SwitchoverReport, ClientError> {
        let path = format!("/v1/stores/{}/switchover", escape(store.as_str()));
        let body = serde_json::to_vec(request).map_err(|error| self.strange(error))?;
        let (status, body) = self.ask(Method::POST, &path, body, CHANGE_MAX).await?;
        match self.read(status, &body) {
            Err(ClientError::Problem(mut problem)) => match problem.report.take() {
                Some(report) => Ok(*report),
                None => Err(ClientError::Problem(problem)),
            },
            answer => answer,
        }
    }

    /// Whether the sidecar serves; not being ready is an answer and no error.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn ready(&self) -> Result<Readiness, ClientError> {
        let (status, body) = self.ask(Method::GET, "/ready", Vec::new(), READ_MAX).await?;
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                serde_json::from_slice(&body).map_err(|error| self.strange(error))
            }
            _ => self.read(status, &body),
        }
    }

    /// The metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let (status, body) = self.ask(Method::GET, "/metrics", Vec::new(), READ_MAX).await?;
        match status {
            StatusCode::OK => String::from_utf8(body.into()).map_err(|error| self.strange(error)),
            _ => Err(self.refusal(status, &body)),
        }
    }

    fn strange(&self, error: impl ToString) -> ClientError {
        let mut detail = error.to_string();
        if self.tls.is_none() && matches!(self.address, Address::Tcp { .. }) {
            detail.push_str(". Does it speak TLS (admin.tls)? Then write https:// before the address");
        }
        ClientError::Strange { address: self.address.clone(), detail }
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, body: &[u8]) -> Result<T, ClientError> {
        if status == StatusCode::OK {
            serde_json::from_slice(body).map_err(|error| self.strange(error))
        } else {
            Err(self.refusal(status, body))
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice(body) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => self.strange(format!("HTTP {status} without a problem document")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        match tokio::time::timeout(limit, self.exchange(method, path, body, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { address: self.address.clone(), after: limit }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.host());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(secret) = &self.bearer {
            request = request.header(header::AUTHORIZATION, secret.authorization().as_str());
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| self.strange(error))?;
        let connector = Connector { tls: self.tls.clone(), ..Connector::plain(self.address.clone(), limit) };
        let stream = connector.connect().await.map_err(|error| self.unreachable(error))?;
        self.converse(stream, request).await
    }

    fn unreachable(&self, error: TransportError) -> ClientError {
        let address = self.address.clone();
        match error {
            TransportError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ClientError::NoAccess { address }
            }
            TransportError::Connect { source, .. } => ClientError::NoAnswer { address, source },
            TransportError::Timeout { limit, .. } => ClientError::Timeout { address, after: limit },
            error => ClientError::Tls { address, source: Box::new(error) },
        }
    }

    /// Sends the request and reads the answer, driving the connection at the same time.
    async fn converse(
        &self,
        stream: Stream,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.strange(error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| self.strange(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            Ok((status, body.map_err(|error| self.strange(error))?.to_bytes()))
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answered = &mut answer => answered,
            // The connection ended: whatever it has received is still read.
            _ = connection => answer.await,
        }
    }

    fn host(&self) -> String {
        match &self.address {
            Address::Unix(_) => "localhost".to_owned(),
            tcp @ Address::Tcp { .. } => tcp.to_string(),
        }
    }
}

/// A name as one segment of a path (RFC 3986, section 2.3: everything but unreserved characters).
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
