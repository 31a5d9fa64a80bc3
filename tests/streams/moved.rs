//! The same streams through the whole program, while the primary role moves all the time: a session that can be moved feels nothing
//! but latency, one that can't is cut and keeps what was acknowledged.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foretoken_app::client::model::SwitchoverOutcome;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;

use crate::both::{ORDERED, ordered};
use crate::commands;
use crate::compare::{difference_when_moved, is_cut};
use crate::grammar::{Grammar, Scope, Speaker, multibulk};
use crate::rounds::Rounds;
use crate::session::{Requests, Stream, Temper, session};
use crate::store::Store;
use crate::support::servers::RedisServer;
use crate::unlike::alike;
use crate::wire::{Cut, converse};

const CLIENTS: usize = 12;
/// Slow enough for a role to move meanwhile.
const SLOWLY: Cut = Cut { most: 60, pauses: 60 };

/// What becomes of a session when the role moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It goes on.
    Movable,
    /// It is cut.
    Pinned,
    /// It is cut, or goes on.
    Subscriber,
}

impl Kind {
    fn opening(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Movable => &[],
            Self::Pinned => &[&["READONLY"]],
            Self::Subscriber => &[&["HELLO", "3"], &["SUBSCRIBE", "@:news"]],
        }
    }
}

/// Between requests it writes down what it has done, in an order that can be checked when it was cut.
fn stream(speaker: &mut Speaker<'_>, kind: Kind) -> Stream {
    let stem = speaker.stem.clone();
    let words = |words: &[&str]| {
        multibulk(&words.iter().map(|word| word.replace('@', &stem).into_bytes()).collect::<Vec<_>>())
    };
    let mut requests: Requests = kind.opening().iter().map(|line| words(line)).collect();
    for entry in 0..60 {
        let temper = if kind == Kind::Movable { Temper::Stateful } else { Temper::Plain };
        requests.extend(session(speaker, temper, 6));
        requests.push(words(&["EVAL", WRITE_DOWN, "1", "@:log", &format!("{entry:04}")]));
    }
    Stream { cut: SLOWLY, ..Stream::of(speaker, Temper::Wild, requests) }
}

const WRITE_DOWN: &str = "redis.call('RPUSH', KEYS[1], ARGV[1]) return 'log-' .. ARGV[1]";

/// The number of entries of the log that were acknowledged.
fn acknowledged(replies: &[u8]) -> usize {
    replies.windows(6).filter(|window| *window == b"\r\nlog-").count()
}

/// The requests behind the last entry of the log before a difference, for whoever looks into it.
fn behind_log(stream: &Stream, wanted: &[u8], got: &[u8]) -> String {
    let (wanted, got) = (alike(wanted), alike(got));
    let same = wanted.iter().zip(&got).take_while(|(wanted, got)| wanted == got).count();
    let got = &got[..same];
    let entry = format!("{:04}\r\n", acknowledged(got).saturating_sub(1)).into_bytes();
    let begin = stream.requests.iter().position(|request| request.ends_with(&entry)).unwrap_or(0);
    stream.requests[begin..]
        .iter()
        .take(9)
        .map(|request| format!("\n    {}", request.escape_ascii()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_moves_changes_nothing_but_latency() {
    let direct = ordered();
    let mut store = Store::start(3).await;
    for server in &store.servers {
        let mut connection =
            redis::Client::open(server.url()).expect("a URL").get_connection().expect("it runs");
        for (name, value) in ORDERED {
            redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).expect("sets");
        }
    }
    let grammar = Grammar::new(commands::all(&mut direct.connection()));
    let mut rounds = Rounds::begin();
    let mut switchovers = 0;
    while let Some(seed) = rounds.next() {
        store.whole().await;
        switchovers += round(&direct, &mut store, &grammar, seed).await;
    }
    eprintln!("{rounds}, {switchovers} switchovers");
    assert!(switchovers > 0, "the role has moved while clients were at work");
}

/// What has begun and what has ended of the switchovers.
#[derive(Default)]
struct Moves {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// What one client has got, on either side, and whether the role moved meanwhile.
struct Seen {
    wanted: Vec<u8>,
    got: Vec<u8>,
    moved: bool,
}

async fn round(direct: &RedisServer, store: &mut Store, grammar: &Grammar, seed: u64) -> u64 {
    let kinds = [Kind::Movable, Kind::Movable, Kind::Pinned, Kind::Subscriber];
    let stem = |number: usize| format!("r{seed}c{number}");
    let streams: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let rng = SmallRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32));
            let kind = kinds[number % kinds.len()];
            (kind, stream(&mut Speaker::new(grammar, &stem(number), Scope::Moving, rng), kind))
        })
        .collect();
    let (through, moves) = (address(&store.sidecar.url()), Arc::new(Moves::default()));
    let mut all = JoinSet::new();
    for (number, (_, stream)) in streams.iter().enumerate() {
        let (direct, stream, moves) = (address(&direct.url()), stream.clone(), Arc::clone(&moves));
        let mut rng = SmallRng::seed_from_u64(seed + number as u64);
        all.spawn(async move {
            let bytes = stream.bytes();
            let wanted = converse(direct, &bytes, Cut::WHOLE, &mut rng).await;
            let before = moves.ended.load(Relaxed);
            let got = converse(through, &bytes, stream.cut, &mut rng).await;
            (number, wanted, got, moves.begun.load(Relaxed) > before)
        });
    }
    let mut seen: Vec<Option<Seen>> = streams.iter().map(|_| None).collect();
    let done = Cell::new(false);
    let clients = async {
        while let Some(result) = all.join_next().await {
            let (number, wanted, got, moved) = result.expect("a client does not panic");
            let got = got.unwrap_or_else(|error| panic!("FORETOKEN_SEED={seed} client {number}: {error}"));
            seen[number] = Some(Seen { wanted: wanted.expect("the server answers"), got, moved });
        }
        done.set(true);
    };
    let switching = async {
        while !done.get() {
            store.whole().await;
            moves.begun.fetch_add(1, Relaxed);
            let report = store.switch().await;
            assert_eq!(report.outcome, SwitchoverOutcome::Done, "FORETOKEN_SEED={seed} {report:?}");
            moves.ended.fetch_add(1, Relaxed);
        }
    };
    tokio::join!(clients, switching);
    let mut after =
        redis::Client::open(store.sidecar.url()).expect("a URL").get_connection().expect("the sidecar runs");
    for (number, ((kind, _), seen)) in streams.iter().zip(seen).enumerate() {
        let Seen { wanted, got, moved } = seen.expect("each has ended");
        let who = format!("FORETOKEN_SEED={seed} client {number}, {kind:?}");
        if *kind != Kind::Movable {
            let log: Vec<String> = redis::cmd("LRANGE")
                .arg(format!("{}:log", stem(number)))
                .arg(0)
                .arg(-1)
                .query(&mut after)
                .expect("reads");
            assert!(log.len() >= acknowledged(&got), "{who}: an acknowledged entry is lost: {log:?}");
            let in_order = log.iter().enumerate().all(|(number, entry)| *entry == format!("{number:04}"));
            assert!(in_order, "{who}: an entry is there twice, or in the wrong place: {log:?}");
            if moved && is_cut(&wanted, &got) {
                continue;
            }
        }
        if let Some(difference) = difference_when_moved(&wanted, &got) {
            panic!(
                "{who} differs {difference}\nafter its last entry:{}",
                behind_log(&streams[number].1, &wanted, &got)
            );
        }
    }
    moves.ended.load(Relaxed)
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("redis://").parse().expect("a URL with an address")
}
