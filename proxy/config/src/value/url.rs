//! URLs of endpoints and of their exporters. Neither may hold credentials: URLs end up in logs, status and process lists.

use std::fmt;
use std::sync::Arc;

use foretoken_types::Address;
use serde_json::{Value, json};

use super::{Mismatch, Text};

/// Redis's own port, for a URL that names none.
const REDIS_PORT: u16 = 6379;
/// HTTP's port, for a URL that names none.
const HTTP_PORT: u16 = 80;
/// Where node_exporter shows its figures, for a URL that names no path.
const METRICS_PATH: &str = "/metrics";

/// Where a store's server is: `redis://host:port`, `rediss://host:port` (TLS) or `redis+unix:///path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointUrl {
    /// Where to connect.
    pub address: Address,
    /// Whether with TLS.
    pub tls: bool,
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "redis+unix://{}", path.display()),
            tcp => write!(f, "{}://{tcp}", if self.tls { "rediss" } else { "redis" }),
        }
    }
}

impl Text for EndpointUrl {
    const EXPECTED: &'static str = "a string with a URL";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^(rediss?://[^@/?#]+|redis[+]unix:///[^@?#]+)$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.contains('@') {
            return Err(Mismatch::with_remedy(
                "has credentials in it",
                "remove them: clients bring their own, and those of the sidecar belong into the file that \
                 [store.control] password_file names",
            ));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if scheme == "redis+unix" {
            if !rest.starts_with('/') || rest.contains(['?', '#', '\0']) {
                return Err(Mismatch::with_remedy(
                    format!("{text:?} names no socket"),
                    "write redis+unix:///path/of/the/socket",
                ));
            }
            return Ok(Self { address: Address::Unix(rest.into()), tls: false });
        }
        if !matches!(scheme, "redis" | "rediss") {
            return Err(Mismatch::with_remedy(
                format!("{text:?} is not the URL of a Redis server"),
                "write redis://host:port, rediss://host:port or redis+unix:///path",
            ));
        }
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains(['/', '?', '#']) {
            return Err(Mismatch::with_remedy(
                format!("{text:?} names more than a server"),
                "remove what follows the port: clients choose their database by SELECT",
            ));
        }
        let address = tcp(place, REDIS_PORT).ok_or_else(|| {
            Mismatch::with_remedy(format!("{text:?} has no valid host and port"), "write redis://host:port")
        })?;
        Ok(Self { address, tls: scheme == "rediss" })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Where figures of a host are read over HTTP: `http://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// Where to connect.
    pub address: Address,
    /// What to ask for; starts with `/`.
    pub path: Arc<str>,
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

impl Text for HttpUrl {
    const EXPECTED: &'static str = "a string with a URL";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^http://[^@#]+$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.contains('@') {
            return Err(Mismatch::with_remedy(
                "has credentials in it",
                "remove them: it is read without any",
            ));
        }
        let wrong = || {
            Mismatch::with_remedy(
                format!("{text:?} is not a plain HTTP URL"),
                "write http://host:port/metrics",
            )
        };
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // It becomes part of a request line: printable, and without spaces.
        if path.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let address = tcp(place, HTTP_PORT).ok_or_else(wrong)?;
        Ok(Self { address, path: if path.is_empty() { METRICS_PATH } else { path }.into() })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn tcp(place: &str, default_port: u16) -> Option<Address> {
    let has_port = place.rfind(':') > place.rfind(']');
    let full = if has_port { place.to_owned() } else { format!("{place}:{default_port}") };
    match full.parse::<Address>() {
        Ok(address @ Address::Tcp { port: 1.., .. }) => Some(address),
        _ => None,
    }
}
