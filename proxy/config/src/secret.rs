//! Secrets: they come as paths, and print as `***`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Nothing longer is read: more than a password is, and little enough to hold.
const LONGEST: u64 = 4096;

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can't be read.
    #[error(
        "secret {} can't be read; correct the path, or write the password there, one line, for nobody but the sidecar's \
         user to read (chmod 600)",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everybody on the machine may read or change it.
    #[error("secret {} has mode {mode:04o}, so that everybody may use it; chmod 600 mends that", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it, or more than one line of at most 4096 bytes of UTF-8.
    #[error("secret {} is not one line of 1 to {LONGEST} bytes of text; write the password there and nothing else", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// A secret, wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads the secret of the file at `path`, without the line end after it. Blocks for the time of reading.
    ///
    /// The owner's group may read it, as with a Kubernetes secret that a pod sees through `fsGroup`; others may not.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let io = |source| SecretError::Io { path: path.into(), source };
        // Asked before it is opened: to open a FIFO waits for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(SecretError::Loose { path: path.into(), mode });
        }
        let content = || SecretError::Content { path: path.into() };
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or(0) + 1));
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => content(),
            _ => io(error),
        })?;
        let line =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() || text.len() as u64 > LONGEST || line.contains(['\n', '\r', '\0']) {
            return Err(content());
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests;
