//! A sidecar whose primary and control loop are taken away at the same moment: what is left are the tokens in hand.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, interval, sleep_until};

use crate::Error;
use crate::checker::{Findings, check};
use crate::history::{Contents, Ending, Operation};
use crate::servers::Server;
use crate::sidecar::{Setup, Sidecar, is_equal};
use crate::workload::{Load, Mix, Workload, contents};

/// Life of a temporary token.
pub const TEMPORARY: Duration = Duration::from_secs(30);
/// What is left of one at least: it is renewed then.
pub const TEMPORARY_LEAST: Duration = Duration::from_secs(20);
/// Within that a lease has ended, and reads have found another way.
pub const HANDED_OVER: Duration = Duration::from_secs(3);
/// How long anything may take that does not take long.
const SOON: Duration = Duration::from_secs(30);
const CLIENTS: u16 = 8;
/// Writes before it begins.
const WRITES: u64 = 500;
/// Reads before it begins.
const READS: u64 = 100;
/// Reads that wait are refused after that, so that clients end soon.
const HOLD: &str = "2s";

/// A store with one mirror, which may serve reads while the primary can't.
#[derive(Debug)]
pub struct Alone {
    /// In front of it.
    pub sidecar: Sidecar,
    /// The primary first.
    pub servers: Vec<Server>,
    written: Vec<Operation>,
    contents: Contents,
    load: Load,
}

/// The same with nobody left, and clients that read.
#[derive(Debug)]
pub struct Left {
    // Both are there until the end.
    sidecar: Sidecar,
    servers: Vec<Server>,
    readers: Workload,
    written: Vec<Operation>,
    contents: Contents,
    from: Instant,
}

/// What clients saw.
#[derive(Debug)]
pub struct Seen {
    /// Reads.
    pub history: Vec<Operation>,
    /// When the history began.
    pub epoch: Instant,
    /// When nobody was left, since then.
    pub from: Duration,
    /// Of writes before and reads.
    pub findings: Findings,
}

impl Alone {
    /// Starts it, writes something, and waits until the mirror has all of it. `policy`: how far to go when at risk.
    ///
    /// # Errors
    ///
    /// Something can't be started, or is not ready in time.
    pub async fn set(program: &Path, dir: &Path, policy: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(dir)?;
        let servers = ["a", "b"]
            .iter()
            .map(|name| Server::start(dir, name, "west"))
            .collect::<std::io::Result<Vec<_>>>()?;
        let mut setup = Setup::new(dir, &servers);
        setup.store = format!(
            "reads = \"mirror-when-held\"\nhold_max = \"{HOLD}\"\n\
             risk = {{ policy = \"{policy}\", step = \"1s\", cooldown = \"0s\" }}\n"
        );
        setup.environment = vec![("FORETOKEN_FAULTS".to_owned(), "halt-control-on-sigusr1".to_owned())];
        let mut sidecar = Sidecar::start(program, &setup)?;
        sidecar.wait_whole(SOON).await?;
        let load = Load {
            url: sidecar.url(),
            first: 0,
            clients: CLIENTS,
            prefix: "alone".to_owned(),
            seed: 1,
            epoch: Instant::now(),
            mix: Mix::All,
            pause: Duration::ZERO,
        };
        let writers = Workload::start(load.clone())?;
        if !writers.advances(WRITES, SOON).await {
            return Err(Error::Sidecar("clients could not write".to_owned()));
        }
        let written = writers.finish().await;
        sidecar.wait("a mirror that lacks nothing", SOON, is_equal).await?;
        let contents = contents(&load.url, &load).await?;
        Ok(Self { sidecar, servers, written, contents, load })
    }

    /// Halts the control loop and kills the primary while clients read.
    ///
    /// # Errors
    ///
    /// Clients can't read, or the control loop goes on.
    pub async fn leave(mut self) -> Result<Left, Error> {
        let readers = Workload::start(Load { mix: Mix::Reads, seed: 2, ..self.load })?;
        if !readers.advances(READS, SOON).await {
            return Err(Error::Sidecar("clients could not read".to_owned()));
        }
        self.sidecar.signal(Signal::USR1)?;
        let deadline = Instant::now() + SOON;
        let mut look = interval(Duration::from_millis(1));
        while !std::fs::read_to_string(self.sidecar.log())?.contains("the control loop is halted") {
            if Instant::now() >= deadline {
                return Err(Error::Sidecar(
                    "the control loop was not halted: is this a build with faults?".to_owned(),
                ));
            }
            look.tick().await;
        }
        self.servers[0].kill()?;
        Ok(Left {
            sidecar: self.sidecar,
            servers: self.servers,
            readers,
            written: self.written,
            contents: self.contents,
            from: Instant::now(),
        })
    }
}

impl Left {
    /// Waits until no token can live any more, and gives what clients saw.
    ///
    /// # Errors
    ///
    /// Nothing that is known.
    pub async fn ends(self) -> Result<Seen, Error> {
        let epoch = self.readers.load().epoch;
        // The life of a token is what is shown: there is no event to wait for but its end.
        sleep_until(self.from + TEMPORARY + HANDED_OVER).await;
        let history = self.readers.finish().await;
        drop((self.sidecar, self.servers));
        let mut all = self.written;
        all.extend(history.iter().cloned());
        let findings = check(&all, &self.contents, None);
        Ok(Seen { history, epoch, from: self.from - epoch, findings })
    }
}

impl Seen {
    /// When reads were answered after nobody was left, since then.
    fn answered(&self) -> impl Iterator<Item = Duration> {
        let done = self.history.iter().filter(|read| matches!(read.ending, Ending::Done(_)));
        done.filter_map(|read| read.ended.checked_sub(self.from))
    }

    /// How many.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.answered().count()
    }

    /// For how long reads were answered.
    #[must_use]
    pub fn went_on(&self) -> Duration {
        self.answered().max().unwrap_or_default()
    }

    /// The longest time without an answer, between the first moment and the last answer.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let mut moments: Vec<Duration> = std::iter::once(Duration::ZERO).chain(self.answered()).collect();
        moments.sort_unstable();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
