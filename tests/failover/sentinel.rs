//! Three Sentinels that watch one primary, as processes of their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use foretoken_demo::servers::{Server, free_port};
use redis::FromRedisValue;
use tokio::time::Instant;

use crate::support::LONG;

/// What the Sentinels call the store.
const NAME: &str = "demo";
/// Silence after which a Sentinel takes a server for dead, in milliseconds.
const DOWN_AFTER: u32 = 1000;

/// Sentinels of which two must agree.
pub(crate) struct Sentinels(Vec<Sentinel>);

struct Sentinel {
    port: u16,
    child: Child,
}

impl Sentinels {
    /// Starts them and waits until each knows the others and all mirrors.
    pub(crate) async fn start(dir: &Path, primary: &Server, mirrors: usize) -> Self {
        let start = |number| Sentinel::start(dir.join(format!("sentinel-{number}")), primary.port());
        let sentinels = Self((0..3).map(start).collect());
        for sentinel in &sentinels.0 {
            sentinel.knows(2, mirrors).await;
        }
        sentinels
    }

    /// `SENTINEL FAILOVER`: another primary, though this one is well.
    pub(crate) async fn failover(&self) {
        let first = &self.0[0];
        let () = ask(first.port, &["SENTINEL", "FAILOVER", NAME]).await.expect("it begins");
    }
}

impl Sentinel {
    fn start(dir: PathBuf, primary: u16) -> Self {
        std::fs::create_dir_all(&dir).expect("a directory");
        let port = free_port().expect("a free port");
        let file = dir.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {dir:?}\nlogfile {:?}\n\
             sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\n\
             sentinel failover-timeout {NAME} 10000\nsentinel parallel-syncs {NAME} 2\n",
            dir.join("log"),
        );
        std::fs::write(&file, text).expect("can be written");
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { port, child }
    }

    async fn knows(&self, others: usize, mirrors: usize) {
        let deadline = Instant::now() + LONG;
        let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            look.tick().await;
            let others_known: redis::RedisResult<Vec<redis::Value>> =
                ask(self.port, &["SENTINEL", "SENTINELS", NAME]).await;
            let mirrors_known: redis::RedisResult<Vec<redis::Value>> =
                ask(self.port, &["SENTINEL", "REPLICAS", NAME]).await;
            let count = |known: &redis::RedisResult<Vec<redis::Value>>| known.as_ref().map_or(0, Vec::len);
            if count(&others_known) == others && count(&mirrors_known) == mirrors {
                return;
            }
            assert!(Instant::now() < deadline, "{others_known:?} {mirrors_known:?}");
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks a server directly, past the sidecar.
pub(crate) async fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> redis::RedisResult<T> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
}
