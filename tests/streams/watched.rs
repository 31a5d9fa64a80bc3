//! A counter that several clients count on by turns, each watching it: a transaction fails now and then, and none is wrong.

use std::net::SocketAddr;

use redis::Value;
use tokio::task::JoinSet;

use crate::client::{Client, texts};

const COUNTING: usize = 4;
/// How often each of them succeeds.
const EACH: usize = 80;

pub(crate) async fn run(to: SocketAddr, seed: u64) {
    let who = |who: &str| format!("FORETOKEN_SEED={seed} {who}");
    let stem = format!("w{seed}");
    let mut counting = JoinSet::new();
    for number in 0..COUNTING {
        let mut client = Client::connect(to, who("counts"), &stem).await;
        // In another protocol a transaction that fails is answered in other words.
        if number % 2 == 1 {
            client.ask("HELLO 3").await;
        }
        counting.spawn(count(client));
    }
    let mut counted = counting.join_all().await.concat();
    counted.sort_unstable();
    let all: Vec<usize> = (1..=COUNTING * EACH).collect();
    assert_eq!(counted, all, "{}", who("no number was reached twice, and none left out"));
    let mut after = Client::connect(to, who("looks"), &stem).await;
    let list: Vec<usize> = texts(&after.ask("LRANGE @:counted 0 -1").await)
        .iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    assert_eq!(list, all, "{}", who("what transactions wrote is there, in order and once"));
}

/// Gives the numbers that it has reached.
async fn count(mut client: Client) -> Vec<usize> {
    let mut reached = Vec::new();
    while reached.len() < EACH {
        client.ask("WATCH @:counter").await;
        let last = texts(&client.ask("GET @:counter").await);
        let next = 1 + last.first().map_or(0, |text| text.parse().expect("a number"));
        client.ask("MULTI").await;
        for line in [format!("SET @:counter {next}"), format!("RPUSH @:counted {next}")] {
            client.ask(&line).await;
        }
        match client.ask("EXEC").await {
            Value::Nil => {}
            Value::Array(replies) => {
                assert_eq!(
                    replies[1],
                    Value::Int(i64::try_from(next).expect("small")),
                    "{}: {replies:?}",
                    client.who()
                );
                reached.push(next);
            }
            other => panic!("{}: EXEC: {other:?}", client.who()),
        }
    }
    reached
}
