//! Real redis-servers of one's own: on free ports, in a temporary directory, and gone with the value.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// How long a server may take to come up.
const START_MAX: Duration = Duration::from_secs(10);

/// A redis-server that keeps a log of every write.
#[derive(Debug)]
pub struct Server {
    /// Its name, also in the sidecar's configuration.
    pub name: String,
    /// Where it is said to stand.
    pub region: String,
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
}

/// Below those that Linux gives to whoever asks for any: a connection that is made meanwhile does not take it.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port that nobody uses now.
///
/// # Errors
///
/// None of many is free.
pub fn free_port() -> io::Result<u16> {
    let mut last = None;
    for _ in 0..100 {
        let port = rand::random_range(PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no port is free")))
}

impl Server {
    /// Starts one. Its data will be in a new directory in `parent`.
    ///
    /// # Errors
    ///
    /// redis-server is not installed, or does not come up.
    pub fn start(parent: &Path, name: &str, region: &str) -> io::Result<Self> {
        let dir = parent.join(name);
        std::fs::create_dir_all(&dir)?;
        let mut server = Self { name: name.to_owned(), region: region.to_owned(), port: 0, dir, child: None };
        // Between the search for a free port and its use somebody else may take it.
        let mut last = None;
        for _ in 0..5 {
            server.port = free_port()?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("redis-server does not start")))
    }

    fn launch(&mut self) -> io::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log"))?;
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("redis-server can't be started: {error}"))
            })?;
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("redis-server ended at once: {status}")));
            }
            if TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok() {
                self.child = Some(child);
                return Ok(());
            }
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other(format!("redis-server does not listen on {address}")))
    }

    /// Starts it again, with the same data and port.
    ///
    /// # Errors
    ///
    /// It does not come up.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.launch()
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where its data are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The number of its process.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn process(&self) -> io::Result<u32> {
        self.child.as_ref().map(Child::id).ok_or_else(|| io::Error::other("it is not running"))
    }

    /// kill -9. Returns when it is dead.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP. Returns when it stands still.
    ///
    /// # Errors
    ///
    /// It is not running, or does not stop.
    pub fn freeze(&self) -> io::Result<()> {
        let pid = self.signal(Signal::STOP)?;
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            // The state follows the name, which is in parentheses and may hold anything.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
            if stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')) {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(io::Error::other("it does not stop"))
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    fn signal(&self, signal: Signal) -> io::Result<Pid> {
        let child = self.child.as_ref().ok_or_else(|| io::Error::other("it is not running"))?;
        let pid = Pid::from_child(child);
        kill_process(pid, signal)?;
        Ok(pid)
    }

    /// The files of its log of writes, open and read to their ends: what it writes from now on can be read from them even
    /// when it has deleted them by then.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub fn log_ends(&self) -> io::Result<Vec<std::fs::File>> {
        use std::io::{Seek as _, SeekFrom};

        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.dir.join("appendonlydir"))? {
            let path = entry?.path();
            if path.to_string_lossy().contains(".incr.") {
                let mut file = std::fs::File::open(path)?;
                file.seek(SeekFrom::End(0))?;
                files.push(file);
            }
        }
        Ok(files)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process, too.
        self.kill().ok();
    }
}
