//! The product itself, as a process of its own, run from a configuration file that can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use foretoken_app::client::model::{EndpointStatus, LinkState, RoleName, StoreStatus};
use foretoken_app::client::{Client, ClientError, StoreId};
use foretoken_config::Config;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::Error;
use crate::servers::{Server, free_port};

/// Name of the one store.
pub const STORE: &str = "demo";
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(5);

/// What the sidecar's configuration says beyond the servers.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where configuration, state and log go.
    pub dir: PathBuf,
    /// The first one is the primary.
    pub endpoints: Vec<(String, String, String)>,
    /// More lines for the table of the store.
    pub store: String,
    /// More lines for the table of each endpoint.
    pub endpoint: String,
    /// More lines for the table of one endpoint, by its name.
    pub of_endpoint: BTreeMap<String, String>,
    /// More lines before the store: tables of the whole process.
    pub process: String,
    /// Whether this sidecar is the only way in.
    pub sole_writer: bool,
    /// Environment variables for the process.
    pub environment: Vec<(String, String)>,
}

impl Setup {
    /// In front of `servers`, of which the first is the primary.
    #[must_use]
    pub fn new(dir: &Path, servers: &[Server]) -> Self {
        let endpoint = |server: &Server| (server.name.clone(), server.url(), server.region.clone());
        Self {
            dir: dir.to_owned(),
            endpoints: servers.iter().map(endpoint).collect(),
            store: String::new(),
            endpoint: String::new(),
            of_endpoint: BTreeMap::new(),
            process: String::new(),
            sole_writer: true,
            environment: Vec::new(),
        }
    }

    /// The configuration file's text, listening on `port`.
    #[must_use]
    pub fn config(&self, port: u16) -> String {
        let writers = if self.sole_writer { "this-sidecar" } else { "others" };
        let mut text = format!(
            "state_dir = {:?}\n{}\n[[store]]\nname = \"{STORE}\"\nprotocol = \"redis\"\n\
             listen = [\"127.0.0.1:{port}\"]\nwriters = \"{writers}\"\n{}",
            self.dir.join("state"),
            self.process,
            self.store
        );
        for (number, (name, url, region)) in self.endpoints.iter().enumerate() {
            let role = if number == 0 { "primary" } else { "mirror" };
            // Writing to a string can't fail.
            write!(
                text,
                "\n[[store.endpoint]]\nname = \"{name}\"\nurl = \"{url}\"\nrole = \"{role}\"\nregion = \"{region}\"\n{}{}",
                self.endpoint,
                self.of_endpoint.get(name).map_or("", String::as_str)
            )
            .ok();
        }
        text
    }
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    program: PathBuf,
    dir: PathBuf,
    environment: Vec<(String, String)>,
    /// What it was configured with.
    pub config: String,
    port: u16,
    client: Client,
    child: Option<Child>,
}

impl Sidecar {
    /// Writes the configuration, and starts `program` with it.
    ///
    /// # Errors
    ///
    /// The file can't be written or is wrong, or the program can't be started.
    pub fn start(program: &Path, setup: &Setup) -> Result<Self, Error> {
        std::fs::create_dir_all(&setup.dir)?;
        let port = free_port()?;
        let text = setup.config(port);
        std::fs::write(setup.dir.join("foretoken.toml"), &text)?;
        let config =
            Config::parse(&text, "foretoken.toml").map_err(|faults| Error::Sidecar(faults.to_string()))?;
        let mut sidecar = Self {
            program: program.to_owned(),
            dir: setup.dir.clone(),
            environment: setup.environment.clone(),
            config: text,
            port,
            client: Client::unix(config.admin_socket()),
            child: None,
        };
        sidecar.launch()?;
        Ok(sidecar)
    }

    fn launch(&mut self) -> io::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.dir.join("foretoken.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("sidecar.log")
    }

    /// Where its configuration is.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("foretoken.toml")
    }

    /// The URL that applications use instead of the store's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its API.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The store as it is now.
    ///
    /// # Errors
    ///
    /// The sidecar does not answer.
    pub async fn status(&self) -> Result<StoreStatus, ClientError> {
        self.client.store(&StoreId::from(STORE)).await
    }

    /// Waits until the store is as wished.
    ///
    /// # Errors
    ///
    /// It is not in time, or the sidecar has ended.
    pub async fn wait(
        &mut self,
        what: &str,
        within: Duration,
        is: impl Fn(&StoreStatus) -> bool,
    ) -> Result<StoreStatus, Error> {
        let deadline = Instant::now() + within;
        let mut look = tokio::time::interval(LOOK);
        let mut last;
        loop {
            look.tick().await;
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                return Err(Error::Sidecar(format!(
                    "the sidecar ended with {status} while waiting for {what}"
                )));
            }
            match self.status().await {
                Ok(status) if is(&status) => return Ok(status),
                Ok(status) => last = summary(&status),
                Err(error) => last = error.to_string(),
            }
            if Instant::now() >= deadline {
                return Err(Error::Sidecar(format!("waited {within:?} in vain for {what}; last: {last}")));
            }
        }
    }

    /// Waits until requests are served and every endpoint but the primary is a mirror that lacks nothing.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub async fn wait_whole(&mut self, within: Duration) -> Result<StoreStatus, Error> {
        self.wait("every mirror to be complete", within, is_whole).await
    }

    /// Sum of a counter over all labels, 0 when it is not there.
    ///
    /// # Errors
    ///
    /// The sidecar does not answer.
    pub async fn counter(&self, name: &str) -> Result<u64, ClientError> {
        let text = self.client.metrics().await?;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
    }

    /// kill -9.
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

    /// Starts it again, with the same state.
    ///
    /// # Errors
    ///
    /// It can't be started.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.launch()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let child = self.child.as_ref().ok_or_else(|| io::Error::other("the sidecar is not running"))?;
        kill_process(Pid::from_child(child), signal)?;
        Ok(())
    }

    /// SIGTERM, and waits for the end. A sidecar that does not end in time is killed.
    ///
    /// # Errors
    ///
    /// It did not end by itself.
    pub async fn stop(&mut self, within: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + within;
        let mut look = tokio::time::interval(LOOK);
        while Instant::now() < deadline {
            look.tick().await;
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                return Ok(status);
            }
        }
        self.kill()?;
        Err(io::Error::other(format!("the sidecar did not end within {within:?}")))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// The store in a line, for when it is not as wished.
fn summary(status: &StoreStatus) -> String {
    let primary = status.primary.as_ref().map_or("nobody", |primary| primary.as_str());
    let reason = status.reason.as_deref().unwrap_or("no reason given");
    let mut words = format!("{}, ready {}, primary {primary}: {reason}", status.state, status.ready);
    for endpoint in &status.endpoints {
        let EndpointStatus { name, role, copies, link, lag_bytes, why_not, .. } = endpoint;
        // Writing to a string can't fail.
        write!(words, "; {name} {role:?} of {copies:?}, link {link:?}, lag {lag_bytes:?}, {why_not:?}").ok();
    }
    words
}

/// Under load a mirror is always some bytes behind: positions are not read at the same moment.
const NEAR: u64 = 1024 * 1024;

fn is_complete(endpoint: &EndpointStatus) -> bool {
    endpoint.role == Some(RoleName::Mirror)
        && endpoint.link == Some(LinkState::Up)
        && endpoint.lag_bytes.is_some_and(|bytes| bytes <= NEAR)
        && endpoint.eligible_for_promotion
}

/// Whether no mirror is behind by a byte. Comes only while nobody writes.
#[must_use]
pub fn is_equal(status: &StoreStatus) -> bool {
    let behind =
        |endpoint: &EndpointStatus| endpoint.role == Some(RoleName::Mirror) && endpoint.lag_bytes != Some(0);
    is_whole(status) && !status.endpoints.iter().any(behind)
}

/// Whether requests are served and every endpoint but the primary is a mirror that lacks nothing.
#[must_use]
pub fn is_whole(status: &StoreStatus) -> bool {
    let mirrors = status.endpoints.iter().filter(|endpoint| Some(&endpoint.name) != status.primary.as_ref());
    status.ready
        && mirrors.clone().count() + 1 == status.endpoints.len()
        && mirrors.into_iter().all(is_complete)
}
