//! Where a socket is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// A TCP or Unix socket address. Names are resolved anew at each connect, never here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`; the host is a name, an IPv4 address or an IPv6 address without its brackets.
    Tcp {
        /// Name or address.
        host: Arc<str>,
        /// Port.
        port: u16,
    },
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// Text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address: write host:port, [v6]:port or unix:/path")]
pub struct BadAddress(pub String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(bad()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse::<u16>().map_err(|_| bad())?;
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').ok_or_else(bad)?,
            None if host.contains(':') => return Err(bad()),
            None => host,
        };
        let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']' | '?' | '#');
        if host.is_empty() || host.contains(odd) {
            Err(bad())
        } else {
            Ok(Self::Tcp { host: host.into(), port })
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in ["127.0.0.1:6379", "redis.internal:1", "[::1]:6379", "unix:/run/ft.sock"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            ":1",
            "host",
            "host:",
            "host:70000",
            "::1:6379",
            "unix:rel",
            "a b:1",
            "redis://h:1",
            "[::1:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(BadAddress(text.to_owned())), "{text}");
        }
    }
}
