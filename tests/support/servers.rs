//! redis-server processes of a test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use tempfile::TempDir;

/// A redis-server on a free port, killed when dropped.
pub struct RedisServer {
    pub port: u16,
    child: Child,
    _dir: TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port()
}

impl RedisServer {
    pub fn start(extra: &[&str]) -> Self {
        for _ in 0..10 {
            let (port, dir) = (free_port(), TempDir::new().expect("a directory"));
            let mut child = Command::new("redis-server")
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ])
                .args(["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"])
                .arg("--dir")
                .arg(dir.path())
                .args(extra)
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed");
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { port, child, _dir: dir };
                }
                std::thread::yield_now();
            }
            // The port was taken in between: try another.
            child.kill().ok();
            child.wait().ok();
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).expect("a URL").get_connection().expect("it runs")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
