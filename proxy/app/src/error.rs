//! Why the sidecar does not start.

use std::io::{self, ErrorKind};

use foretoken_admin::SecretError;
use foretoken_types::EndpointId;

/// Why the sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket or a certificate.
    #[error(transparent)]
    Transport(#[from] foretoken_transport::Error),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] foretoken_registry::Error),
    /// The data threads.
    #[error(transparent)]
    DataPlane(#[from] foretoken_outbound::Error),
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    /// A password file.
    #[error("{key}")]
    Secret {
        /// Of which key, such as `store.cache.control.password_file`.
        key: String,
        /// Why.
        #[source]
        source: foretoken_config::SecretError,
    },
    /// The secret of the admin listener or of a service.
    #[error("{key}")]
    AdminSecret {
        /// Of which key, such as `admin.bearer_file`.
        key: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The keys of our own tokens.
    #[error(transparent)]
    Token(#[from] foretoken_token::Error),
    /// The runtime or a signal handler.
    #[error("{what}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Other endpoints can't reach an endpoint that is only known by a Unix socket.
    #[error("endpoint {0} has a Unix socket only, and its mirrors need a TCP address: set `advertise`")]
    NoAdvertised(EndpointId),
    /// A block's prefix that no token can name.
    #[error("the prefix of block {0} can't stand in a token: 1 to 256 bytes without control characters")]
    Block(foretoken_types::BlockId),
    /// The model of a store's risk.
    #[error(
        "store.{store}.risk.model: {path} can't be used; correct the path, train a model for the features of this \
         version (`make train`), or leave the key out for the model that comes with the program"
    )]
    Model {
        /// Of which store.
        store: foretoken_types::StoreId,
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: Box<foretoken_predict::BadModel>,
    },
    /// The state directory.
    #[error("state directory {}", path.display())]
    StateDir {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether what a key of the configuration says is to be mended; the message names the key.
    #[must_use]
    pub fn is_of_the_configuration(&self) -> bool {
        match self {
            Self::AdminSecret { source: SecretError::Io { source, .. }, .. } => is_of_the_path(source),
            Self::Secret { .. }
            | Self::AdminSecret { .. }
            | Self::NoAdvertised(_)
            | Self::Block(_)
            | Self::Model { .. } => true,
            _ => false,
        }
    }
}

/// Whether another path, or other permissions, would mend it; a disk that is full or broken needs something else.
fn is_of_the_path(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            // Not a regular file.
            | ErrorKind::Other
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_no_fault_of_the_configuration_and_a_wrong_path_is() {
        let of_configuration = |source: io::Error| {
            let source = SecretError::Io { path: "admin.secret".into(), source };
            Error::AdminSecret { key: "admin.bearer_file".to_owned(), source }.is_of_the_configuration()
        };
        for (errno, name) in [(2, "ENOENT"), (13, "EACCES"), (20, "ENOTDIR"), (21, "EISDIR")] {
            assert!(of_configuration(io::Error::from_raw_os_error(errno)), "{name}");
        }
        assert!(of_configuration(io::Error::other("not a regular file")));
        for (errno, name) in [(5, "EIO"), (24, "EMFILE"), (28, "ENOSPC"), (30, "EROFS"), (122, "EDQUOT")] {
            assert!(!of_configuration(io::Error::from_raw_os_error(errno)), "{name}");
        }
        let loose = SecretError::Loose { path: "admin.secret".into(), mode: 0o644 };
        let key = "admin.bearer_file".to_owned();
        assert!(Error::AdminSecret { key, source: loose }.is_of_the_configuration());
    }
}
