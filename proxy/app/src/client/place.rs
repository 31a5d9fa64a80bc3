//! Where a sidecar is, as people write it.

use std::path::Path;

use foretoken_types::Address;

/// Text that says of no sidecar where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" says of no sidecar where it is: write host:port ([::1]:port), https://host:port, or the path of its socket with a / in it \
     (./admin.sock) or unix: before it"
)]
pub struct BadPlace(pub String);

/// Reads `host:port`, also with `http://` before it, or the path of a Unix socket: what has `unix:` before it or a `/` in
/// it. Relative paths count from the working directory, as everywhere on a command line; a configuration has no such
/// directory, which is why an [`Address`] takes none.
///
/// # Errors
/// It is none of these.
pub fn place(text: &str) -> Result<Address, BadPlace> {
    let unix = |path: &str| Ok(Address::Unix(Path::new(path).to_owned()));
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.is_empty() { Err(BadPlace(text.to_owned())) } else { unix(path) };
    }
    let tcp = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    match tcp.parse() {
        Ok(address) => Ok(address),
        // What has a port before its first slash is no path.
        Err(_) if text.split_once('/').is_some_and(|(first, _)| !first.contains(':')) => unix(text),
        Err(_) => Err(BadPlace(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_any_path_and_a_listener_by_host_and_port() {
        for (text, path) in [
            ("/run/ft.sock", "/run/ft.sock"),
            ("state/admin.sock", "state/admin.sock"),
            ("./admin.sock", "./admin.sock"),
            ("../a b/admin.sock:1", "../a b/admin.sock:1"),
            ("./::1:7001", "./::1:7001"),
            ("unix:/run/ft.sock", "/run/ft.sock"),
            ("unix:///run/ft.sock", "/run/ft.sock"),
            ("unix:state/admin.sock", "state/admin.sock"),
            ("unix:admin.sock", "admin.sock"),
        ] {
            assert_eq!(place(text), Ok(Address::Unix(path.into())), "{text}");
        }
        for text in ["127.0.0.1:7001", "http://127.0.0.1:7001", "127.0.0.1:7001/", "http://127.0.0.1:7001/"] {
            assert_eq!(place(text), Ok(Address::Tcp { host: "127.0.0.1".into(), port: 7001 }), "{text}");
        }
        for text in [
            "",
            "unix:",
            "unix://",
            "admin.sock",
            "nowhere",
            "redis://h:1",
            "http://",
            "h:70000",
            "h:7001/metrics",
        ] {
            assert_eq!(place(text), Err(BadPlace(text.to_owned())), "{text}");
        }
    }
}
