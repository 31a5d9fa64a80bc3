//! A disk of a server's own, small enough to be filled by a neighbour.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::Victim;
use crate::servers::Server;

/// What one holds: a run's log of writes fits several times.
const SIZE: u64 = 256 << 20;

/// A file system of one's own in memory. Gone with the value.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one at `path`, which takes the rights to.
    ///
    /// # Errors
    ///
    /// This machine does not allow it.
    pub fn mount(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let size = format!("size={SIZE},mode=755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "foretoken-demo"]).arg(path))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there ends by itself.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.0)) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Mounts one and takes it away again.
pub(super) fn try_one() -> io::Result<()> {
    let dir = tempfile::TempDir::with_prefix("foretoken-demo-")?;
    drop(Disk::mount(&dir.path().join("disk"))?);
    Ok(())
}

/// A file of somebody else's on a server's disk.
pub(super) struct Filler {
    dir: PathBuf,
    file: File,
    length: u64,
}

impl Filler {
    pub(super) fn of(server: &Server) -> io::Result<Self> {
        let dir = server.dir().to_owned();
        if room(&dir)?.0 > SIZE {
            return Err(io::Error::other(format!("{} is no disk of its own", dir.display())));
        }
        Ok(Self { file: File::create(dir.join("neighbour"))?, dir, length: 0 })
    }
}

/// Size and room left of the file system that `dir` is on.
fn room(dir: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(dir)?;
    Ok((found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize))
}

impl Victim for Filler {
    fn used(&self) -> io::Result<f64> {
        let (size, left) = room(&self.dir)?;
        Ok(1.0 - left as f64 / size as f64)
    }

    async fn touch(&mut self, share: f64) -> io::Result<()> {
        let (size, left) = room(&self.dir)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a small disk")]
        let wanted = (size as f64 * (1.0 - share)).max(0.0) as u64;
        if left > wanted {
            let more = left - wanted;
            fallocate(&self.file, FallocateFlags::empty(), self.length, more)?;
            self.length += more;
        } else if share < 1.0 {
            // The server's own log has grown: the neighbour makes room, so that the share is as it is to be.
            self.length = self.length.saturating_sub(wanted - left);
            self.file.set_len(self.length)?;
        }
        Ok(())
    }

    async fn is_gone(&mut self) -> bool {
        room(&self.dir).is_ok_and(|(_, left)| left == 0)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // The disk goes with its server at the latest.
        std::fs::remove_file(self.dir.join("neighbour")).ok();
    }
}
