//! Numbers that some clients publish and others hear: in order, none twice, and none is missed without word of a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use redis::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Client, texts};

/// What publishes, and those that hear it: the version of the protocol and how they subscribe.
const CHANNELS: &[(&str, &[(u8, &str)])] = &[
    (
        "PUBLISH @:news",
        &[(2, "SUBSCRIBE @:news"), (3, "SUBSCRIBE @:news"), (2, "PSUBSCRIBE @:n*"), (3, "PSUBSCRIBE @:n*")],
    ),
    ("SPUBLISH @:talk", &[(2, "SSUBSCRIBE @:talk"), (3, "SSUBSCRIBE @:talk")]),
];
/// So a client hears that its subscriptions were renewed, with the epoch.
const RENEWED: &str = "__ft:renewed";

/// Those that publish and hear.
pub(crate) struct News {
    who: String,
    publishing: JoinSet<Published>,
    hearing: JoinSet<Heard>,
    changing: JoinSet<()>,
    phase: Arc<Phase>,
}

#[derive(Default)]
struct Phase {
    /// The role moves no more.
    settled: AtomicBool,
    /// Everybody has heard enough.
    over: AtomicBool,
    /// The least number, of each channel, that was published after the role had settled. 0: none yet.
    marks: [AtomicU64; CHANNELS.len()],
}

/// When each number was published, from 1 on.
struct Published {
    channel: usize,
    begun: Vec<Instant>,
}

/// What one client was told.
struct Heard {
    who: String,
    channel: usize,
    numbers: Vec<u64>,
    gaps: Vec<Gap>,
}

/// Word that something may have been missed.
struct Gap {
    epoch: u64,
    told: Instant,
    /// Numbers that were heard before it.
    behind: usize,
}

impl News {
    pub(crate) async fn start(to: SocketAddr, seed: u64) -> Self {
        let who = format!("FORETOKEN_SEED={seed}");
        let stem = format!("n{seed}");
        let phase = Arc::<Phase>::default();
        let (mut publishing, mut hearing, mut changing) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        for (channel, (publish, ways)) in CHANNELS.iter().enumerate() {
            for (version, subscribe) in *ways {
                let who = format!("{who} {subscribe}, RESP{version}");
                let mut client = Client::connect(to, who, &stem).await;
                client.ask(&format!("HELLO {version}")).await;
                client.ask(subscribe).await;
                client.ask(&format!("SUBSCRIBE {RENEWED}")).await;
                hearing.spawn(hear(client, channel, Arc::clone(&phase)));
            }
            let client = Client::connect(to, format!("{who} {publish}"), &stem).await;
            publishing.spawn(tell(client, channel, publish, Arc::clone(&phase)));
        }
        for version in [2, 3] {
            let mut client = Client::connect(to, format!("{who} changes, RESP{version}"), &stem).await;
            client.ask(&format!("HELLO {version}")).await;
            changing.spawn(change(client, Arc::clone(&phase)));
        }
        Self { who, publishing, hearing, changing, phase }
    }

    /// The role has moved for the last time, in the epoch `last`.
    pub(crate) async fn end(self, last: u64) {
        self.phase.settled.store(true, Relaxed);
        let heard = self.hearing.join_all().await;
        self.phase.over.store(true, Relaxed);
        let published = self.publishing.join_all().await;
        self.changing.join_all().await;
        for heard in heard {
            let begun = published.iter().find(|published| published.channel == heard.channel);
            heard.check(&begun.expect("each channel has one").begun);
            let told = heard.gaps.last().map(|gap| gap.epoch);
            assert_eq!(told, Some(last), "{}: the last gap that {} was told of", self.who, heard.who);
        }
    }
}

/// Publishes until everybody has heard enough.
async fn tell(mut client: Client, channel: usize, publish: &str, phase: Arc<Phase>) -> Published {
    let mut begun = Vec::new();
    while !phase.over.load(Relaxed) {
        let number = begun.len() as u64 + 1;
        if phase.settled.load(Relaxed) && phase.marks[channel].load(Relaxed) == 0 {
            phase.marks[channel].store(number, Relaxed);
        }
        begun.push(Instant::now());
        client.ask(&format!("{publish} {number}")).await;
    }
    Published { channel, begun }
}

/// Hears until a number comes that was published after the role had settled.
async fn hear(mut client: Client, channel: usize, phase: Arc<Phase>) -> Heard {
    let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let said = texts(&client.hear("hears").await);
        let last = said.last().expect("a message has words");
        let number = last.parse().unwrap_or_else(|_| panic!("{}: it was told {said:?}", client.who()));
        if said.iter().any(|word| word == RENEWED) {
            gaps.push(Gap { epoch: number, told: Instant::now(), behind: numbers.len() });
            continue;
        }
        numbers.push(number);
        let mark = phase.marks[channel].load(Relaxed);
        if mark > 0 && number > mark {
            return Heard { who: client.who().to_owned(), channel, numbers, gaps };
        }
    }
}

/// Subscribes and leaves all the time: each is confirmed once, and counts what there is.
async fn change(mut client: Client, phase: Arc<Phase>) {
    client.ask("SUBSCRIBE @:rest").await;
    let mut number = 0;
    while !phase.over.load(Relaxed) {
        number += 1;
        for (word, count) in [("SUBSCRIBE", 2), ("UNSUBSCRIBE", 1)] {
            let line = format!("{word} @:c{number}");
            let (Value::Array(said) | Value::Push { data: said, .. }) = client.ask(&line).await else {
                panic!("{}: {line} was not confirmed", client.who())
            };
            let name = texts(&Value::Array(said.clone()));
            let fits = name.last().is_some_and(|name| name.ends_with(&format!(":c{number}")));
            assert!(fits && said.last() == Some(&Value::Int(count)), "{}: {line}: {said:?}", client.who());
        }
    }
}

impl Heard {
    fn check(&self, begun: &[Instant]) {
        let who = &self.who;
        assert!(self.numbers.is_sorted_by(|one, next| one < next), "{who}: out of order, or twice");
        assert!(self.gaps.is_sorted_by(|one, next| one.epoch < next.epoch), "{who}: a gap was told twice");
        for (place, pair) in self.numbers.windows(2).enumerate() {
            for missed in pair[0] + 1..pair[1] {
                let number = usize::try_from(missed).expect("small") - 1;
                let told = |gap: &Gap| gap.behind == place + 1 && gap.told > begun[number];
                assert!(
                    self.gaps.iter().any(told),
                    "{who}: {missed} is missing between {pair:?}, and no gap was told of"
                );
            }
        }
    }
}
