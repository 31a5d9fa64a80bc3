//! Clients as applications have them: the ordinary `redis` crate, several at once, each waiting for its answer before it asks
//! for more, and every operation noted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::history::{Action, Contents, Ending, Operation, Tag};

/// Lists and counters that all clients share.
const LISTS: u8 = 4;
const COUNTERS: u8 = 2;
/// Longest wait for an answer: far above every deadline of the sidecar, so it is never what ends an operation.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What makes a value longer; no part of its tag.
pub const PADDING: char = '+';
/// Between two tries to connect.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);
/// Operations after which a visitor leaves: one in so many.
const VISIT: u32 = 50;
/// Operations that a client notes at most: bounds what a run keeps in memory.
const MOST: usize = 400_000;

/// Which operations clients choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// Appends, writes of registers, increments and reads.
    #[default]
    All,
    /// All but increments. Counters of two primaries at a time tell the same numbers, which says nothing of who is at fault.
    Uncounted,
    /// Only reads of registers.
    Reads,
    /// All, and clients come and go: each begins with a transaction, for which the store must take another connection.
    Visitors,
}

/// What clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where: a URL.
    pub url: String,
    /// Number of the first client.
    pub first: u16,
    /// How many clients.
    pub clients: u16,
    /// Begins the names of all keys.
    pub prefix: String,
    /// Chooses operations.
    pub seed: u64,
    /// When the history began.
    pub epoch: Instant,
    /// Which operations.
    pub mix: Mix,
    /// What each client does nothing for after each operation: with a pause, how much is done does not depend on who else uses
    /// the machine.
    pub pause: Duration,
}

/// What can be read while clients are at work.
#[derive(Debug, Default)]
pub struct Progress {
    /// Operations done.
    pub done: AtomicU64,
    /// Operations that were not executed or are in doubt.
    pub failed: AtomicU64,
    /// Clients that have been connected.
    pub connected: AtomicU64,
}

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    load: Load,
    tasks: JoinSet<Vec<Operation>>,
    go: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    progress: Arc<Progress>,
}

impl Workload {
    /// Sends the clients to work.
    ///
    /// # Errors
    ///
    /// The URL is none.
    pub fn start(load: Load) -> Result<Self, RedisError> {
        let workload = Self::connect(load)?;
        workload.release();
        Ok(workload)
    }

    /// Lets clients connect, and do nothing until [`Workload::release`].
    ///
    /// # Errors
    ///
    /// The URL is none.
    pub fn connect(load: Load) -> Result<Self, RedisError> {
        let (stop, stopped) = watch::channel(false);
        let (go, going) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        let server = Client::open(load.url.as_str())?;
        for id in load.first..load.first + load.clients {
            let worker = Worker {
                id,
                load: load.clone(),
                server: server.clone(),
                rng: SmallRng::seed_from_u64(load.seed ^ u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                numbers: 0,
                history: Vec::new(),
                going: going.clone(),
                stopped: stopped.clone(),
                progress: Arc::clone(&progress),
            };
            tasks.spawn(worker.run());
        }
        Ok(Self { load, tasks, go, stop, progress })
    }

    /// Lets the clients begin.
    pub fn release(&self) {
        self.go.send_replace(true);
    }

    /// Waits until every client is connected. `false`: not by then.
    pub async fn connected(&self, within: Duration) -> bool {
        self.reaches(&self.progress.connected, u64::from(self.load.clients), within).await
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What the clients were sent to do.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// Waits until that many more operations were done. `false`: not by then.
    pub async fn advances(&self, operations: u64, within: Duration) -> bool {
        let goal = self.progress.done.load(Ordering::Relaxed) + operations;
        self.reaches(&self.progress.done, goal, within).await
    }

    /// Waits until that many operations were not executed or are in doubt. `false`: not by then.
    pub async fn fails(&self, operations: u64, within: Duration) -> bool {
        self.reaches(&self.progress.failed, operations, within).await
    }

    /// Waits until that many more operations have ended, done or not. `false`: not by then.
    pub async fn goes_on(&self, operations: u64, within: Duration) -> bool {
        let ended =
            || self.progress.done.load(Ordering::Relaxed) + self.progress.failed.load(Ordering::Relaxed);
        let goal = ended() + operations;
        let mut look = tokio::time::interval(Duration::from_millis(1));
        let enough = async {
            while ended() < goal {
                look.tick().await;
            }
        };
        tokio::time::timeout(within, enough).await.is_ok()
    }

    async fn reaches(&self, counter: &AtomicU64, goal: u64, within: Duration) -> bool {
        let mut look = tokio::time::interval(Duration::from_millis(1));
        let enough = async {
            while counter.load(Ordering::Relaxed) < goal {
                look.tick().await;
            }
        };
        tokio::time::timeout(within, enough).await.is_ok()
    }

    /// Lets every client end what it is at, and gives the history.
    pub async fn finish(mut self) -> Vec<Operation> {
        self.stop.send_replace(true);
        let mut history = Vec::new();
        while let Some(part) = self.tasks.join_next().await {
            // A client that panicked has told why on standard error; its operations are missing, which the checker sees.
            history.extend(part.unwrap_or_default());
        }
        history.sort_by_key(|operation| operation.invoked);
        history
    }
}

/// One client.
struct Worker {
    id: u16,
    load: Load,
    server: Client,
    rng: SmallRng,
    numbers: u64,
    history: Vec<Operation>,
    going: watch::Receiver<bool>,
    stopped: watch::Receiver<bool>,
    progress: Arc<Progress>,
}

impl Worker {
    async fn run(mut self) -> Vec<Operation> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(ANSWER_MAX).set_response_timeout(ANSWER_MAX);
        let mut again = tokio::time::interval(CONNECT_AGAIN);
        while !self.is_over() {
            again.tick().await;
            let Ok(connection) = self.server.get_multiplexed_async_connection_with_config(&config).await
            else {
                continue;
            };
            self.progress.connected.fetch_add(1, Ordering::Relaxed);
            // Fails only when the workload is gone, and with it this task.
            self.going.wait_for(|go| *go).await.ok();
            self.work(connection).await;
        }
        self.history
    }

    fn is_over(&self) -> bool {
        *self.stopped.borrow() || self.history.len() >= MOST
    }

    /// Works until the connection breaks or all is over.
    async fn work(&mut self, mut connection: MultiplexedConnection) {
        if self.load.mix == Mix::Visitors && !self.transaction(&mut connection).await {
            return;
        }
        while !self.is_over() {
            if self.load.mix == Mix::Visitors && self.rng.random_ratio(1, VISIT) {
                break;
            }
            let intact = if self.load.mix == Mix::Reads {
                let register = self.rng.random_range(0..self.load.first + self.load.clients);
                self.single(&mut connection, Action::Read { register }).await
            } else if self.history.is_empty() {
                let action = self.append();
                self.single(&mut connection, action).await
            } else if self.rng.random_ratio(1, 10) {
                let actions: Vec<Action> = (0..self.rng.random_range(4..=8)).map(|_| self.choose()).collect();
                self.pipeline(&mut connection, &actions).await
            } else {
                let action = self.choose();
                self.single(&mut connection, action).await
            };
            if !intact {
                break;
            }
            if !self.load.pause.is_zero() {
                tokio::time::sleep(self.load.pause).await;
            }
        }
    }

    fn append(&mut self) -> Action {
        self.numbers += 1;
        let tag = Tag { client: self.id, number: self.numbers };
        Action::Append { list: self.rng.random_range(0..LISTS), tag }
    }

    fn choose(&mut self) -> Action {
        match self.rng.random_range(0..100_u8) {
            0..50 => self.append(),
            50..65 => {
                self.numbers += 1;
                Action::Set { register: self.id, number: self.numbers }
            }
            65..80 if self.load.mix != Mix::Uncounted => {
                Action::Increment { counter: self.rng.random_range(0..COUNTERS) }
            }
            _ => Action::Read { register: self.rng.random_range(0..self.load.first + self.load.clients) },
        }
    }

    async fn single(&mut self, connection: &mut MultiplexedConnection, action: Action) -> bool {
        let command = command(&self.load.prefix, action);
        let invoked = self.load.epoch.elapsed();
        let answer = connection.req_packed_command(&command).await;
        let (ending, intact) = match answer {
            Ok(value) => (ending(&value), true),
            Err(error) => failed(&error),
        };
        self.note(action, &command, invoked, ending);
        intact
    }

    /// An append in a transaction, step by step: what is not begun is not sent.
    async fn transaction(&mut self, connection: &mut MultiplexedConnection) -> bool {
        let action = self.append();
        let append = command(&self.load.prefix, action);
        let invoked = self.load.epoch.elapsed();
        let mut told = (Ending::InDoubt("no answer".to_owned()), false);
        for (step, expected) in
            [(redis::cmd("MULTI"), "OK"), (append.clone(), "QUEUED"), (redis::cmd("EXEC"), "")]
        {
            told = match connection.req_packed_command(&step).await {
                Ok(Value::Okay) if expected == "OK" => continue,
                Ok(Value::SimpleString(text)) if text == expected => continue,
                Ok(Value::Array(values)) if values.len() == 1 => (ending(&values[0]), true),
                Ok(Value::Nil) => (Ending::NotExecuted("the transaction was given up".to_owned()), true),
                Ok(value) => (ending(&value), true),
                Err(error) => failed(&error),
            };
            break;
        }
        let (ending, intact) = told;
        let done = matches!(ending, Ending::Done(_));
        self.note(action, &append, invoked, ending);
        // After a step that failed the session may be in the middle of it: a new one is in none.
        intact && done
    }

    async fn pipeline(&mut self, connection: &mut MultiplexedConnection, actions: &[Action]) -> bool {
        let commands: Vec<Cmd> = actions.iter().map(|action| command(&self.load.prefix, *action)).collect();
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in &commands {
            pipeline.add_command(command.clone());
        }
        let invoked = self.load.epoch.elapsed();
        let answer = connection.req_packed_commands(&pipeline, 0, commands.len()).await;
        let (endings, intact): (Vec<Ending>, bool) = match answer {
            Ok(values) => (values.iter().map(ending).collect(), true),
            Err(error) => {
                let (ending, intact) = failed(&error);
                // One error for all of them: which were executed is not told, unless none was.
                (vec![ending; commands.len()], intact)
            }
        };
        let missing = || Ending::InDoubt("no answer".to_owned());
        let endings = endings.into_iter().chain(std::iter::repeat_with(missing));
        for ((action, command), ending) in actions.iter().zip(&commands).zip(endings) {
            self.note(*action, command, invoked, ending);
        }
        intact
    }

    fn note(&mut self, action: Action, command: &Cmd, invoked: Duration, ending: Ending) {
        let counter = match ending {
            Ending::Done(_) => &self.progress.done,
            Ending::NotExecuted(_) | Ending::InDoubt(_) => &self.progress.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let bytes = u32::try_from(command.get_packed_command().len()).unwrap_or(u32::MAX);
        let ended = self.load.epoch.elapsed();
        self.history.push(Operation { client: self.id, action, invoked, ended, ending, bytes });
    }
}

fn list_key(prefix: &str, list: u8) -> String {
    format!("{prefix}:list:{list}")
}

fn register_key(prefix: &str, register: u16) -> String {
    format!("{prefix}:register:{register}")
}

fn counter_key(prefix: &str, counter: u8) -> String {
    format!("{prefix}:counter:{counter}")
}

fn command(prefix: &str, action: Action) -> Cmd {
    let mut command = Cmd::new();
    match action {
        Action::Append { list, tag } => command.arg("RPUSH").arg(list_key(prefix, list)).arg(tag.to_string()),
        Action::Set { register, number } => {
            command.arg("SET").arg(register_key(prefix, register)).arg(number)
        }
        Action::Increment { counter } => command.arg("INCR").arg(counter_key(prefix, counter)),
        Action::Read { register } => command.arg("GET").arg(register_key(prefix, register)),
    };
    command
}

/// What an answer means for its operation.
fn ending(value: &Value) -> Ending {
    match value {
        Value::Int(number) => Ending::Done(u64::try_from(*number).unwrap_or(0)),
        Value::Okay | Value::Nil => Ending::Done(0),
        Value::SimpleString(text) if text == "OK" => Ending::Done(0),
        Value::BulkString(bytes) => {
            match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
                Some(number) => Ending::Done(number),
                None => Ending::InDoubt("the answer is not a number".to_owned()),
            }
        }
        Value::ServerError(error) => {
            let words = format!("{} {}", error.code(), error.details().unwrap_or_default());
            by_code(error.code(), words)
        }
        other => Ending::InDoubt(format!("unexpected answer {other:?}")),
    }
}

/// `FTINDOUBT` leaves it open; every other word of a server says that the command was refused.
fn by_code(code: &str, words: String) -> Ending {
    if code == "FTINDOUBT" { Ending::InDoubt(words) } else { Ending::NotExecuted(words) }
}

/// An error instead of an answer, and whether the connection is of use still.
fn failed(error: &RedisError) -> (Ending, bool) {
    let broken =
        error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || error.code().is_none();
    match error.code() {
        Some(code) if !broken => (by_code(code, error.to_string()), true),
        _ => (Ending::InDoubt(error.to_string()), false),
    }
}

/// Reads what the store holds for `load`.
///
/// # Errors
///
/// The server at `url` does not answer, or not as it should.
pub async fn contents(url: &str, load: &Load) -> Result<Contents, RedisError> {
    let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut contents = Contents::default();
    for list in 0..LISTS {
        let mut command = redis::cmd("LRANGE");
        command.arg(list_key(&load.prefix, list)).arg(0).arg(-1);
        let values: Vec<String> = command.query_async(&mut connection).await?;
        let tags = values
            .into_iter()
            .map(|value| Tag::parse(value.trim_end_matches(PADDING)).ok_or(value))
            .collect();
        contents.lists.insert(list, tags);
    }
    for register in 0..load.first + load.clients {
        let key = register_key(&load.prefix, register);
        let number: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        contents.registers.insert(register, number.unwrap_or(0));
    }
    for counter in 0..COUNTERS {
        let key = counter_key(&load.prefix, counter);
        let number: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        contents.counters.insert(counter, number.unwrap_or(0));
    }
    Ok(contents)
}

/// How long no client had anything done, at the worst: the longest time between two ends of operations that were done, of all
/// clients together.
#[must_use]
pub fn longest_gap(history: &[Operation]) -> Duration {
    let mut ends: Vec<Duration> = history
        .iter()
        .filter(|operation| operation.is_acknowledged_write())
        .map(|operation| operation.ended)
        .collect();
    ends.sort_unstable();
    ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Time from request to answer, by quantile, of operations that were done.
#[must_use]
pub fn quantiles(history: &[Operation]) -> BTreeMap<&'static str, Duration> {
    let mut times: Vec<Duration> = history
        .iter()
        .filter(|operation| matches!(operation.ending, Ending::Done(_)))
        .map(|operation| operation.ended - operation.invoked)
        .collect();
    times.sort_unstable();
    let at = |per_mille: usize| {
        times
            .get((times.len() * per_mille / 1000).min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    BTreeMap::from([("p50", at(500)), ("p99", at(990)), ("max", at(1000))])
}
