//! The store and what stands in front of it, one thread each.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::address::{Address, free_port};
use crate::peers::{self, Envoy, Task};
use crate::process::{Process, version};
use crate::tls::certified;
use crate::us::{self, BLIND, SYNCHRONOUS, WATCHFUL};
use crate::{Way, envoy};

pub(crate) const ENVOY: &str = "envoy";
pub(crate) const ENVOY_TCP: &str = "envoy, TCP only";

/// One way to a store.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) address: Address,
    /// Process of the proxy, or of the store when there is none.
    pub(crate) process: u32,
    /// Process of the store.
    pub(crate) store: u32,
}

impl Target {
    pub(crate) fn is_direct(&self) -> bool {
        self.process == self.store
    }
}

/// All targets of one way. The first is direct: the others are held against it.
pub(crate) struct Stage {
    pub(crate) targets: Vec<Target>,
    way: Way,
    certificates: TempDir,
    processes: Vec<Process>,
}

/// A redis-server, and its port without TLS.
#[derive(Clone, Copy)]
struct Store {
    process: u32,
    port: u16,
}

impl Stage {
    pub(crate) fn set(way: Way) -> Result<Self, String> {
        let mut stage = Self { targets: Vec::new(), way, certificates: certified()?, processes: Vec::new() };
        let store = stage.direct()?;
        let mirror = stage.mirror(store)?;
        stage.us("foretoken", store, &[WATCHFUL], Some(mirror))?;
        match way {
            // On servers of its own: of two sidecars with one store, one only follows.
            Way::Synchronous => {
                let store = stage.redis(&[])?;
                let mirror = stage.mirror(store)?;
                stage.us("foretoken, synchronous", store, &[WATCHFUL, SYNCHRONOUS], Some(mirror))?;
            }
            Way::Tcp => {
                stage.us("foretoken, all off", store, &[BLIND], None)?;
                stage.peers(store)?;
            }
            Way::Tls | Way::Unix => stage.peers(store)?,
        }
        Ok(stage)
    }

    /// The store itself. Over a Unix socket there are two: clients of a store on another machine reach that over TCP.
    fn direct(&mut self) -> Result<Store, String> {
        let file = |name: &str| self.certificates.path().join(name).display().to_string();
        let (tls, socket) = (free_port()?, file("direct.sock"));
        let options = match self.way {
            Way::Tcp | Way::Synchronous => Vec::new(),
            Way::Unix => vec!["--unixsocket".to_owned(), socket.clone()],
            Way::Tls => {
                let [cert, key, ca] = ["listener.pem", "listener.key", "ca.pem"].map(file);
                let port = tls.to_string();
                let options = [
                    ["--tls-port", &port],
                    ["--tls-cert-file", &cert],
                    ["--tls-key-file", &key],
                    ["--tls-ca-cert-file", &ca],
                    ["--tls-auth-clients", "no"],
                ];
                options.concat().into_iter().map(str::to_owned).collect()
            }
        };
        let store = self.redis(&options)?;
        let tcp = Address::Tcp(store.port);
        let ways_to_it = match self.way {
            Way::Tcp | Way::Synchronous => vec![("direct", tcp)],
            Way::Tls => vec![("direct", Address::Tls(tls))],
            Way::Unix => vec![("direct", tcp), ("direct, Unix socket", Address::Unix(PathBuf::from(socket)))],
        };
        for (name, address) in ways_to_it {
            self.targets.push(Target { name, address, process: store.process, store: store.process });
        }
        Ok(store)
    }

    fn mirror(&mut self, store: Store) -> Result<u16, String> {
        let options = ["--replicaof".to_owned(), "127.0.0.1".to_owned(), store.port.to_string()];
        Ok(self.redis(&options)?.port)
    }

    fn redis(&mut self, options: &[String]) -> Result<Store, String> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        let home = home()?;
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(home.path());
        command.args(options);
        let process = self.run("redis-server", home, &Address::Tcp(port), &mut command)?;
        Ok(Store { process, port })
    }

    /// Those that can be had.
    fn peers(&mut self, store: Store) -> Result<(), String> {
        if version("haproxy", "-v").is_some() {
            self.stand("haproxy", store, |task| peers::haproxy(task).map(Some))?;
        } else {
            eprintln!("haproxy is not installed: left out (apt-get install haproxy)");
        }
        if version("nutcracker", "-V").is_some() {
            self.stand("twemproxy", store, peers::twemproxy)?;
        } else {
            eprintln!("twemproxy is not installed: left out (apt-get install nutcracker)");
        }
        match envoy::program() {
            Ok(program) => {
                for (name, kind) in [(ENVOY, Envoy::Redis), (ENVOY_TCP, Envoy::Tcp)] {
                    self.stand(name, store, |task| peers::envoy(&program, kind, task).map(Some))?;
                }
            }
            Err(why) => eprintln!("envoy can't be had: left out ({why})"),
        }
        Ok(())
    }

    fn us(
        &mut self,
        name: &'static str,
        store: Store,
        keys: &[&str],
        mirror: Option<u16>,
    ) -> Result<(), String> {
        self.stand(name, store, |task| us::foretoken(task, keys, mirror).map(Some))
    }

    /// Starts what `command` makes of its task; nothing, when it can't do it.
    fn stand(
        &mut self,
        name: &'static str,
        store: Store,
        command: impl FnOnce(&Task<'_>) -> Result<Option<Command>, String>,
    ) -> Result<(), String> {
        let home = home()?;
        let address = Address::free(self.way, home.path())?;
        let certificates = self.certificates.path();
        let task = Task { home: home.path(), listen: &address, store: store.port, certificates };
        if let Some(mut command) = command(&task)? {
            let process = self.run(name, home, &address, &mut command)?;
            self.targets.push(Target { name, address, process, store: store.process });
        }
        Ok(())
    }

    /// Number of the process, which answers.
    fn run(
        &mut self,
        name: &str,
        home: TempDir,
        address: &Address,
        command: &mut Command,
    ) -> Result<u32, String> {
        let mut process = Process::start(home, command)?;
        process.answers(name, address)?;
        let id = process.id();
        self.processes.push(process);
        Ok(id)
    }
}

impl Drop for Stage {
    /// Proxies before stores: none is left without a store.
    fn drop(&mut self) {
        while self.processes.pop().is_some() {}
    }
}

pub(crate) fn home() -> Result<TempDir, String> {
    TempDir::new().map_err(|error| format!("a directory: {error}"))
}
