//! On a real server: each kind takes what it says, the server feels it, and gets all of it back.

use std::path::Path;

use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A server whose disk is its own where that is possible. The server must go before its disk.
fn server(dir: &Path) -> (Server, Option<Disk>) {
    let disk = Kind::Disk.possible().is_ok().then(|| Disk::mount(&dir.join("a")).expect("was possible"));
    (Server::start(dir, "a", "here").expect("redis-server is installed"), disk)
}

async fn reaches(exhaustion: &Exhaustion, is: impl Fn(&Level) -> bool) -> Level {
    let mut level = exhaustion.level.clone();
    let found = tokio::time::timeout(LONG, level.wait_for(is)).await;
    *found.expect("in time").expect("goes on")
}

async fn ask(server: &Server, words: &[&str]) -> Result<redis::Value, String> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let asked = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        command.query_async(&mut connection).await
    };
    let answer: redis::RedisResult<redis::Value> = asked.await;
    answer.map_err(|error| error.to_string())
}

#[tokio::test]
async fn leaked_connections_keep_others_out_until_they_are_given_back() {
    let dir = TempDir::new().expect("a directory");
    let (server, _disk) = server(dir.path());
    let ramp = Ramp { to: 1.0, over: Duration::from_millis(500) };
    let exhaustion = Exhaustion::begin(Kind::Connections, &server, ramp).await.expect("begins");
    reaches(&exhaustion, |level| level.gone.is_some()).await;
    // In words, or by a reset when the question crossed them.
    ask(&server, &["PING"]).await.expect_err("it is full");
    exhaustion.end().await;
    let deadline = Instant::now() + LONG;
    while ask(&server, &["PING"]).await.is_err() {
        assert!(Instant::now() < deadline, "connections are still there");
    }
}

#[tokio::test]
async fn a_full_disk_makes_a_server_refuse_writes_and_a_level_is_kept() {
    if let Err(why) = Kind::Disk.possible() {
        eprintln!("not on this machine: {why}");
        return;
    }
    let dir = TempDir::new().expect("a directory");
    let (server, _disk) = server(dir.path());
    let part = Ramp { to: 0.9, over: Duration::ZERO };
    let exhaustion = Exhaustion::begin(Kind::Disk, &server, part).await.expect("begins");
    let level = reaches(&exhaustion, |level| level.used > 0.89).await;
    assert!(level.gone.is_none() && level.used < 0.91, "{level:?}");
    exhaustion.end().await;

    let whole = Ramp { to: 1.0, over: Duration::from_millis(500) };
    let exhaustion = Exhaustion::begin(Kind::Disk, &server, whole).await.expect("begins");
    reaches(&exhaustion, |level| level.gone.is_some()).await;
    let deadline = Instant::now() + LONG;
    let refused = loop {
        assert!(Instant::now() < deadline, "writes are still taken");
        if let Err(refused) = ask(&server, &["SET", "key", &"v".repeat(10_000)]).await {
            break refused;
        }
    };
    assert!(refused.contains("MISCONF"), "{refused}");
    exhaustion.end().await;
    while ask(&server, &["SET", "key", "value"]).await.is_err() {
        assert!(Instant::now() < deadline, "writes are still refused");
    }
}

#[tokio::test]
async fn without_cpu_a_server_falls_silent_and_gets_it_back() {
    if let Err(why) = Kind::Cpu.possible() {
        eprintln!("not on this machine: {why}");
        return;
    }
    let dir = TempDir::new().expect("a directory");
    let (server, _disk) = server(dir.path());
    let ramp = Ramp { to: 1.0, over: Duration::from_millis(500) };
    let exhaustion = Exhaustion::begin(Kind::Cpu, &server, ramp).await.expect("begins");
    // Something to do, or it would not miss what it does not get.
    let client = redis::Client::open(server.url()).expect("a URL");
    let busy = tokio::spawn(async move {
        let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
        loop {
            redis::cmd("DEBUG").arg(&["SLEEP", "0"]).exec_async(&mut connection).await.ok();
            redis::cmd("SET").arg("key").arg(1).exec_async(&mut connection).await.ok();
        }
    });
    reaches(&exhaustion, |level| level.gone.is_some()).await;
    busy.abort();
    exhaustion.end().await;
    let answered = tokio::time::timeout(LONG, ask(&server, &["PING"])).await;
    answered.expect("in time").expect("answers again");
    let left = std::fs::read_dir("/sys/fs/cgroup").expect("was possible");
    let ours = format!("foretoken-demo-{}-", std::process::id());
    let groups = left.flatten().flat_map(|home| {
        [home.path()]
            .into_iter()
            .chain(std::fs::read_dir(home.path()).into_iter().flatten().flatten().map(|at| at.path()))
    });
    assert!(!groups.into_iter().any(|path| path.to_string_lossy().contains(&ours)), "the group is gone");
}
