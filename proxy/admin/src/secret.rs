//! The bearer secret: who holds it may change things over TCP.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRngCore as _;
use zeroize::Zeroizing;

/// Random bytes of a secret that we make: as many as an Ed25519 key has.
const RANDOM_BYTES: usize = 32;
/// A secret shorter than this could be guessed by trying.
const SHORTEST: usize = 32;
/// No secret is longer, and nothing longer is read.
const LONGEST: u64 = 4096;

/// Why there is no secret to compare with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read or made.
    #[error(
        "admin secret {} can't be read or made; correct the path, or let the sidecar's user read the file",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("admin secret {} has mode {mode:04o}: others may read it; run chmod 600", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner is neither this user nor root.
    #[error("admin secret {} belongs to user {uid}, who could change it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Its content can't be a secret.
    #[error("admin secret {} must be one line of {SHORTEST} to {LONGEST} printable characters", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// A bearer secret. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads the secret of the file at `path`; makes both, from 32 random bytes, when there is no file.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        match Self::load(path) {
            Err(SecretError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path).map_err(|source| SecretError::Io { path: path.into(), source })?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the secret of the file at `path`.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let io = |source| SecretError::Io { path: path.into(), source };
        // Asked before it is opened: to open a FIFO waits for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(io)?;
        // The opened file is looked at, not the path: between two looks at a path another file could take its place.
        let metadata = file.metadata().map_err(io)?;
        let (mode, uid) = (metadata.mode() & 0o7777, metadata.uid());
        let ours = rustix::process::geteuid().as_raw();
        if is_loose(mode, uid, ours) {
            return Err(SecretError::Loose { path: path.into(), mode });
        }
        if uid != 0 && uid != ours {
            return Err(SecretError::Foreign { path: path.into(), uid });
        }
        let mut text = Zeroizing::new(String::new());
        match file.take(LONGEST + 1).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(SecretError::Content { path: path.into() });
            }
            Err(error) => return Err(io(error)),
        }
        let secret = Zeroizing::new(text.trim_ascii().to_owned());
        let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || secret.len() < SHORTEST || secret.len() as u64 > LONGEST {
            return Err(SecretError::Content { path: path.into() });
        }
        Ok(Self(secret))
    }

    /// Writes a new secret beside `path` and gives it that name when it is whole, so that a crash leaves no half of one.
    fn create(path: &Path) -> io::Result<()> {
        let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
        rand::rngs::OsRng.try_fill_bytes(random.as_mut_slice()).map_err(io::Error::other)?;
        let mut text = Zeroizing::new(String::with_capacity(2 * RANDOM_BYTES + 1));
        for byte in *random {
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text.push('\n');
        let draft = path.with_extension("secret.new");
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    }

    /// Whether `presented` is the secret. Takes the same time wherever the two differ.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let expected = self.0.as_bytes();
        if expected.len() != presented.len() {
            return false;
        }
        let difference =
            expected.iter().zip(presented).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
        difference == 0
    }

    /// The value of the `Authorization` header that presents it.
    #[must_use]
    pub fn authorization(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Bearer {}", self.0.as_str()))
    }
}

/// Whether others than we may read a file of `mode` that belongs to user `owner`, when we are user `ours`.
///
/// A file of root's may be readable by its group: that is the only way in which an orchestrator gives a secret to a
/// process that is not root (Kubernetes mounts secrets as root's with mode 0440 and the `fsGroup` of the pod).
fn is_loose(mode: u32, owner: u32, ours: u32) -> bool {
    let allowed = if owner == 0 && ours != 0 { 0o740 } else { 0o700 };
    mode & 0o777 & !allowed != 0
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.secret");
        let made = Secret::load_or_create(&path).unwrap();
        assert_eq!(made, Secret::load_or_create(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(format!("{made:?}"), "Secret(***)");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 65);
        assert!(made.matches(text.trim().as_bytes()));
        for wrong in ["", &text[..63], &text.replace(&text[..1], "g")[..64], text.as_str()] {
            assert!(!made.matches(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.secret");
        Secret::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = Secret::load_or_create(&path).unwrap_err();
            assert!(matches!(refused, SecretError::Loose { mode: found, .. } if found == mode), "{refused}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        Secret::load_or_create(&path).unwrap();
    }

    #[test]
    fn only_root_may_share_a_secret_with_our_group() {
        for (mode, owner, ours, loose) in [
            (0o600, 65532, 65532, false),
            (0o440, 65532, 65532, true),
            (0o440, 0, 65532, false),
            (0o460, 0, 65532, true),
            (0o444, 0, 65532, true),
            (0o400, 0, 0, false),
            (0o440, 0, 0, true),
            (0o440, 1000, 65532, true),
        ] {
            assert_eq!(is_loose(mode, owner, ours), loose, "{mode:04o} of {owner} for {ours}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Secret::load_or_create(dir.path()).unwrap_err(), SecretError::Io { .. }));
        let nowhere = dir.path().join("no/such/directory");
        assert!(matches!(Secret::load_or_create(&nowhere).unwrap_err(), SecretError::Io { .. }));
    }

    #[test]
    fn content_that_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.secret");
        let long = "x".repeat(5000);
        for content in [
            &b""[..],
            b"short",
            &[b'a'; 31],
            b"two words of more than thirty-two characters",
            long.as_bytes(),
            &[0xff; 64],
        ] {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            file.write_all(content).unwrap();
            let refused = Secret::load_or_create(&path).unwrap_err();
            assert!(matches!(refused, SecretError::Content { .. }), "{refused}");
        }
    }
}
