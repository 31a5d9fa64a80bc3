//! Data blocks while the primary is down: some go on with what a mirror has, some wait, some are told at once.

use foretoken_app::client::model::StoreStatus;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, FromRedisValue, RedisResult, cmd};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::arrived::{has_arrived, sync_each_write};
use crate::life::log_with;
use crate::support::{LONG, Store};

/// Long enough for whatever comes back to come back.
const HELD: &str = "hold_max = \"30s\"\nread_lag_max = \"10min\"\n";
const BLOCKS: &str = "
[[store.block]]
name = \"carts\"
prefix = \"cart:\"
reads = \"mirror-when-held\"
writes_when_held = \"refuse\"

[[store.block]]
name = \"places\"
prefix = \"geo:\"
reads = \"mirror-when-held\"
read_lag_max = \"1s\"

[[store.block]]
name = \"users\"
prefix = \"user:\"
";

/// Connections that are open before the primary dies.
struct Clients(Vec<MultiplexedConnection>);

impl Clients {
    async fn connect(store: &Store) -> Self {
        const MOST: usize = 16;
        let client = redis::Client::open(store.sidecar.url()).expect("a URL");
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(LONG);
        let mut all = Vec::new();
        for _ in 0..MOST {
            let one = client.get_multiplexed_async_connection_with_config(&patient).await;
            all.push(one.expect("connects"));
        }
        Self(all)
    }

    fn next(&mut self) -> MultiplexedConnection {
        self.0.pop().expect("there are enough")
    }

    /// Sends a request over a connection of its own, where it may wait.
    fn ask<T: FromRedisValue + Send + 'static>(&mut self, words: &str) -> JoinHandle<RedisResult<T>> {
        let mut words = words.split(' ');
        let mut command = cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        let mut connection = self.next();
        tokio::spawn(async move { command.query_async::<T>(&mut connection).await })
    }
}

/// A store whose primary has died, with a mirror that nobody promotes, and `1` in a key of each block.
async fn without_primary(more: &str) -> (Store, Clients) {
    let mut store = Store::start_with(2, |setup| {
        setup.sole_writer = false;
        setup.store = format!("{HELD}{more}");
    })
    .await;
    let mut clients = Clients::connect(&store).await;
    let ones = [("cart:1", 1), ("geo:1", 1), ("user:1", 1), ("rest", 1)];
    let mut writer = clients.next();
    sync_each_write(&mut writer).await;
    let () = writer.mset(&ones).await.expect("writes");
    has_arrived(&mut writer).await;
    store.servers[0].kill().expect("dies");
    store.wait("the loss to be noticed", |status| !status.ready).await;
    (store, clients)
}

/// Waits until the mirror's last word of the primary is as old as that.
async fn behind(store: &mut Store, ms: u64) {
    let is = |status: &StoreStatus| {
        status.endpoints.iter().any(|endpoint| endpoint.name.as_str() == "b" && endpoint.lag_ms > Some(ms))
    };
    store.wait("a mirror that is behind", is).await;
}

fn refused<T: std::fmt::Debug>(result: RedisResult<T>) {
    let error = result.expect_err("its writes don't wait");
    assert!(error.to_string().contains("don't wait"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_block_goes_on_waits_or_is_refused_by_its_own_policy_while_the_primary_is_dead() {
    let (mut store, mut clients) = without_primary(BLOCKS).await;
    behind(&mut store, 1500).await;
    let waiting = [
        clients.ask::<Vec<i64>>("MGET user:1"),
        clients.ask("MGET rest"),
        clients.ask("MGET cart:1 user:1"),
        clients.ask("MGET cart:1 rest"),
        clients.ask("MGET cart:1 geo:1"),
    ];
    let queued = clients.ask::<i64>("INCR user:1");
    let mut client = clients.next();
    for _ in 0..100 {
        let stale: Vec<i64> = client.mget(&["cart:1", "cart:1"]).await.expect("a mirror has it");
        assert_eq!(stale, [1, 1]);
        refused(client.incr::<_, _, i64>("cart:1", 1).await);
        refused(client.del::<_, i64>(&["user:1", "cart:1"]).await);
        refused(cmd("FLUSHALL").query_async::<()>(&mut client).await);
    }
    assert!(waiting.iter().all(|read| !read.is_finished()), "{waiting:?}");
    assert!(!queued.is_finished());

    store.servers[0].restart().expect("comes back");
    for read in waiting {
        let values = read.await.expect("ends").expect("is served");
        assert!(values.iter().all(|value| *value >= 1), "{values:?}");
    }
    assert_eq!(queued.await.expect("ends").expect("is executed"), 2, "once");
    assert_eq!(client.get::<_, i64>("user:1").await.expect("reads"), 2, "once");
    assert_eq!(client.incr::<_, _, i64>("cart:1", 1).await.expect("writes again"), 2, "none was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_writes_are_executed_once_by_the_new_primary_and_refused_ones_never() {
    let mut store = Store::start_with(2, |setup| setup.store = format!("{HELD}{BLOCKS}")).await;
    let mut clients = Clients::connect(&store).await;
    let mut client = clients.next();
    let () = client.mset(&[("cart:1", 1), ("user:1", 1)]).await.expect("writes");
    has_arrived(&mut client).await;
    store.servers[0].freeze().expect("freezes");
    store.wait("the loss to be noticed", |status| !status.ready).await;
    let refusal = client.incr::<_, _, i64>("cart:1", 1).await;
    let mut queued = Vec::new();
    for _ in 0..8 {
        queued.push(clients.ask::<i64>("INCR user:1"));
    }
    let mut counts = Vec::new();
    for write in queued {
        counts.push(write.await.expect("ends").expect("is executed"));
    }
    counts.sort_unstable();
    assert_eq!(counts, (2..10).collect::<Vec<_>>());
    refused(refusal);
    let status = store.sidecar.status().await.expect("answers");
    assert_eq!(status.primary.map(|primary| primary.to_string()).as_deref(), Some("b"));
    let there: Vec<i64> = client.mget(&["cart:1", "user:1"]).await.expect("reads");
    assert_eq!(there, [1, 9]);
    store.servers[0].thaw().expect("thaws");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_blocks_reads_and_writes_wait_whatever_their_keys() {
    let (mut store, mut clients) = without_primary("").await;
    let read = clients.ask::<i64>("GET cart:1");
    let write = clients.ask::<i64>("INCR cart:1");
    // Another second of a dead primary changes nothing.
    behind(&mut store, 1000).await;
    assert!(!read.is_finished() && !write.is_finished());
    store.servers[0].restart().expect("comes back");
    assert!(read.await.expect("ends").is_ok_and(|value| value == 1 || value == 2));
    assert_eq!(write.await.expect("ends").expect("is executed"), 2);
    assert_eq!(clients.next().get::<_, i64>("cart:1").await.expect("reads"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_what_a_block_lets_happen() {
    let (mut store, mut clients) = without_primary(BLOCKS).await;
    let waiting = clients.ask::<i64>("GET user:1");
    assert_eq!(clients.next().get::<_, i64>("cart:1").await.expect("a mirror has it"), 1);
    assert!(!waiting.is_finished());
    let (before, after) = ("prefix = \"user:\"\n", "prefix = \"user:\"\nreads = \"mirror-when-held\"\n");
    let changed = store.sidecar.config.replace(before, after);
    assert_ne!(changed, store.sidecar.config);
    std::fs::write(store.sidecar.config_file(), changed).expect("is written");
    store.sidecar.signal(Signal::HUP).expect("runs");
    log_with(&store.sidecar, "store.demo.block.users.reads").await;
    assert_eq!(clients.next().get::<_, i64>("user:1").await.expect("a mirror has it"), 1);
    // One that began to wait before goes on with the next posture, or with the primary.
    store.servers[0].restart().expect("comes back");
    assert_eq!(waiting.await.expect("ends").expect("is served"), 1);
}
