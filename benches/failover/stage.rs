//! Three servers, the sidecar in front of them, and clients with a history.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretoken_app::client::model::StoreStatus;
use foretoken_demo::Error;
use foretoken_demo::checker::{Findings, check};
use foretoken_demo::history::{Fault, Operation, wall_clock};
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{Setup, Sidecar};
use foretoken_demo::workload::{Load, Mix, Workload, contents};
use rand::Rng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::time::Instant;

const CLIENTS: u16 = 8;
/// Far above what anything here takes: what is not there by then does not come.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Operations after which connections and caches are warm.
const WARM: u64 = 1000;
/// Longer than a sidecar that has just started waits for leases that one before it may have granted (2.2 s): until then it
/// promotes nobody.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) struct Stage {
    pub(crate) sidecar: Sidecar,
    servers: Vec<Server>,
    // Last, so that everything in it is gone when it goes.
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn set(program: &Path) -> Result<Self, Error> {
        let dir = TempDir::with_prefix("foretoken-bench-")?;
        let servers = ["a", "b", "c"]
            .iter()
            .map(|name| Server::start(dir.path(), name, "here"))
            .collect::<std::io::Result<Vec<_>>>()?;
        let sidecar = Sidecar::start(program, &Setup::new(dir.path(), &servers))?;
        let mut stage = Self { sidecar, servers, _dir: dir };
        stage.sidecar.wait_whole(LONG).await?;
        Ok(stage)
    }

    /// Lets clients work until the sidecar is as it will be for the rest of its life.
    pub(crate) async fn settle(&mut self, rng: &mut StdRng) -> Result<(), Error> {
        let clients = self.clients(rng).await?;
        clients.play(SETTLED).await;
        clients.end(&self.sidecar.url(), None).await.map(drop)
    }

    /// The server that `status` names as the primary.
    pub(crate) fn primary(&mut self, status: &StoreStatus) -> Result<&mut Server, Error> {
        let name = status.primary.as_ref().map_or("nobody", |primary| primary.as_str()).to_owned();
        self.server(&name)
    }

    pub(crate) fn server(&mut self, name: &str) -> Result<&mut Server, Error> {
        let found = self.servers.iter_mut().find(|server| server.name == name);
        found.ok_or_else(|| Error::Sidecar(format!("{name} is said to be the primary")))
    }

    /// Waits until another server than `old` is the primary and serves.
    pub(crate) async fn moved_from(&mut self, old: &str) -> Result<StoreStatus, Error> {
        let served = |status: &StoreStatus| {
            status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
        };
        self.sidecar.wait("another primary", LONG, served).await
    }

    /// Clients at work, warmed up, with keys of their own.
    pub(crate) async fn clients(&self, rng: &mut StdRng) -> Result<Clients, Error> {
        let (began, epoch) = (wall_clock(), Instant::now());
        let prefix = format!("bench:{:016x}", rng.random::<u64>());
        let load = Load {
            url: self.sidecar.url(),
            first: 0,
            clients: CLIENTS,
            prefix,
            seed: rng.random(),
            epoch,
            mix: Mix::All,
            pause: std::time::Duration::ZERO,
        };
        let workload = Workload::connect(load)?;
        if !workload.connected(LONG).await {
            return Err(Error::Sidecar(format!("clients could not connect for {LONG:?}")));
        }
        workload.release();
        let mut clients = Clients { workload, began, warm: Duration::ZERO };
        clients.advance(WARM).await?;
        clients.warm = clients.now();
        Ok(clients)
    }

    /// The end of the sidecar's log.
    pub(crate) fn last_words(&self, lines: usize) -> Vec<String> {
        let log = std::fs::read_to_string(self.sidecar.log()).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|&line| line.to_owned()).collect()
    }
}

/// Clients at work.
pub(crate) struct Clients {
    workload: Workload,
    began: SystemTime,
    warm: Duration,
}

/// What they saw.
pub(crate) struct Seen {
    pub(crate) history: Vec<Operation>,
    pub(crate) findings: Findings,
    /// Since then they were warmed up.
    pub(crate) warm: Duration,
    began: SystemTime,
}

impl Clients {
    pub(crate) fn now(&self) -> Duration {
        self.workload.load().epoch.elapsed()
    }

    /// Lets them work on for that long.
    pub(crate) async fn play(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until that many more operations are done.
    pub(crate) async fn advance(&self, operations: u64) -> Result<(), Error> {
        if self.workload.advances(operations, LONG).await {
            Ok(())
        } else {
            Err(Error::Sidecar(format!("clients had nothing done for {LONG:?}")))
        }
    }

    /// Lets them end, checks what they saw against what the store at `url` holds, and takes their keys away, so that the last
    /// fault meets a store of the same size as the first.
    pub(crate) async fn end(self, url: &str, fault: Option<Fault>) -> Result<Seen, Error> {
        let Self { workload, began, warm } = self;
        let load = workload.load().clone();
        let history = workload.finish().await;
        let contents = contents(url, &load).await?;
        let findings = check(&history, &contents, fault);
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let pattern = format!("{}:*", load.prefix);
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await?;
        let _: u64 = redis::cmd("UNLINK").arg(keys).query_async(&mut connection).await?;
        Ok(Seen { history, findings, warm, began })
    }
}

impl Seen {
    /// Milliseconds since 1970 by the wall clock.
    pub(crate) fn unix_ms(&self, at: Duration) -> u64 {
        let since = self.began.duration_since(UNIX_EPOCH).unwrap_or_default() + at;
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
