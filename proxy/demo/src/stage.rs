//! What every act needs: servers, sidecar, clients, chance, and the table.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use foretoken_app::client::model::StoreStatus;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::Error;
use crate::checker::{Findings, check};
use crate::exhaustion::Disk;
use crate::history::{Contents, Fault, Operation};
use crate::live::Live;
use crate::record::{By, Looking, Record};
use crate::report::Report;
use crate::servers::Server;
use crate::sidecar::{Setup, Sidecar};
use crate::workload::{Load, Mix, Workload, contents};

/// Clients of an act.
pub(crate) const CLIENTS: u16 = 8;
/// What they are called in the report.
const CLIENTS_ARE: &str = "clients";
/// Clients that begin only when the primary stands still: what they send first reaches it for sure.
const RESERVE: u16 = 4;
/// How long a repair may take.
pub(crate) const REPAIR_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) report: Report,
    pub(crate) sidecar: Sidecar,
    pub(crate) servers: Vec<Server>,
    /// What is seen of it all.
    pub(crate) record: Record,
    looking: Looking,
    program: PathBuf,
    rng: StdRng,
    // The last two, so that everything in them is gone when they go.
    disks: Vec<Disk>,
    dir: TempDir,
}

/// Clients at work in an act.
pub(crate) struct Act {
    workload: Workload,
    live: Live,
    record: Record,
    /// Whether its clients go through the sidecar.
    through: bool,
    began: SystemTime,
}

/// An act that is over.
pub(crate) struct Over {
    pub(crate) history: Vec<Operation>,
    pub(crate) findings: Findings,
    pub(crate) contents: Contents,
    /// By the wall clock.
    pub(crate) began: SystemTime,
}

/// Where the servers stand.
const PLACES: [(&str, &str); 3] = [("a", "west"), ("b", "west"), ("c", "east")];

/// How many times faster the clocks of the risk go than by default: its step and its cool-down. Leases, detectors and
/// holds keep their times.
pub(crate) const COMPRESSION: u32 = 60;

/// Risk at which it is an alarm: a CPU counts for less than what ends in refusals, and is to be left in time as well.
const THRESHOLD_PERCENT: u32 = 40;

fn risk(policy: &str) -> String {
    let (step, cooldown) = (60 / COMPRESSION, 600 / COMPRESSION);
    format!(
        "risk = {{ policy = \"{policy}\", step = \"{step}s\", cooldown = \"{cooldown}s\", \
         threshold_percent = {THRESHOLD_PERCENT} }}\n"
    )
}

fn servers(dir: &Path, names: &[(&str, &str)]) -> std::io::Result<Vec<Server>> {
    names.iter().map(|(name, region)| Server::start(dir, name, region)).collect()
}

impl Stage {
    /// Three servers in two regions, and the sidecar in front of them.
    pub(crate) async fn set(program: &Path, seed: u64) -> Result<Self, Error> {
        let dir = TempDir::with_prefix("foretoken-demo-")?;
        let servers = servers(dir.path(), &PLACES)?;
        let mut setup = Setup::new(dir.path(), &servers);
        // Nothing runs out in the first acts; an alarm would be a false one, and is seen in the report.
        setup.store = risk("observe");
        let sidecar = Sidecar::start(program, &setup)?;
        let rng = StdRng::seed_from_u64(seed);
        let record = Record::new(servers.iter().map(|server| server.name.clone()).collect());
        let looking = record.look_at(sidecar.client());
        let (report, program) = (Report::default(), program.to_owned());
        let disks = Vec::new();
        let mut stage = Self { report, sidecar, servers, record, looking, program, rng, disks, dir };
        stage.sidecar.wait_whole(REPAIR_MAX).await?;
        Ok(stage)
    }

    /// Other servers and another sidecar, in place of those so far. `disks`: each server gets one of its own.
    pub(crate) async fn reset(&mut self, name: &str, disks: bool) -> Result<(), Error> {
        self.stop(false).await;
        let dir = self.dir.path().join(name);
        if disks {
            for (name, _) in PLACES {
                self.disks.push(Disk::mount(&dir.join(name))?);
            }
        }
        self.servers = servers(&dir, &PLACES)?;
        let mut setup = Setup::new(&dir, &self.servers);
        setup.store = risk("switch");
        self.sidecar = Sidecar::start(&self.program, &setup)?;
        self.looking = self.record.look_at(self.sidecar.client());
        self.sidecar.wait_whole(REPAIR_MAX).await?;
        Ok(())
    }

    /// Ends the sidecar and the servers. `all`: nothing comes after them.
    pub(crate) async fn stop(&mut self, all: bool) {
        let stopped = self.sidecar.stop(Duration::from_secs(10)).await;
        let words = stopped.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        let kept = stopped.is_ok_and(|status| status.success());
        if all || !kept {
            self.report.promise("end", "SIGTERM drains and ends the sidecar", words, kept);
        }
        self.servers.clear();
        self.disks.clear();
    }

    /// A place for more.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The program that is shown.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A moment of this run's own.
    pub(crate) fn chance(&mut self, least: Duration, most: Duration) -> Duration {
        self.rng.random_range(least..most)
    }

    /// One of several, by this run's own chance.
    pub(crate) fn draw<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.rng.random_range(0..from.len())])
    }

    /// Sends clients to work at `url`.
    pub(crate) fn begin(&mut self, url: String, prefix: &str) -> Result<Act, Error> {
        self.begin_with(url, prefix, Mix::All)
    }

    /// The same, with certain operations.
    pub(crate) fn begin_with(&mut self, url: String, prefix: &str, mix: Mix) -> Result<Act, Error> {
        let (began, epoch) = (crate::history::wall_clock(), Instant::now());
        let seed = self.rng.random();
        let through = url == self.sidecar.url();
        let (prefix, pause) = (prefix.to_owned(), Duration::ZERO);
        let load = Load { url, first: 0, clients: CLIENTS, prefix, seed, epoch, mix, pause };
        let workload = Workload::start(load)?;
        let live = Live::start(workload.progress(), self.sidecar.client());
        Ok(Act { workload, live, record: self.record.clone(), through, began })
    }

    /// The server that is the primary now.
    pub(crate) fn primary(&mut self, status: &StoreStatus) -> Result<&mut Server, Error> {
        let name = status.primary.as_ref().map_or("nobody", |primary| primary.as_str()).to_owned();
        let found = self.servers.iter_mut().find(|server| server.name == name);
        found.ok_or_else(|| Error::Sidecar(format!("the sidecar says that {name} is the primary")))
    }

    /// Tells of something that was done between acts.
    pub(crate) fn say(&self, words: &str) {
        println!("  {words}");
        self.record.event(By::Demo, words);
    }

    /// Rows that every act has.
    pub(crate) fn judge(&mut self, act: &'static str, findings: &Findings) {
        let faults = findings.faults();
        let measured = if faults.is_empty() {
            format!("{} operations done, each as it should be", findings.done)
        } else {
            format!("{} kinds of break", faults.len())
        };
        self.report.promise(act, "once, in order, never stale, never phantom", measured, faults.is_empty());
        for fault in faults {
            self.report.detail(format!("{act}: {fault}"));
        }
    }
}

impl Act {
    pub(crate) fn elapsed(&self) -> Duration {
        self.workload.load().epoch.elapsed()
    }

    /// Tells of something that was done, or of what came of it.
    pub(crate) fn say(&self, words: &str) {
        println!("  at {:.2} s: {words}", self.elapsed().as_secs_f64());
        self.record.event(By::Demo, words);
    }

    /// Tells of what the sidecar did, which its status tells the record.
    pub(crate) fn see(&self, words: &str) {
        println!("  at {:.2} s: {words}", self.elapsed().as_secs_f64());
    }

    /// Lets clients work on for that long.
    pub(crate) async fn play(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until operations are done again.
    pub(crate) async fn advances(&self, within: Duration) -> Result<(), Error> {
        if self.workload.advances(100, within).await {
            Ok(())
        } else {
            Err(Error::Sidecar(format!("clients had nothing done for {within:?}")))
        }
    }

    /// More clients of the same kind, which are connected and wait.
    pub(crate) async fn reserve(&self) -> Result<Workload, Error> {
        let load = self.workload.load().clone();
        let reserve = Workload::connect(Load { first: load.clients, clients: RESERVE, ..load })?;
        if reserve.connected(REPAIR_MAX).await {
            Ok(reserve)
        } else {
            Err(Error::Sidecar("the reserve could not connect".to_owned()))
        }
    }

    /// Lets clients end, and checks what they saw against what the store at `url` holds.
    pub(crate) async fn end(self, url: &str, fault: Option<Fault>) -> Result<Over, Error> {
        self.end_with(url, fault, None).await
    }

    /// The same, with the reserve.
    pub(crate) async fn end_with(
        self,
        url: &str,
        fault: Option<Fault>,
        reserve: Option<Workload>,
    ) -> Result<Over, Error> {
        let mut load = self.workload.load().clone();
        let mut history = self.workload.finish().await;
        if let Some(reserve) = reserve {
            load.clients += reserve.load().clients;
            history.extend(reserve.finish().await);
            history.sort_by_key(|operation| operation.invoked);
        }
        drop(self.live);
        if self.through {
            self.record.history(CLIENTS_ARE, &history, load.epoch);
        }
        let contents = contents(url, &load).await?;
        let findings = check(&history, &contents, fault);
        Ok(Over { history, findings, contents, began: self.began })
    }
}
