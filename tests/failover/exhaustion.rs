//! Disk and CPU that run out under a real server, seen in time and told apart from what a move would not change.
//!
//! Small file systems and quotas take root's rights; without them these tests say so and test nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{Disk, LONG, Store};

/// Far more than any of the ramps here takes on a busy machine.
const RAMP_MOST: Duration = Duration::from_secs(100);

/// Two servers whose data is in these directories.
async fn store_on(data: [&Path; 2], policy: &str) -> Store {
    let dir = TempDir::new().expect("a directory");
    for (name, data) in ["a", "b"].iter().zip(data) {
        std::os::unix::fs::symlink(data, dir.path().join(name)).expect("a link");
    }
    Store::start_in(dir, 2, |setup| setup.store = risk(policy)).await
}

fn risk(policy: &str) -> String {
    format!("risk = {{ policy = \"{policy}\", step = \"1s\", cooldown = \"1h\" }}\n")
}

async fn connect(url: String) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connects")
}

/// Writes over and over the same key, so that the log grows by some 1.3 MB/s and memory does not, until `enough`.
async fn fill(store: &Store, enough: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
    let (mut client, mut pace) =
        (connect(store.sidecar.url()).await, tokio::time::interval(Duration::from_millis(50)));
    let (value, deadline) = ("v".repeat(64 * 1024), Instant::now() + RAMP_MOST);
    loop {
        pace.tick().await;
        redis::cmd("SET").arg("same").arg(&value).exec_async(&mut client).await.expect("there is room still");
        let status = store.sidecar.status().await.expect("answers");
        if enough(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{:?}", status.risk);
    }
}

fn is_at_risk_of(status: &StoreStatus, what: &str) -> bool {
    status
        .risk
        .as_ref()
        .is_some_and(|risk| risk.raised && risk.causes.iter().any(|cause| cause.starts_with(what)))
}

fn is_primary(status: &StoreStatus, name: &str) -> bool {
    status.primary.as_ref().is_some_and(|primary| primary.as_str() == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_under_the_log_is_left_before_it_is_full() {
    let Some((small, large)) = Disk::mount(56).zip(Disk::mount(2048)) else { return };
    let mut store = store_on([small.path(), large.path()], "switch").await;
    let mut warned = None;
    let moved = std::cell::Cell::new(false);
    while !moved.get() {
        let status = fill(&store, |status| {
            moved.set(is_primary(status, "b"));
            moved.get() || (warned.is_none() && is_at_risk_of(status, "disk"))
        })
        .await;
        if !moved.get() {
            warned = status.risk;
        }
    }
    let used = fs_used(small.path());
    assert!(used < 0.97, "it moved before the disk was full: {used}");
    let warned = warned.expect("the disk was named before the move");
    assert!(warned.causes[0].contains("full in"), "{warned:?}");
    store.wait("b to serve", |status| status.ready && is_primary(status, "b")).await;
}

fn fs_used(path: &Path) -> f64 {
    let room = rustix::fs::statvfs(path).expect("is mounted");
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let free = room.f_bavail as f64 / room.f_blocks as f64;
    1.0 - free
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_on_the_same_file_system_is_no_refuge() {
    let Some(shared) = Disk::mount(96) else { return };
    let halves: Vec<PathBuf> = ["one", "two"].iter().map(|name| shared.path().join(name)).collect();
    halves.iter().for_each(|half| std::fs::create_dir(half).expect("there is room"));
    let store = store_on([&halves[0], &halves[1]], "switch").await;
    // While the machine is busy there may be another reason beside it for staying: latency that would come along.
    let refused = |status: &StoreStatus| {
        assert!(is_primary(status, "a"), "{status:?}");
        let risk = status.risk.as_ref();
        risk.is_some_and(|risk| risk.why == "mirror b draws on the very same disk")
    };
    let status = fill(&store, |status| refused(status) && is_at_risk_of(status, "disk")).await;
    let risk = status.risk.expect("it was raised");
    assert_eq!((risk.action.as_str(), risk.would.as_str()), ("prepare", "prepare"), "{risk:?}");
}

/// A control group with a fifth of a core, gone with the value.
struct Quota(PathBuf);

impl Quota {
    const CORES: f64 = 0.2;

    /// `None`, with the reason printed, where groups can't be made.
    fn on(pid: u32) -> Option<Self> {
        let name = format!("foretoken-test-{pid}");
        let attempts = [
            ("/sys/fs/cgroup/cpu", &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")][..]),
            ("/sys/fs/cgroup", &[("cpu.max", "20000 100000")]),
        ];
        let mut why = String::new();
        for (root, settings) in attempts {
            let group = Self(Path::new(root).join(&name));
            match group.set_up(settings, pid) {
                Ok(()) => return Some(group),
                Err(error) => why = format!("{why}\n{root}: {error}"),
            }
        }
        eprintln!("SKIPPED: no control group with a quota can be made:{why}");
        None
    }

    fn set_up(&self, settings: &[(&str, &str)], pid: u32) -> std::io::Result<()> {
        std::fs::create_dir(&self.0)?;
        for (file, value) in settings {
            // Without the controller the file isn't there, and must not be made as an ordinary one.
            std::fs::metadata(self.0.join(file))?;
            std::fs::write(self.0.join(file), value)?;
        }
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A group with a process in it can't be removed; its parent takes it.
        if let (Ok(processes), Some(parent)) =
            (std::fs::read_to_string(self.0.join("cgroup.procs")), self.0.parent())
        {
            for process in processes.lines() {
                std::fs::write(parent.join("cgroup.procs"), process).ok();
            }
        }
        std::fs::remove_dir(&self.0).ok();
    }
}

async fn pid(store: &Store, server: usize) -> u32 {
    let mut connection = connect(store.servers[server].url()).await;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.expect("answers");
    let line = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("it says so");
    line.trim().parse().expect("a number")
}

async fn gauge(store: &Store, name: &str, endpoint: &str) -> Option<f64> {
    // One look that is not answered on a busy machine is made up for by the next.
    let page = store.sidecar.client().metrics().await.ok()?;
    let start = format!("{name}{{");
    let label = format!("endpoint=\"{endpoint}\"");
    let line = page.lines().find(|line| line.starts_with(&start) && line.contains(&label))?;
    line.rsplit(' ').next()?.parse().ok().filter(|value: &f64| value.is_finite())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_cpu_that_is_used_up_is_foreseen_and_a_mirror_without_one_is_a_refuge() {
    let store = Store::start_with(2, |setup| {
        setup.store = risk("observe");
        // So slow a server may count as dead: nobody is to replace it, and hang up on the client below.
        setup.sole_writer = false;
    })
    .await;
    let Some(_quota) = Quota::on(pid(&store, 0).await) else { return };
    let mut client = connect(store.servers[0].url()).await;
    // A little more work each second, up to far more than the quota allows.
    let (mut pace, start) = (tokio::time::interval(Duration::from_millis(100)), Instant::now());
    let (mut busiest, mut throttled): (f64, f64) = (0.0, 0.0);
    let status = loop {
        pace.tick().await;
        let work = start.elapsed().as_millis() / 1000;
        for _ in 0..work {
            let script =
                redis::cmd("EVAL").arg("for i = 1, 100000 do end").arg(0).exec_async(&mut client).await;
            script.expect("is executed");
        }
        busiest = busiest.max(gauge(&store, "foretoken_health_cpu_ratio", "a").await.unwrap_or(0.0));
        let kept = gauge(&store, "foretoken_health_cpu_throttled_ratio", "a").await;
        throttled = throttled.max(kept.unwrap_or(0.0));
        let status = store.sidecar.status().await.expect("answers");
        let would = |status: &StoreStatus| status.risk.as_ref().is_some_and(|risk| risk.would == "switch");
        if is_at_risk_of(&status, "CPU") && would(&status) && throttled > 0.1 {
            break status;
        }
        assert!(start.elapsed() < RAMP_MOST, "busiest {busiest}, throttled {throttled}: {:?}", status.risk);
    };
    eprintln!("busiest {busiest}, throttled {throttled}, {:?}", status.risk);
    assert!(busiest > 0.5, "of {} cores: {busiest}", Quota::CORES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_half_of_the_time_is_kept_from_running_half_of_the_time() {
    let store = Store::start_with(2, |setup| setup.store = risk("observe")).await;
    let deadline = Instant::now() + LONG;
    let (mut halves, mut seen) = (tokio::time::interval(Duration::from_millis(150)), None);
    while !seen.is_some_and(|share| (0.3..0.8).contains(&share)) {
        store.servers[0].freeze().expect("stops");
        halves.tick().await;
        store.servers[0].thaw().expect("goes on");
        halves.tick().await;
        seen = gauge(&store, "foretoken_health_cpu_throttled_ratio", "a").await;
        assert!(Instant::now() < deadline, "{seen:?}");
    }
}
