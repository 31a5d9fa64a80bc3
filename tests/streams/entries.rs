//! Entries of a stream that some clients add and others wait for: whoever reads sees all of them in order, and a group each once.

use std::net::SocketAddr;

use redis::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Client, texts};

const ADDING: usize = 2;
/// What each of them adds.
const EACH: usize = 240;
const ALL: usize = ADDING * EACH;
/// How those wait that read on from the last entry they have seen.
const READING: &[&str] = &["XREAD BLOCK 0 STREAMS @:log", "XREAD COUNT 3 BLOCK 50 STREAMS @:none @:log 0"];
/// How those wait that share the entries of a group.
const SHARING: &[&str] = &[
    "XREADGROUP GROUP g ann BLOCK 0 STREAMS @:log >",
    "XREADGROUP GROUP g bob COUNT 2 BLOCK 20 STREAMS @:log >",
    "XREADGROUP GROUP g eve BLOCK 1000 STREAMS @:none @:log > >",
];

/// Runs until everybody has seen what is theirs.
pub(crate) async fn run(to: SocketAddr, seed: u64) {
    let who = |who: &str| format!("FORETOKEN_SEED={seed} {who}");
    let stem = format!("x{seed}");
    let mut first = Client::connect(to, who("makes groups"), &stem).await;
    for key in ["@:log", "@:none"] {
        first.ask(&format!("XGROUP CREATE {key} g 0 MKSTREAM")).await;
    }
    let mut sharing = JoinSet::new();
    let (share, mut shared) = mpsc::channel(ALL);
    for line in SHARING {
        let (client, share) = (Client::connect(to, who(line), &stem).await, share.clone());
        sharing.spawn(take_part(client, line, share));
    }
    let mut reading = JoinSet::new();
    for line in READING {
        reading.spawn(read(Client::connect(to, who(line), &stem).await, line));
    }
    let mut adding = JoinSet::new();
    for number in 0..ADDING {
        adding.spawn(add(Client::connect(to, who("adds"), &stem).await, number));
    }
    adding.join_all().await;
    let whole = ids(&first.ask("XRANGE @:log - +").await);
    assert_eq!(whole.len(), ALL, "{}", who("what was added is there, once"));
    for seen in reading.join_all().await {
        assert_eq!(seen, whole, "{}", who("whoever reads sees everything in order"));
    }
    let mut taken = Vec::new();
    while taken.len() < ALL {
        tokio::select! {
            Some(id) = shared.recv() => taken.push(id),
            Some(ended) = sharing.join_next() => ended.expect("takes part for ever"),
        }
    }
    taken.sort_by_key(|id| place(id));
    assert_eq!(taken, whole, "{}", who("in a group each entry is taken once"));
    let pending = first.ask("XPENDING @:log g").await;
    assert!(
        matches!(&pending, Value::Array(parts) if parts[0] == Value::Int(0)),
        "{}: {pending:?}",
        who("pending")
    );
}

async fn add(mut client: Client, number: usize) {
    let mut last = (0, 0);
    for entry in 0..EACH {
        let reply = texts(&client.ask(&format!("XADD @:log * entry {number}-{entry}")).await);
        let next = place(&reply[0]);
        assert!(next > last, "{}: {next:?} behind {last:?}", client.who());
        last = next;
    }
}

async fn read(mut client: Client, line: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < ALL {
        let last = seen.last().map_or("0", String::as_str);
        let reply = client.ask(&format!("{line} {last}")).await;
        seen.extend(ids(&reply));
    }
    seen
}

async fn take_part(mut client: Client, line: &str, share: mpsc::Sender<String>) {
    loop {
        let reply = client.ask(line).await;
        for id in ids(&reply) {
            let done = client.ask(&format!("XACK @:log g {id}")).await;
            assert_eq!(done, Value::Int(1), "{}: {id} was pending", client.who());
            share.send(id).await.expect("the test listens");
        }
    }
}

/// The names of entries in a reply.
fn ids(reply: &Value) -> Vec<String> {
    let is_id = |text: &String| text.len() > 13 && text.split('-').all(|part| part.parse::<u64>().is_ok());
    texts(reply).into_iter().filter(is_id).collect()
}

/// Where an entry stands.
fn place(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').expect("a time and a number");
    (time.parse().expect("a time"), number.parse().expect("a number"))
}
