//! What runs out: one resource of one server, on this machine, at a pace that is chosen. Nothing of it goes through the
//! sidecar.
//!
//! Each kind is the real thing: connections that somebody opens and never closes, a disk that a neighbour fills, a quota that
//! takes CPU away. What this machine does not allow is said in words.

mod cpu;
mod disk;
mod leak;

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use disk::Disk;

use crate::servers::Server;

/// Between two touches.
const TOUCH: Duration = Duration::from_millis(50);

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections that the server takes.
    Connections,
    /// The disk that its log is on.
    Disk,
    /// CPU time that it is given.
    Cpu,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Disk, Self::Cpu];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Disk => "disk",
            Self::Cpu => "CPU",
        }
    }

    /// Whether this machine lets us do it; if not, why. Tries it, and takes it back.
    ///
    /// # Errors
    ///
    /// It can't be done here.
    pub fn possible(self) -> io::Result<()> {
        match self {
            Self::Connections => Ok(()),
            Self::Disk => disk::try_one(),
            Self::Cpu => cpu::try_one(),
        }
    }
}

/// How it goes on: in a straight line from the present share to `to`, and then it stays there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// The share in the end; 1.0: nothing is left.
    pub to: f64,
    /// How long that takes.
    pub over: Duration,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Share that is used; 1.0: nothing is left.
    pub used: f64,
    /// Since when the server itself has had nothing left to give.
    pub gone: Option<Instant>,
}

/// An exhaustion that is going on. Ends, and gives everything back, with the value.
#[derive(Debug)]
pub struct Exhaustion {
    level: watch::Receiver<Level>,
    task: JoinHandle<()>,
}

/// One resource in the hands of the task.
trait Victim: Send + 'static {
    /// The share that is used now.
    fn used(&self) -> io::Result<f64>;
    /// Uses up to `share`.
    fn touch(&mut self, share: f64) -> impl Future<Output = io::Result<()>> + Send;
    /// Whether the server has nothing left.
    fn is_gone(&mut self) -> impl Future<Output = bool> + Send;
}

impl Exhaustion {
    /// Begins to use up `kind` of `server`.
    ///
    /// # Errors
    ///
    /// This machine does not allow it, or the server does not answer.
    pub async fn begin(kind: Kind, server: &Server, ramp: Ramp) -> io::Result<Self> {
        match kind {
            Kind::Connections => Self::run(leak::Leak::of(server).await?, ramp),
            Kind::Disk => Self::run(disk::Filler::of(server)?, ramp),
            Kind::Cpu => Self::run(cpu::Quota::of(server)?, ramp),
        }
    }

    fn run(mut victim: impl Victim, ramp: Ramp) -> io::Result<Self> {
        let from = victim.used()?;
        let (out, level) = watch::channel(Level { used: from, gone: None });
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let mut pace = interval(TOUCH);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut gone = None;
            loop {
                pace.tick().await;
                let done = if ramp.over.is_zero() {
                    1.0
                } else {
                    (began.elapsed().as_secs_f64() / ramp.over.as_secs_f64()).min(1.0)
                };
                // What can't be touched any more is gone, which is asked below.
                victim.touch(from + (ramp.to - from) * done).await.ok();
                // Only in the end: to ask takes some of it.
                if done >= 1.0 && ramp.to >= 1.0 && gone.is_none() && victim.is_gone().await {
                    gone = Some(Instant::now());
                }
                let used = victim.used().unwrap_or(1.0).clamp(0.0, 1.0);
                out.send_replace(Level { used, gone });
            }
        });
        Ok(Self { level, task })
    }

    /// How far it is.
    #[must_use]
    pub fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// Waits until that share is used. `false`: not by then.
    pub async fn reaches(&self, used: f64, within: Duration) -> bool {
        let mut level = self.level.clone();
        tokio::time::timeout(within, level.wait_for(|level| level.used >= used))
            .await
            .is_ok_and(|ok| ok.is_ok())
    }

    /// Stops, and gives back what was taken.
    pub async fn end(mut self) {
        self.task.abort();
        // Cancelled, as it should be.
        (&mut self.task).await.ok();
    }
}

impl Drop for Exhaustion {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
