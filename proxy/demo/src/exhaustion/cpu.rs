//! A quota that leaves a server less CPU from moment to moment.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use super::Victim;
use crate::servers::Server;

/// Cores that the server has at first.
const CORES: f64 = 1.0;
/// Cores that are always left: less is no quota that the kernel takes.
const CORES_LEAST: f64 = 0.002;
/// Over which a quota is counted, in microseconds: what systems do.
const PERIOD_US: f64 = 100_000.0;
/// In the end: the longest that the kernel takes, in which the least quota is least.
const LAST_PERIOD_US: f64 = 1_000_000.0;
/// Cores from which on it is the end.
const LAST_CORES: f64 = 0.05;
/// A server that does not answer a PING for so long has nothing left.
const ANSWER_MAX: Duration = Duration::from_millis(900);
/// Where control groups are found: version 1, then version 2.
const HOMES: [&str; 4] =
    ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Between two changes: each one gives the group the whole quota of a period at once.
const CHANGE: Duration = Duration::from_secs(1);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A control group of our own.
struct Group {
    path: PathBuf,
    home: &'static str,
    members: Vec<u32>,
}

impl Group {
    fn new() -> io::Result<Self> {
        let name =
            format!("foretoken-demo-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut last = io::Error::other("there are no control groups here");
        for home in HOMES {
            let group = Self { path: Path::new(home).join(&name), home, members: Vec::new() };
            let made = std::fs::create_dir(&group.path).and_then(|()| group.limit(CORES));
            match made {
                Ok(()) => return Ok(group),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Takes a process in.
    fn take(&mut self, process: u32) -> io::Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), process.to_string())?;
        self.members.push(process);
        Ok(())
    }

    fn limit(&self, cores: f64) -> io::Result<()> {
        let period = if cores > LAST_CORES { PERIOD_US } else { LAST_PERIOD_US };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a second")]
        let (quota, period) = ((cores * period) as u64, period as u64);
        let unified = self.path.join("cpu.max");
        if unified.exists() {
            return std::fs::write(unified, format!("{quota} {period}"));
        }
        std::fs::write(self.path.join("cpu.cfs_period_us"), period.to_string())?;
        std::fs::write(self.path.join("cpu.cfs_quota_us"), quota.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in &self.members {
            // Whoever has ended is in no group any more.
            std::fs::write(Path::new(self.home).join("cgroup.procs"), member.to_string()).ok();
        }
        std::fs::remove_dir(&self.path).ok();
    }
}

/// Makes a group and takes it away again.
pub(super) fn try_one() -> io::Result<()> {
    Group::new().map(drop)
}

/// CPU that is taken away from a server.
pub(super) struct Quota {
    group: Group,
    taken: f64,
    changed: Option<Instant>,
    client: redis::Client,
    connection: Option<MultiplexedConnection>,
}

impl Quota {
    pub(super) fn of(server: &Server) -> io::Result<Self> {
        let mut group = Group::new()?;
        group.take(server.process()?)?;
        let client = redis::Client::open(server.url()).map_err(io::Error::other)?;
        Ok(Self { group, taken: 0.0, changed: None, client, connection: None })
    }

    async fn ping(&mut self) -> Result<(), redis::RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection().await?,
        };
        redis::cmd("PING").exec_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Victim for Quota {
    fn used(&self) -> io::Result<f64> {
        Ok(self.taken)
    }

    async fn touch(&mut self, share: f64) -> io::Result<()> {
        let is_due = self.changed.is_none_or(|changed| changed.elapsed() >= CHANGE);
        if share > self.taken && (is_due || share >= 1.0) {
            self.group.limit((CORES * (1.0 - share)).max(CORES_LEAST))?;
            (self.taken, self.changed) = (share, Some(Instant::now()));
        }
        Ok(())
    }

    async fn is_gone(&mut self) -> bool {
        // An error is no silence: a change of roles cuts connections.
        tokio::time::timeout(ANSWER_MAX, self.ping()).await.is_err()
    }
}
