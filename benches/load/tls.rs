//! What listeners show to clients.

use tempfile::TempDir;

use crate::certificates::certificates;
use crate::stage::home;

/// A directory with the CA in `ca.pem`, a certificate in `listener.pem`, its key in `listener.key` and both in `listener.both`.
pub(crate) fn certified() -> Result<TempDir, String> {
    let dir = home()?;
    certificates(dir.path(), &["listener"]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name));
    let both = read("listener.pem").and_then(|pem| Ok(pem + &read("listener.key")?));
    both.and_then(|both| std::fs::write(dir.path().join("listener.both"), both))
        .map_err(|error| format!("certificates: {error}"))?;
    Ok(dir)
}
