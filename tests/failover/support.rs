//! Servers, the sidecar as a process, and clients with a history.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_demo::checker::{Findings, check};
use foretoken_demo::history::{Contents, Fault, Operation};
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{STORE, Setup, Sidecar};
use foretoken_demo::workload::{Load, Mix, Workload, contents};
use tempfile::TempDir;
use tokio::time::Instant;

/// Far above what anything here takes: reached only when it never comes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_foretoken"))
}

/// A store of several servers, and a sidecar in front of it.
pub(crate) struct Store {
    pub(crate) sidecar: Sidecar,
    pub(crate) servers: Vec<Server>,
    pub(crate) dir: TempDir,
}

pub(crate) fn servers(dir: &Path, count: usize) -> Vec<Server> {
    let names = ["a", "b", "c"];
    let start = |name: &&str| Server::start(dir, name, "here").expect("redis-server is installed");
    names[..count].iter().map(start).collect()
}

impl Store {
    /// Starts it and waits until every mirror is complete.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, |_| {}).await
    }

    pub(crate) async fn start_with(count: usize, change: impl FnOnce(&mut Setup)) -> Self {
        Self::start_in(TempDir::new().expect("a directory"), count, change).await
    }

    /// In a directory that may hold those of the servers.
    pub(crate) async fn start_in(dir: TempDir, count: usize, change: impl FnOnce(&mut Setup)) -> Self {
        let servers = servers(dir.path(), count);
        Self::around(dir, servers, change).await
    }

    /// Around servers that run already.
    pub(crate) async fn around(dir: TempDir, servers: Vec<Server>, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new(dir.path(), &servers);
        change(&mut setup);
        let sidecar = Sidecar::start(program(), &setup).expect("starts");
        let mut store = Self { sidecar, servers, dir };
        store.whole().await;
        store
    }

    pub(crate) async fn whole(&mut self) -> StoreStatus {
        let result = self.sidecar.wait_whole(LONG).await;
        self.or_log(result)
    }

    pub(crate) async fn wait(&mut self, what: &str, is: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        let result = self.sidecar.wait(what, LONG, is).await;
        self.or_log(result)
    }

    /// With the sidecar's log, if it went wrong.
    fn or_log<T>(&self, result: Result<T, foretoken_demo::Error>) -> T {
        result.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.sidecar.log()).unwrap_or_default();
            panic!("{error}\n{log}")
        })
    }

    /// The server that is the primary.
    pub(crate) async fn primary(&mut self) -> &mut Server {
        let status = self.sidecar.status().await.expect("answers");
        let name = status.primary.expect("there is one");
        self.servers.iter_mut().find(|server| server.name == name.as_str()).expect("one of ours")
    }

    /// Waits until another server than `old` is the primary and serves.
    pub(crate) async fn moved_from(&mut self, old: &str) -> StoreStatus {
        self.wait("another primary", |status| {
            status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() != old)
        })
        .await
    }

    pub(crate) async fn switch(&self) -> SwitchoverReport {
        let request = SwitchoverRequest { to: None, dry_run: false };
        self.sidecar.client().switchover(&StoreId::from(STORE), &request).await.expect("is answered")
    }

    /// Eight clients at work.
    pub(crate) fn clients(&self) -> Clients {
        self.clients_with(Mix::All)
    }

    /// The same, with certain operations.
    pub(crate) fn clients_with(&self, mix: Mix) -> Clients {
        self.clients_that(mix, Duration::ZERO)
    }

    /// The same, with a pause after each operation.
    pub(crate) fn clients_that(&self, mix: Mix, pause: Duration) -> Clients {
        let (began, epoch) = (foretoken_demo::history::wall_clock(), Instant::now());
        let load = Load {
            url: self.sidecar.url(),
            first: 0,
            clients: 8,
            prefix: "test".to_owned(),
            // Chance is not what these tests are about; a failure is repeated by the same operations.
            seed: 1,
            epoch,
            mix,
            pause,
        };
        Clients { workload: Workload::start(load).expect("a URL"), began }
    }
}

/// Clients at work.
pub(crate) struct Clients {
    workload: Workload,
    began: SystemTime,
}

/// What they saw.
pub(crate) struct Seen {
    pub(crate) history: Vec<Operation>,
    pub(crate) findings: Findings,
    pub(crate) contents: Contents,
    began: SystemTime,
}

impl Clients {
    pub(crate) fn now(&self) -> Duration {
        self.workload.load().epoch.elapsed()
    }

    /// Waits until that many more operations are done.
    pub(crate) async fn work(&self, operations: u64) {
        assert!(self.workload.advances(operations, LONG).await, "clients have nothing done any more");
    }

    /// Waits until that many operations have failed.
    pub(crate) async fn fails(&self, operations: u64) {
        assert!(self.workload.fails(operations, LONG).await, "no operation fails");
    }

    /// Waits until that many more operations have ended, one way or another.
    pub(crate) async fn ends_of_operations(&self, operations: u64) {
        assert!(self.workload.goes_on(operations, LONG).await, "clients hang");
    }

    /// More clients, connected and waiting.
    pub(crate) async fn reserve(&self, clients: u16) -> Workload {
        let load = self.workload.load().clone();
        let reserve = Workload::connect(Load { first: load.clients, clients, ..load }).expect("a URL");
        assert!(reserve.connected(LONG).await, "the reserve connects");
        reserve
    }

    pub(crate) async fn end(self, url: &str, fault: Option<Fault>) -> Seen {
        self.end_with(url, fault, None).await
    }

    /// With the history of the reserve.
    pub(crate) async fn end_with(self, url: &str, fault: Option<Fault>, reserve: Option<Workload>) -> Seen {
        let mut clients = self.workload.load().clients;
        let mut more = Vec::new();
        if let Some(reserve) = reserve {
            clients += reserve.load().clients;
            more = reserve.finish().await;
        }
        self.close(url, fault, clients, more).await
    }

    /// With operations of the test's own.
    #[cfg(feature = "unsafe-rules")]
    pub(crate) async fn end_with_also(self, url: &str, more: Vec<Operation>) -> Seen {
        let clients = self.workload.load().clients;
        self.close(url, None, clients, more).await
    }

    async fn close(self, url: &str, fault: Option<Fault>, clients: u16, more: Vec<Operation>) -> Seen {
        let load = Load { clients, ..self.workload.load().clone() };
        let mut history = self.workload.finish().await;
        history.extend(more);
        history.sort_by_key(|operation| operation.invoked);
        let contents = contents(url, &load).await.expect("can be read");
        let findings = check(&history, &contents, fault);
        Seen { history, findings, contents, began: self.began }
    }
}

impl Seen {
    /// Nothing failed, nothing lost, nothing odd.
    pub(crate) fn assert_flawless(&self) {
        assert!(self.findings.done > 0, "nothing was done at all");
        assert!(self.findings.is_flawless(), "{:?}", self.findings);
    }

    /// Nothing odd; loss is another matter.
    pub(crate) fn assert_honest(&self) {
        assert!(self.findings.done > 0, "nothing was done at all");
        assert!(self.findings.is_honest(), "{:?}", self.findings);
    }

    /// Milliseconds since 1970 by the wall clock.
    pub(crate) fn unix_ms(&self, at: Duration) -> u64 {
        let since = self.began.duration_since(UNIX_EPOCH).expect("after 1970") + at;
        u64::try_from(since.as_millis()).expect("in this era")
    }
}

/// A small file system in memory, gone with the value.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// `None`, with the reason printed, where mounting is not allowed.
    pub(crate) fn mount(mib: u32) -> Option<Self> {
        let dir = TempDir::new().expect("a directory");
        let size = format!("size={mib}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                eprintln!("SKIPPED: mounting is not allowed: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: there is no mount: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server of ours may still be about to end.
        Command::new("umount").arg("-l").arg(self.path()).status().ok();
    }
}
