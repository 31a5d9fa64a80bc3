//! The store and what stands in front of it, each with its best settings, one thread each.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// One way to the store.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) port: u16,
    child: Child,
    _dir: TempDir,
}

impl Target {
    /// User and system time so far, in ticks of 10 ms (`proc(5)`, fields 14 and 15).
    pub(crate) fn cpu_ticks(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat =
            std::fs::read_to_string(&path).map_err(|error| format!("{} has ended: {error}", self.name))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |n: usize| after_name.split_whitespace().nth(n - 3).and_then(|f| f.parse::<u64>().ok());
        field(14).zip(field(15)).map(|(user, system)| user + system).ok_or_else(|| format!("{path} is odd"))
    }

    fn start(
        name: &'static str,
        version: String,
        port: u16,
        dir: TempDir,
        command: &mut Command,
    ) -> Result<Self, String> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("start {name}: {error}"))?;
        let mut target = Self { name, version, port, child, _dir: dir };
        let deadline = std::time::Duration::from_secs(15);
        let mut waited = Duration::ZERO;
        // Ready when a command passes all the way.
        while waited < deadline {
            if let Ok(Some(status)) = target.child.try_wait() {
                return Err(format!("{name} ended at its start: {status}"));
            }
            if answers(port) {
                return Ok(target);
            }
            let pause = Duration::from_millis(50);
            std::thread::sleep(pause);
            waited += pause;
        }
        Err(format!("{name} does not answer on port {port}"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn answers(port: u16) -> bool {
    use std::io::Read;
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    socket.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && socket.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n").is_ok()
        && matches!(socket.read(&mut [0; 16]), Ok(n) if n > 0)
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().chars().take(60).collect())
}

/// Everything that watches, foretells and writes down, and everything that can be left out of it. Nothing moves the role in the
/// middle of a measurement.
const WATCHFUL: &str = "risk = { policy = \"prepare\", step = \"1s\", judges = \"both\", record = \"on\" }";
const BLIND: &str = "risk = { policy = \"observe\", step = \"1h\", judges = \"rule\", record = \"off\" }";

fn redis(name: &'static str, more: &[&str]) -> Result<Target, String> {
    let named = version("redis-server", "--version")
        .ok_or("redis-server is not installed: apt-get install redis-server")?;
    let (home, port) = (TempDir::new().map_err(|error| error.to_string())?, free_port()?);
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(home.path());
    redis.args(more);
    Target::start(name, named, port, home, &mut redis)
}

fn us(name: &'static str, risk: &str, endpoints: &[(&str, u16)]) -> Result<Target, String> {
    let (home, port) = (TempDir::new().map_err(|error| error.to_string())?, free_port()?);
    let mut text = format!(
        "state_dir = {:?}\n[[store]]\nname = \"bench\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n\
         writers = \"this-sidecar\"\n{risk}\n",
        home.path().join("state")
    );
    for (role, port) in endpoints {
        text += &format!(
            "[[store.endpoint]]\nname = \"{role}\"\nrole = \"{role}\"\nurl = \"redis://127.0.0.1:{port}\"\n"
        );
    }
    let file = home.path().join("foretoken.toml");
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    let mut us = Command::new(env!("CARGO_BIN_EXE_foretoken"));
    us.args(["run", "--config"]).arg(&file);
    let named = concat!("foretoken ", env!("CARGO_PKG_VERSION")).to_owned();
    Target::start(name, named, port, home, &mut us)
}

/// What is measured, and what only has to be there.
pub(crate) struct Targets {
    pub(crate) measured: Vec<Target>,
    _mirror: Target,
}

/// The store itself first, then us with everything on and with everything off, then the peers that are installed.
pub(crate) fn start() -> Result<Targets, String> {
    let dir = || TempDir::new().map_err(|error| error.to_string());
    let direct = redis("direct", &[])?;
    let store = direct.port;
    let mirror = redis("mirror", &["--replicaof", "127.0.0.1", &store.to_string()])?;
    let all_on = us("foretoken", WATCHFUL, &[("primary", store), ("mirror", mirror.port)])?;
    let all_off = us("foretoken, all off", BLIND, &[("primary", store)])?;
    let mut targets = vec![direct, all_on, all_off];

    if let Some(named) = version("haproxy", "-v") {
        let (home, port) = (dir()?, free_port()?);
        let file = home.path().join("haproxy.cfg");
        let text = format!(
            "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
             timeout server 1h\nlisten redis\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{store}\n"
        );
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        targets.push(Target::start(
            "haproxy",
            named,
            port,
            home,
            Command::new("haproxy").arg("-f").arg(&file),
        )?);
    } else {
        eprintln!("haproxy is not installed: left out (apt-get install haproxy)");
    }
    if let Some(named) = version("nutcracker", "-V") {
        let (home, port) = (dir()?, free_port()?);
        let file = home.path().join("nutcracker.yml");
        let text = format!(
            "redis:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - \
             127.0.0.1:{store}:1\n"
        );
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let stats = free_port()?.to_string();
        let mut twemproxy = Command::new("nutcracker");
        twemproxy.arg("-c").arg(&file).args(["-a", "127.0.0.1", "-s", &stats, "-m", "16384"]);
        targets.push(Target::start("twemproxy", named, port, home, &mut twemproxy)?);
    } else {
        eprintln!("twemproxy is not installed: left out (apt-get install nutcracker)");
    }
    Ok(Targets { measured: targets, _mirror: mirror })
}
