//! Servers for tests: started on free ports, in directories of their own, and never left running.

use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use foretoken_protocol::Dial;
use foretoken_transport::Connector;
use foretoken_types::Address;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::control::client::{Client, Pipeline};
use crate::control::value::Value;
use crate::control::{ControlParams, Credentials, RedisControl};

/// Longer than any healthy server takes under load, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `redis-server`; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    pub(super) dir: TempDir,
}

impl Server {
    /// Starts a server that keeps nothing, with more arguments at will.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments).await
    }

    /// The same in a directory that may hold data.
    pub(super) async fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        Self::launch(dir, arguments, None).await
    }

    /// The same for a server that answers nobody without a password.
    pub(super) async fn start_with_login(arguments: &[&str], user: &str, password: &str) -> Self {
        let login = credentials(Some(user), password);
        Self::launch(tempfile::tempdir().unwrap(), arguments, Some(login)).await
    }

    async fn launch(mut dir: TempDir, arguments: &[&str], login: Option<Credentials>) -> Self {
        // Between finding a free port and using it somebody else may take it: then try another.
        for _ in 0..20 {
            let port = free_port();
            let child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
                .args(["--save", "", "--repl-diskless-sync-delay", "0", "--logfile", "log"])
                .args(arguments)
                .arg("--dir")
                .arg(dir.path())
                .current_dir(dir.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server is installed");
            let mut server = Self { child, port, dir };
            if server.wait_ready(&login).await {
                return server;
            }
            server.kill();
            dir = server.into_dir();
        }
        panic!("no server could be started");
    }

    /// Starts a Sentinel with the configuration in `file`, which it rewrites.
    pub(super) async fn start_sentinel(dir: TempDir, file: &std::path::Path) -> Self {
        let port = free_port();
        let child = Command::new("redis-server")
            .arg(file)
            .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, port, dir }
    }

    /// Kills the server and keeps its directory.
    pub(super) fn into_dir(mut self) -> TempDir {
        self.kill();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Whether the server that answers at the port is this one; `false` when it has ended.
    async fn wait_ready(&mut self, login: &Option<Credentials>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let own = format!("process_id:{}", self.child.id());
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let mut client = Client::new(connector(self.port), login.clone());
            let info = client.ask(&Pipeline::default().command("INFO", &["server"])).await;
            if let Ok(Value::Bulk(text)) =
                info.and_then(|mut replies| replies.take()).map(|reply| reply.value)
            {
                return String::from_utf8_lossy(&text).contains(&own);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Sends `kill -9` and waits for the end.
    pub(super) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(super) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Asks as an application would.
    pub(super) async fn ask(&self, name: &'static str, arguments: &[&str]) -> Value {
        let pipeline = Pipeline::default().command(name, arguments);
        let mut client = Client::new(connector(self.port), None);
        client.ask(&pipeline).await.unwrap().take().unwrap().value
    }

    pub(super) fn dial(&self, name: &str) -> Dial {
        Dial { endpoint: name.into(), host: "127.0.0.1".into(), port: self.port }
    }

    pub(super) fn control(&self) -> RedisControl {
        RedisControl::new(params(self.port))
    }

    pub(super) fn control_among(&self, endpoints: &[Dial]) -> RedisControl {
        RedisControl::new(ControlParams { endpoints: endpoints.to_vec(), ..params(self.port) })
    }

    pub(super) fn control_as(&self, user: Option<&str>, password: &str) -> RedisControl {
        RedisControl::new(ControlParams {
            credentials: Some(credentials(user, password)),
            ..params(self.port)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn credentials(user: Option<&str>, password: &str) -> Credentials {
    Credentials { user: user.map(str::to_owned), password: Zeroizing::new(password.to_owned()) }
}

pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn connector(port: u16) -> Connector {
    Connector::plain(Address::Tcp { host: "127.0.0.1".into(), port }, Duration::from_secs(10))
}

pub(super) fn params(port: u16) -> ControlParams {
    ControlParams {
        store: "orders".into(),
        connector: connector(port),
        credentials: None,
        timeout: Duration::from_secs(10),
        endpoints: Vec::new(),
        this: "a".into(),
    }
}

/// Repeats `attempt` until it returns something.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
