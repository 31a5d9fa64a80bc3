//! The same streams through the whole program, while the primary role moves all the time: a session that can be moved feels nothing
//! but latency, one that can't is cut and keeps what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;

use crate::both::{ORDERED, ordered};
use crate::cast::{Kind, Part, cast};
use crate::commands;
use crate::compare::{difference_when_moved, is_cut};
use crate::grammar::Grammar;
use crate::moves::Moves;
use crate::rounds::Rounds;
use crate::session::Stream;
use crate::store::Store;
use crate::support::servers::RedisServer;
use crate::unlike::alike;
use crate::wire::{Cut, address, converse};

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
    let (mut switchovers, mut cut) = (0, 0);
    while let Some(seed) = rounds.next() {
        store.whole().await;
        let parts = cast(&grammar, seed);
        let (seen, moves) = round(&direct, &mut store, &parts, seed).await;
        switchovers += moves.ended.load(Relaxed);
        let mut after =
            redis::Client::open(store.sidecar.url()).expect("a URL").get_connection().expect("it runs");
        for (number, (part, seen)) in parts.iter().zip(&seen).enumerate() {
            cut += usize::from(part.kind.is_cut() && is_cut(&seen.wanted, &seen.got));
            part.check(seen, &format!("FORETOKEN_SEED={seed} client {number}"), &mut after);
        }
        // Scripts of earlier rounds are not needed any more, and only so many are kept.
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut after).expect("flushes");
    }
    eprintln!("{rounds}, {switchovers} switchovers, {cut} sessions cut");
    assert!(cut > 0, "a role has moved under a session that can't be moved");
}

/// What one client has got, on either side, and whether the role moved meanwhile.
struct Seen {
    wanted: Vec<u8>,
    got: Vec<u8>,
    moved: bool,
}

async fn round(
    direct: &RedisServer,
    store: &mut Store,
    parts: &[Part],
    seed: u64,
) -> (Vec<Seen>, Arc<Moves>) {
    let (through, moves) = (address(&store.sidecar.url()), Arc::new(Moves::default()));
    let mut all = JoinSet::new();
    for (number, part) in parts.iter().enumerate() {
        let (direct, stream, moves) = (address(&direct.url()), part.stream.clone(), Arc::clone(&moves));
        let mut rng = SmallRng::seed_from_u64(seed + number as u64);
        all.spawn(async move {
            let bytes = stream.bytes();
            let wanted = converse(direct, &bytes, Cut::WHOLE, &mut rng).await;
            let before = moves.ended.load(Relaxed);
            let got = converse(through, &bytes, stream.cut, &mut rng).await;
            (number, wanted, got, moves.begun.load(Relaxed) > before)
        });
    }
    let clients = async {
        let mut seen: Vec<Option<Seen>> = parts.iter().map(|_| None).collect();
        while let Some(result) = all.join_next().await {
            let (number, wanted, got, moved) = result.expect("a client does not panic");
            let got = got.unwrap_or_else(|error| panic!("FORETOKEN_SEED={seed} client {number}: {error}"));
            seen[number] = Some(Seen { wanted: wanted.expect("the server answers"), got, moved });
        }
        seen.into_iter().map(|seen| seen.expect("each has ended")).collect()
    };
    (moves.during(store, seed, clients).await, moves)
}

impl Part {
    fn check(&self, seen: &Seen, who: &str, after: &mut redis::Connection) {
        let Seen { wanted, got, moved } = seen;
        let who = format!("{who}, {:?}", self.kind);
        if !matches!(self.kind, Kind::Movable | Kind::Paired) {
            self.check_log(acknowledged(got), &who, after);
            if *moved && is_cut(wanted, got) {
                return;
            }
        }
        if let Some(difference) = difference_when_moved(wanted, got) {
            panic!(
                "{who} differs {difference}\nafter its last entry:{}",
                behind_log(&self.stream, wanted, got)
            );
        }
    }

    fn check_log(&self, acknowledged: usize, who: &str, after: &mut redis::Connection) {
        let mut read = redis::pipe();
        read.cmd("SELECT").arg(self.kind.database()).ignore();
        read.cmd("LRANGE").arg(format!("{}:log", self.stem)).arg(0).arg(-1);
        let (log,): (Vec<String>,) = read.query(after).expect("reads");
        assert!(log.len() >= acknowledged, "{who}: an acknowledged entry is lost: {log:?}");
        let in_order = log.iter().enumerate().all(|(number, entry)| *entry == format!("{number:04}"));
        assert!(in_order, "{who}: an entry is there twice, or in the wrong place: {log:?}");
    }
}
