//! Looks at the machine under one endpoint, and at the endpoint's process there.
//!
//! In a task of its own: it goes on while the endpoint does not answer, which is when it matters most. And the samples of
//! whether it is stopped must not keep time with its answers, or they would all fall into the moments in which it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foretoken_health::{HostFigures, Process, host};
use foretoken_types::{BootInstant, Clock, Home};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::signal::Signal;
use super::watch_endpoint::HostSource;
use crate::scrape;

/// How often a process is looked at for being stopped. A stop that is shorter may be missed; over a step it evens out.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// How often this machine is looked at: as often as a step may be.
const LOCAL_EVERY: Duration = Duration::from_secs(1);
/// How often a node_exporter is asked: a page costs it some milliseconds.
const EXPORTER_EVERY: Duration = Duration::from_secs(5);
/// Name of this machine among sources of memory.
const THIS_MACHINE: u64 = 0;

/// What a watcher of a machine is given.
pub(super) struct HostWatcher {
    pub(super) endpoint: usize,
    pub(super) source: HostSource,
    /// What the endpoint says of where it lives.
    pub(super) home: watch::Receiver<Option<Home>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signals: mpsc::Sender<Signal>,
}

impl HostWatcher {
    /// Looks until nobody listens any more.
    pub(super) async fn run(mut self) {
        match self.source.clone() {
            HostSource::Unknown => {}
            HostSource::NodeExporter(url) => self.exporter(&url).await,
            HostSource::Local => self.local().await,
        }
    }

    async fn exporter(&mut self, url: &str) {
        let mut tick = every(EXPORTER_EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.signals.closed() => return,
            }
            let page = scrape::get(url).await.inspect_err(|error| {
                tracing::debug!(url, error = %error, "node_exporter was not read");
            });
            let Ok(page) = page else { continue };
            let directory = self.home.borrow_and_update().as_ref().and_then(|home| home.directory.clone());
            let disk = directory.and_then(|directory| host::disk_of_exporter(&page, url, &directory));
            let machine = Some(host::elsewhere(url, "machine"));
            self.tell(HostFigures { disk, machine, ..host::parse_node_exporter(&page) }).await;
        }
    }

    async fn local(&mut self) {
        let (mut tick, mut samples) = (every(LOCAL_EVERY), every(SAMPLE_EVERY));
        let mut found: Option<(Process, Stopped)> = None;
        let mut asked = true;
        loop {
            tokio::select! {
                // No home will come any more, so that this is the end as well.
                changed = self.home.changed(), if asked => {
                    asked = changed.is_ok();
                    let Some(home) = self.home.borrow_and_update().clone() else { continue };
                    // The same one goes on being counted; that it is still alive is seen by the samples.
                    if found.is_none_or(|(known, _)| !known.is_still(&home)) {
                        let process = read(move |proc| Process::find(proc, &home)).await;
                        found = process.map(|process| (process, Stopped::default()));
                    }
                }
                _ = samples.tick(), if found.is_some() => {
                    let Some((process, stopped)) = &mut found else { continue };
                    let process = *process;
                    match read(move |proc| process.is_stopped(proc)).await {
                        Some(now) => stopped.sample(now, self.clock.now()),
                        None => found = None,
                    }
                }
                _ = tick.tick() => {
                    let told = self.home.borrow().as_ref().and_then(|home| home.directory.clone());
                    let process = found.map(|(process, _)| process);
                    let Some(figures) = read(move |proc| Some(figures(proc, process, told))).await else { continue };
                    let cpu_stopped = found.map(|(_, stopped)| stopped.total);
                    self.tell(HostFigures { cpu_stopped, ..figures }).await;
                }
                () = self.signals.closed() => return,
            }
        }
    }

    async fn tell(&self, figures: HostFigures) {
        // A closed channel ends the watcher at its next turn.
        self.signals.send(Signal::Host { endpoint: self.endpoint, figures: Box::new(figures) }).await.ok();
    }
}

/// Time in which a process was stopped, by samples: between two of which one says so, for half the time.
#[derive(Clone, Copy, Debug, Default)]
struct Stopped {
    last: Option<(bool, BootInstant)>,
    total: Duration,
}

impl Stopped {
    fn sample(&mut self, stopped: bool, now: BootInstant) {
        if let Some((before, at)) = self.last {
            let halves = u32::from(before) + u32::from(stopped);
            self.total += now.since(at) * halves / 2;
        }
        self.last = Some((stopped, now));
    }
}

fn figures(proc: &Path, process: Option<Process>, told: Option<PathBuf>) -> HostFigures {
    let directory = process.and_then(|process| process.directory(proc, told.as_deref()));
    let own = process.and_then(|process| process.figures(proc)).unwrap_or_default();
    HostFigures {
        disk: directory.and_then(|directory| host::disk(&directory)),
        cpu_quota: own.quota,
        cpu_waited: own.waited,
        machine: Some(THIS_MACHINE),
        ..host::local(proc)
    }
}

/// Reads files, which may block.
async fn read<T: Send + 'static>(what: impl FnOnce(&Path) -> Option<T> + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(move || what(Path::new("/proc"))).await.ok().flatten()
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_cycle_of_stops_adds_up() {
        let (mut stopped, mut now) = (Stopped::default(), BootInstant::default());
        for sample in 0..1000 {
            stopped.sample(sample % 10 < 6, now);
            now = now + SAMPLE_EVERY;
        }
        let share = stopped.total.as_secs_f64() / 100.0;
        assert!((share - 0.6).abs() < 0.01, "{share}");
    }
}
