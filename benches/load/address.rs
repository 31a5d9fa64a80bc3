//! Where a target listens.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Way;

#[derive(Clone)]
pub(crate) enum Address {
    Tcp(u16),
    Tls(u16),
    Unix(PathBuf),
}

impl Address {
    /// A place of the same kind that nobody has.
    pub(crate) fn free(like: Way, home: &Path) -> Result<Self, String> {
        match like {
            Way::Tcp | Way::Synchronous => free_port().map(Self::Tcp),
            Way::Tls => free_port().map(Self::Tls),
            Way::Unix => Ok(Self::Unix(home.join("listener.sock"))),
        }
    }

    pub(crate) fn redis_benchmark(&self) -> Command {
        let mut command = Command::new("redis-benchmark");
        match self {
            Self::Tcp(port) => command.args(["-p", &port.to_string()]),
            // Whose certificate it is has been settled; what is measured is the cipher.
            Self::Tls(port) => command.args(["-p", &port.to_string(), "--tls", "--insecure"]),
            Self::Unix(path) => command.arg("-s").arg(path),
        };
        command
    }

    /// Whether a command passes all the way.
    pub(crate) fn answers(&self) -> Result<bool, String> {
        let once = self.redis_benchmark();
        let mut patient = Command::new("timeout");
        patient
            .args(["2", "redis-benchmark"])
            .args(once.get_args())
            .args(["-c", "1", "-n", "1", "-q", "GET", "a"]);
        let output = patient.output().map_err(|error| format!("timeout (coreutils): {error}"))?;
        Ok(output.status.success())
    }
}

pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}
