//! What can go wrong.

use std::path::PathBuf;

use foretoken_types::{Epoch, Operation};

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another epoch is in force than the caller thought, or the new one is not higher.
    #[error("the epoch in force is {}", found.map_or_else(|| "none yet".to_owned(), |e| e.to_string()))]
    EpochMoved {
        /// The epoch in force; `None` when the store has no record.
        found: Option<Epoch>,
    },
    /// An operation is recorded as under way; it has to be finished or undone first.
    #[error("operation {} is recorded as under way", found.0)]
    IntentExists {
        /// The one that is recorded.
        found: Operation,
    },
    /// Another process has this registry open.
    #[error(
        "another foretoken uses this state_dir: {} is in use; stop it, or give this one a state_dir of its own",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a registry, or it was altered or cut.
    #[error(
        "{} is damaged or not a foretoken registry ({detail}); move it away and start again: the epochs are then \
         recovered from the marker keys in the stores",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A newer build wrote it.
    #[error(
        "{} has format {found}, and this build knows formats up to {known}; run the newer foretoken again",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that was found.
        found: u32,
        /// The newest format that this build knows.
        known: u32,
    },
    /// The disk did not do what was asked (full, read-only, no permission, failing). A later call tries it anew.
    #[error("cannot use {}; check that it is writable and that its disk has room", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system gave no random bytes for the instance id.
    #[error("cannot read random bytes from /dev/urandom")]
    NoRandomness(#[source] std::io::Error),
}
