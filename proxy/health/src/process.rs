//! The process of a store on this machine: is it that one, how much CPU may it use, and when is it kept from it?
//!
//! A store's word for its process is only a claim: behind a loopback address there may be a tunnel, or a container that counts
//! processes for itself. So a process is taken for the store's when four things agree: number, name of the program, time
//! since the start and CPU time. In doubt it isn't, and what it would have told stays unknown.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretoken_types::Home;

use crate::host::LINES_MOST;

/// Clock ticks in which `/proc` counts (`USER_HZ`): 100 wherever Linux is built today.
const TICKS_PER_SECOND: u32 = 100;
/// How far the ages may lie apart that kernel and store tell. The store's word is in whole seconds, begins with its own
/// initialisation, and is by the wall clock.
const AGE_TOLERANCE: Duration = Duration::from_secs(3);
/// How much more CPU time the kernel may have counted: the store answered a moment before.
const CPU_TOLERANCE: Duration = Duration::from_secs(1);
/// How much less: the kernel counts in ticks.
const CPU_ROUNDING: Duration = Duration::from_millis(50);
/// Characters of a program's name that the kernel keeps (`TASK_COMM_LEN` less one).
const NAME_MOST: usize = 15;
/// Groups on the way to the root that are looked at, at most.
const GROUPS_MOST: usize = 32;

/// A process of this machine that was recognised as a store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    number: u32,
    /// In ticks after the start of the machine: with it, a number that is given again is told apart.
    started: u64,
}

/// Figures of a process; `None` where they are not known. Times only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Time for which the thread that executes commands was ready to run and did not (`schedstat`).
    pub waited: Option<Duration>,
    /// What it may use, when there is a limit.
    pub quota: Option<Quota>,
}

/// A limit of CPU on a process: that of its control group, or of the group above that limits most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Cores.
    pub cores: f64,
    /// Time for which the group was kept from running.
    pub throttled: Option<Duration>,
    /// Which group: whoever names the same one shares the limit.
    pub group: u64,
}

/// What `/proc/N/stat` tells (proc(5)).
struct Stat<'a> {
    name: &'a str,
    stopped: bool,
    cpu_time: Duration,
    started: u64,
}

impl Process {
    /// Looks for the process that calls itself `home` below `proc` (`/proc`). `None` unless it is there beyond doubt.
    #[must_use]
    pub fn find(proc: &Path, home: &Home) -> Option<Self> {
        let number = home.process?;
        let text = read(proc, number, "stat")?;
        let stat = Stat::parse(&text)?;
        let up = std::fs::read_to_string(proc.join("uptime")).ok()?;
        let up = Duration::try_from_secs_f64(up.split_ascii_whitespace().next()?.parse().ok()?).ok()?;
        let age = up.checked_sub(ticks(stat.started))?;
        let (program, cpu_time) = (home.program.as_deref()?, home.cpu_time?);
        let name = program.get(..NAME_MOST.min(program.len()))?;
        let is_it = stat.name == name
            && age.abs_diff(home.uptime?) <= AGE_TOLERANCE
            && stat.cpu_time + CPU_ROUNDING >= cpu_time
            && stat.cpu_time <= cpu_time + CPU_TOLERANCE;
        is_it.then_some(Self { number, started: stat.started })
    }

    /// Whether it is the one that calls itself `home`, being recognised already: then the number is enough.
    #[must_use]
    pub fn is_still(&self, home: &Home) -> bool {
        home.process == Some(self.number)
    }

    /// Whether it is stopped by a signal now. `None`: it has ended.
    #[must_use]
    pub fn is_stopped(&self, proc: &Path) -> Option<bool> {
        let text = read(proc, self.number, "stat")?;
        Stat::parse(&text).filter(|stat| stat.started == self.started).map(|stat| stat.stopped)
    }

    /// Its figures. `None`: it has ended.
    #[must_use]
    pub fn figures(&self, proc: &Path) -> Option<ProcessFigures> {
        let waited = read(proc, self.number, "schedstat").and_then(|text| waited(&text));
        let quota = self.quota(proc);
        // Looked at last: whatever was read belongs to it.
        self.is_stopped(proc)?;
        Some(ProcessFigures { waited, quota })
    }

    /// The directory that it writes to, as this process reaches it. A server that changes into its directory is asked for
    /// where it stands, which is right in any container; that takes its user's rights or root's. Otherwise `told` is taken by
    /// its word when it counts processes as we do, and so is in no container.
    #[must_use]
    pub fn directory(&self, proc: &Path, told: Option<&Path>) -> Option<PathBuf> {
        let stands = proc.join(self.number.to_string()).join("cwd");
        if std::fs::metadata(&stands).is_ok() {
            return Some(stands);
        }
        let status = read(proc, self.number, "status")?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let same = numbers.split_ascii_whitespace().count() == 1;
        told.filter(|path| same && path.is_absolute()).map(Path::to_owned)
    }

    fn quota(&self, proc: &Path) -> Option<Quota> {
        let groups = read(proc, self.number, "cgroup")?;
        let mounts = std::fs::read_to_string(proc.join("self/mountinfo")).ok()?;
        let hierarchies = mounts.lines().take(LINES_MOST).filter_map(Hierarchy::parse);
        let quotas = hierarchies.flat_map(|hierarchy| hierarchy.quotas(&groups));
        quotas.reduce(|least, quota| if quota.cores < least.cores { quota } else { least })
    }
}

impl<'a> Stat<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        // The name is in parentheses and may hold anything, parentheses too.
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(LINES_MOST).collect();
        // Counted from the state, which is field 3: utime 14, stime 15, starttime 22.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            stopped: matches!(*fields.first()?, "T" | "t"),
            cpu_time: ticks(number(14)?.checked_add(number(15)?)?),
            started: number(22)?,
        })
    }
}

/// A hierarchy of control groups that limits CPU, as mounted here.
struct Hierarchy<'a> {
    /// The group that stands at the mount point.
    root: &'a str,
    at: &'a Path,
    unified: bool,
}

impl<'a> Hierarchy<'a> {
    /// Reads a line of mountinfo (proc(5)): `31 23 0:28 /root /at options - type source options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let unified = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" if file_system.nth(1)?.split(',').any(|option| option == "cpu") => false,
            _ => return None,
        };
        // What is escaped there is no usual place for control groups.
        (!at.contains('\\')).then(|| Self { root, at: Path::new(at), unified })
    }

    /// The quotas on the way from the group that `groups` (`/proc/N/cgroup`) names up to the root.
    fn quotas(&self, groups: &str) -> Vec<Quota> {
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let ours = match self.unified {
                true => controllers.is_empty(),
                false => controllers.split(',').any(|name| name == "cpu"),
            };
            ours.then_some(path)
        });
        let below = match path {
            // Outside of what we may see.
            Some(path) if path.split('/').any(|part| part == "..") => None,
            Some(path) => path.strip_prefix(self.root),
            None => None,
        };
        let Some(below) = below else { return Vec::new() };
        let group = self.at.join(below.trim_start_matches('/'));
        let up = group.ancestors().take(GROUPS_MOST).take_while(|group| group.starts_with(self.at));
        up.filter_map(|group| if self.unified { unified(group) } else { legacy(group) }).collect()
    }
}

/// Version 2 (kernel documentation, cgroup-v2): `cpu.max` holds `max 100000` or `20000 100000`.
fn unified(group: &Path) -> Option<Quota> {
    let text = std::fs::read_to_string(group.join("cpu.max")).ok()?;
    let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse::<u32>().ok());
    let (most, period) = (numbers.next()?, numbers.next()?);
    let throttled = statistic(group, "throttled_usec").map(Duration::from_micros);
    quota(group, most, period, throttled)
}

/// Version 1 (kernel documentation, sched-bwc): the quota is -1 where there is none.
fn legacy(group: &Path) -> Option<Quota> {
    let number = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u32>().ok();
    let (most, period) = (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?);
    let throttled = statistic(group, "throttled_time").map(Duration::from_nanos);
    quota(group, most, period, throttled)
}

fn quota(group: &Path, most: u32, period: u32, throttled: Option<Duration>) -> Option<Quota> {
    let about = std::fs::metadata(group).ok()?;
    let cores = f64::from(most) / f64::from(period);
    let group = about.dev().rotate_left(32) ^ about.ino();
    (most > 0 && period > 0).then_some(Quota { cores, throttled, group })
}

fn statistic(group: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(group.join("cpu.stat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Reads the time in which a thread waited for a processor: the second number, in nanoseconds (kernel documentation,
/// sched-stats).
fn waited(text: &str) -> Option<Duration> {
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

fn read(proc: &Path, number: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(proc.join(number.to_string()).join(name)).ok()
}

fn ticks(count: u64) -> Duration {
    let (seconds, rest) = (count / u64::from(TICKS_PER_SECOND), count % u64::from(TICKS_PER_SECOND));
    Duration::from_secs(seconds) + Duration::from_secs(rest) / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests;
