//! A redis-server for the tests of this crate.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long a server may take for what it has to do.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server that ends with its owner.
pub struct Server {
    child: Child,
    pub port: u16,
    dir: tempfile::TempDir,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        // The free port may be taken before the server has it: then it ends, and another port is tried.
        (0..10).find_map(|_| Self::try_start(options)).expect("redis-server is installed and starts")
    }

    fn try_start(options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(dir.path())
            .args(["--repl-diskless-sync-delay", "0", "--unixsocket"])
            .arg(dir.path().join("redis.sock"))
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, port, dir };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && server.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Opened after the port, and by nobody else: behind the port could be the server of another test.
            if UnixStream::connect(server.dir.path().join("redis.sock")).is_ok() {
                return Some(server);
            }
            std::thread::yield_now();
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end and nothing to do about it.
        self.child.kill().and_then(|()| self.child.wait().map(drop)).unwrap_or_default();
    }
}
