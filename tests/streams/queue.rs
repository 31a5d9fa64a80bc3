//! Elements that some clients bring and others wait for: each is taken once.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use redis::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Client, texts};
use crate::store::LONG;

const BRINGING: usize = 3;
/// What each of them brings. Not long, so that most of them are awaited.
const EACH: usize = 240;

/// How elements are waited for: with an end and without one, taken one by one and several at once, and put elsewhere.
const WAYS: &[&str] = &[
    "BLPOP @:none @:queue 0",
    "BRPOP @:queue 0.05",
    "BLMPOP 0.1 2 @:none @:queue LEFT COUNT 3",
    "BLMOVE @:queue @:moved RIGHT LEFT 0",
    "BRPOPLPUSH @:queue @:moved 1",
    "BZPOPMIN @:ranked @:none 0",
    "BZMPOP 0.02 1 @:ranked MAX COUNT 2",
];

/// Runs until every element was taken.
pub(crate) async fn run(to: SocketAddr, seed: u64) {
    let who = |who: &str| format!("FORETOKEN_SEED={seed} {who}");
    let stem = format!("q{seed}");
    let (take, mut taken) = mpsc::channel(EACH);
    let mut waiting = JoinSet::new();
    for way in WAYS {
        let mut client = Client::connect(to, who(way), &stem).await;
        let take = take.clone();
        waiting.spawn(async move {
            loop {
                let reply = client.ask(way).await;
                for element in texts(&reply).into_iter().filter(|text| text.starts_with("element-")) {
                    take.send((element, *way)).await.expect("the test listens");
                }
            }
        });
    }
    let mut bringing = JoinSet::new();
    for number in 0..BRINGING {
        let mut client = Client::connect(to, who("brings"), &stem).await;
        bringing.spawn(async move {
            for element in 0..EACH {
                let line = match element % 3 {
                    0 => format!("ZADD @:ranked {element} element-{number}-{element}"),
                    1 => format!("RPUSH @:queue element-{number}-{element}"),
                    _ => format!("LPUSH @:queue element-{number}-{element}"),
                };
                assert!(matches!(client.ask(&line).await, Value::Int(1..)), "{line}");
            }
        });
    }
    let mut by: BTreeMap<String, &str> = BTreeMap::new();
    let all_taken = async {
        while by.len() < BRINGING * EACH {
            tokio::select! {
                Some((element, way)) = taken.recv() => {
                    if let Some(other) = by.insert(element.clone(), way) {
                        panic!("{}", who(&format!("{element} was taken twice, by {other} and by {way}")));
                    }
                }
                // One that ends has panicked.
                Some(ended) = bringing.join_next() => ended.expect("brings everything"),
                Some(ended) = waiting.join_next() => ended.expect("takes for ever"),
            }
        }
    };
    let in_time = tokio::time::timeout(LONG, all_taken).await.is_ok();
    let mut after = Client::connect(to, who("looks"), &stem).await;
    let left = [after.ask("LRANGE @:queue 0 -1").await, after.ask("ZRANGE @:ranked 0 -1").await];
    let lost: Vec<String> = (0..BRINGING * EACH)
        .map(|number| format!("element-{}-{}", number / EACH, number % EACH))
        .filter(|element| !by.contains_key(element))
        .collect();
    assert!(in_time, "{}", who(&format!("never taken: {lost:?}; left: {left:?}")));
    assert!(left.iter().all(|left| texts(left).is_empty()), "{}", who(&format!("taken and left: {left:?}")));
    let mut moved = texts(&after.ask("LRANGE @:moved 0 -1").await);
    moved.sort_unstable();
    let puts = |way: &str| way.contains("@:moved");
    let told: Vec<&String> = by.iter().filter(|(_, way)| puts(way)).map(|(element, _)| element).collect();
    assert_eq!(moved.iter().collect::<Vec<_>>(), told, "{}", who("what was put elsewhere is there"));
}
