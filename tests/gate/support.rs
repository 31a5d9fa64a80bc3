//! Servers behind gates, the sidecar in front of them, and raw connections.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use foretoken_app::client::model::{StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_app::client::{Client, StoreId};
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{STORE, Setup, Sidecar};
use tempfile::TempDir;
use tokio::time::Instant;

/// Far above what anything here takes: reached only when it never comes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_foretoken"))
}

/// A gate, as a process of its own.
pub(crate) struct Gate {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: Client,
    log: PathBuf,
}

impl Gate {
    /// In front of the server on `server`, known to the sidecar as `endpoint`, whose API is at `api`.
    pub(crate) fn start(dir: &Path, endpoint: &str, server: u16, api: &str) -> Self {
        Self::start_with(dir, endpoint, &format!("redis://127.0.0.1:{server}"), api, "")
    }

    /// With more lines at the end of the configuration.
    pub(crate) fn start_with(dir: &Path, endpoint: &str, url: &str, api: &str, more: &str) -> Self {
        let text = format!(
            "store = \"{STORE}\"\nendpoint = \"{endpoint}\"\nlisten = \"127.0.0.1:0\"\nurl = \"{url}\"\n\
             admin = \"127.0.0.1:0\"\n[sidecar]\napi = \"{api}\"\n{more}"
        );
        let file = dir.join(format!("gate-{endpoint}.toml"));
        std::fs::write(&file, text).expect("a directory of ours");
        let log = dir.join(format!("gate-{endpoint}.log"));
        let child = Command::new(program())
            .args(["gate", "--log-level", "info", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a directory of ours"))
            .spawn()
            .expect("it was built");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gate = Self { child, address: nowhere, admin: Client::tcp("127.0.0.1", 0), log };
        // It says which ports it got.
        gate.address = gate.listens_on("gate listening");
        gate.admin = Client::tcp("127.0.0.1", gate.listens_on("admin listening").port());
        gate
    }

    fn listens_on(&mut self, what: &str) -> SocketAddr {
        let deadline = Instant::now() + LONG;
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines = text.lines().filter(|line| line.contains(what));
            let words =
                lines.flat_map(|line| line.split(' ')).filter_map(|word| word.strip_prefix("address="));
            if let Some(address) = words.filter_map(|word| word.parse().ok()).next() {
                return address;
            }
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "it does not say \"{what}\": {ended:?}\n{text}"
            );
            std::thread::yield_now();
        }
    }

    /// Waits until it has the sidecar's word, or has lost it.
    pub(crate) async fn wait(&self, heard: bool) {
        let what = if heard { "a word of the sidecar" } else { "the end of the sidecar's word" };
        let is = async || self.admin.ready().await.is_ok_and(|readiness| readiness.ready == heard);
        until(what, is, || std::fs::read_to_string(&self.log).unwrap_or_default()).await;
    }

    /// The counter of this name with these labels.
    pub(crate) async fn counter(&self, name: &str, label: &str) -> u64 {
        let text = self.admin.metrics().await.expect("answers");
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        let line = line.unwrap_or_else(|| panic!("no {name} with {label} in\n{text}"));
        line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
    }

    /// Bytes of memory that it uses.
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// What it says to these first bytes, until it hangs up.
    pub(crate) fn says_to(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        stream.write_all(bytes).expect("it reads");
        rest(&mut stream)
    }
}

/// All that comes until the other side hangs up.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("it hangs up");
    String::from_utf8_lossy(&said).into_owned()
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits for `is`, and says in vain for what.
pub(crate) async fn until(what: &str, is: impl AsyncFn() -> bool, log: impl Fn() -> String) {
    let deadline = Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !is().await {
        look.tick().await;
        assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", log());
    }
}

/// A store of several servers, each behind its gate, and a sidecar.
pub(crate) struct House {
    pub(crate) sidecar: Sidecar,
    pub(crate) gates: Vec<Gate>,
    pub(crate) servers: Vec<Server>,
    dir: TempDir,
}

impl House {
    /// Starts it and waits until every mirror is complete.
    pub(crate) async fn start(count: usize) -> Self {
        let dir = TempDir::new().expect("a directory");
        let names = &["a", "b", "c"][..count];
        let start = |name: &&str| Server::start(dir.path(), name, "here").expect("redis-server is installed");
        let servers: Vec<Server> = names.iter().map(start).collect();
        let api = format!("unix:{}", dir.path().join("state/admin.sock").display());
        let gate = |server: &Server| Gate::start(dir.path(), &server.name, server.port(), &api);
        let gates: Vec<Gate> = servers.iter().map(gate).collect();
        let mut setup = Setup::new(dir.path(), &servers);
        for (endpoint, gate) in setup.endpoints.iter_mut().zip(&gates) {
            endpoint.1 = format!("redis://{}", gate.address);
        }
        setup.of_endpoint = gated(&servers, "");
        let sidecar = Sidecar::start(program(), &setup).expect("starts");
        let mut house = Self { sidecar, gates, servers, dir };
        house.whole().await;
        house
    }

    pub(crate) async fn whole(&mut self) -> StoreStatus {
        let result = self.sidecar.wait_whole(LONG).await;
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    pub(crate) async fn wait(&mut self, what: &str, is: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        let result = self.sidecar.wait(what, LONG, is).await;
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// The API's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("state/admin.sock")
    }

    /// What everybody has logged.
    pub(crate) fn logs(&self) -> String {
        let mut text = std::fs::read_to_string(self.sidecar.log()).unwrap_or_default();
        for gate in &self.gates {
            text.push_str("\n--- a gate:\n");
            text.push_str(&std::fs::read_to_string(&gate.log).unwrap_or_default());
        }
        text
    }

    pub(crate) async fn switch(&self) -> SwitchoverReport {
        let request = SwitchoverRequest { to: None, dry_run: false };
        self.sidecar.client().switchover(&StoreId::from(STORE), &request).await.expect("is answered")
    }

    /// Clients that are connected to the server itself, ourselves not counted.
    pub(crate) fn inside(&self, server: usize) -> usize {
        let client = redis::Client::open(self.servers[server].url()).expect("a URL");
        let mut direct = client.get_connection().expect("it runs");
        let list: String =
            redis::cmd("CLIENT").arg(&["LIST", "TYPE", "NORMAL"]).query(&mut direct).expect("answers");
        list.lines().filter(|line| !line.trim().is_empty()).count() - 1
    }
}

/// The lines of each endpoint that say that it is behind a gate, and `more`.
pub(crate) fn gated(servers: &[Server], more: &str) -> BTreeMap<String, String> {
    let lines = |server: &Server| {
        let text = format!("gate = true\nadvertise = \"127.0.0.1:{}\"\n{more}", server.port());
        (server.name.clone(), text)
    };
    servers.iter().map(lines).collect()
}
