//! What a session has on its connection when the server begins to speak without being asked.

use std::time::Duration;

use foretoken_types::{Durability, HoldScope};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::wire::{Wire, publish, query, two};

#[tokio::test]
async fn a_subscriber_hears_of_the_keys_of_a_client_that_was_told_its_number() {
    let (old, _new, path) = two().await;
    let (mut ear, mut reader) = (Wire::connect(&path).await, Wire::connect(&path).await);
    ear.ask("CLIENT ID").await;
    let id = ear.hears_number().await;
    ear.ask("SUBSCRIBE __redis__:invalidate").await;
    ear.hears("*3|$9|subscribe|$20|__redis__:invalidate|:1|").await;
    reader.ask(&format!("CLIENT TRACKING ON REDIRECT {id}\r\nGET k")).await;
    reader.hears("+OK|$-1|").await;
    let () = query(&old, "SET k 1");
    ear.hears("*3|$7|message|$20|__redis__:invalidate|*1|$1|k|").await;
}

#[tokio::test]
async fn a_session_is_one_client_of_the_server_before_and_after() {
    let (old, _new, path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("HELLO 3\r\nSELECT 3\r\nCLIENT ID").await;
    client.skip_hello().await;
    client.hears("+OK|").await;
    let id = client.hears_number().await;
    client.ask("SUBSCRIBE a\r\nSET k 1\r\nCLIENT ID").await;
    client.hears(&format!(">3|$9|subscribe|$1|a|:1|+OK|:{id}|")).await;
    let list: String = query(&old, "CLIENT LIST");
    assert_eq!(list.lines().filter(|line| !line.contains("cmd=client|list")).count(), 1, "{list}");
    assert!(query::<String>(&old, "INFO keyspace").contains("db3:keys=1,"));
}

#[tokio::test]
async fn keys_that_were_watched_before_are_watched_still() {
    let (old, _new, path) = two().await;
    for (changed, executed) in [(false, "*1|+OK|"), (true, "_|")] {
        let mut client = Wire::connect(&path).await;
        client.ask("HELLO 3\r\nWATCH k").await;
        client.skip_hello().await;
        client.hears("+OK|").await;
        client.ask("CLIENT TRACKING ON").await;
        client.hears("+OK|").await;
        if changed {
            let () = query(&old, "SET k other");
        }
        client.ask("MULTI\r\nSET k 1\r\nEXEC").await;
        client.hears(&format!("+OK|+QUEUED|{executed}")).await;
    }
}

#[tokio::test]
async fn a_subscription_inside_of_a_transaction_begins_with_its_exec() {
    for (hello, kind) in [("", '*'), ("HELLO 3\r\n", '>')] {
        let (old, _new, mut path) = two().await;
        let mut client = Wire::connect(&path).await;
        client.ask(&format!("{hello}MULTI")).await;
        if !hello.is_empty() {
            client.skip_hello().await;
        }
        client.ask("SUBSCRIBE a b\r\nINCR n").await;
        client.hears("+OK|+QUEUED|+QUEUED|").await;
        assert_eq!(query::<i64>(&old, "PUBLISH a early"), 0);
        client.ask("EXEC").await;
        // The server counts commands, and says more than that.
        client.hears(&format!("*2|{kind}3|$9|subscribe|$1|a|:1|{kind}3|$9|subscribe|$1|b|:2|:1|")).await;
        publish(&old, "PUBLISH b x").await;
        client.hears(&format!("{kind}3|$7|message|$1|b|$1|x|")).await;
        // What it has is not known to us.
        path.hold(HoldScope::Writes, false).await;
        path.move_to("e1", 2);
        client.is_cut().await;
    }
}

#[tokio::test]
async fn a_transaction_that_was_moved_may_begin_a_subscription() {
    let (old, new, mut path) = two().await;
    let mut client = Wire::connect(&path).await;
    client.ask("MULTI\r\nINCR n").await;
    client.hears("+OK|+QUEUED|").await;
    path.hold(HoldScope::Writes, false).await;
    path.move_to("e1", 2);
    client.ask("SUBSCRIBE a\r\nEXEC").await;
    client.hears("+QUEUED|*2|:1|*3|$9|subscribe|$1|a|:1|").await;
    assert_eq!((query::<i64>(&old, "EXISTS n"), query::<i64>(&new, "EXISTS n")), (0, 1));
    publish(&new, "PUBLISH a x").await;
    client.hears("*3|$7|message|$1|a|$1|x|").await;
}

#[tokio::test]
async fn whose_connection_holds_what_cannot_be_moved_is_cut_and_who_only_knows_its_number_goes_on() {
    for (held, answer, channel, moves) in [
        ("CLIENT ID", None, "a", true),
        ("CLIENT ID", None, "__redis__:invalidate", false),
        ("READWRITE", Some("-ERR This instance has cluster support disabled|"), "a", false),
        ("WATCH k", Some("+OK|"), "a", false),
    ] {
        let (_old, new, mut path) = two().await;
        let mut client = Wire::connect(&path).await;
        client.ask(held).await;
        match answer {
            Some(answer) => client.hears(answer).await,
            None => drop(client.hears_number().await),
        }
        client.ask(&format!("SUBSCRIBE {channel}")).await;
        client.hears(&format!("*3|$9|subscribe|${}|{channel}|:1|", channel.len())).await;
        path.hold(HoldScope::Writes, false).await;
        path.move_to("e1", 2);
        if moves {
            publish(&new, "PUBLISH a x").await;
            client.hears("*3|$7|message|$1|a|$1|x|").await;
        } else {
            client.is_cut().await;
        }
    }
}

#[tokio::test]
async fn what_was_lost_before_the_subscription_is_not_forgotten_over_another_connection() {
    for (held, answer) in [("CLIENT ID", None), ("WATCH k", Some("+OK|"))] {
        let (_old, _new, mut path) = two().await;
        let mut client = Wire::connect(&path).await;
        client.ask(held).await;
        match answer {
            Some(answer) => client.hears(answer).await,
            None => drop(client.hears_number().await),
        }
        path.hold(HoldScope::Writes, false).await;
        path.move_to("e1", 2);
        client.ask("SUBSCRIBE a").await;
        client.is_cut().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_not_subscribed_over() {
    let (old, _new, path) = two().await;
    let mut client = Wire::connect(&path).await;
    // It leaves nothing behind, and keeps the connection at hand.
    client.ask("MULTI").await;
    client.hears("+OK|").await;
    client.ask("EXEC").await;
    client.hears("*0|").await;
    assert_eq!(query::<i64>(&old, "CLIENT KILL TYPE normal"), 1);
    client.ask("SUBSCRIBE a").await;
    client.hears("*3|$9|subscribe|$1|a|:1|").await;
}

#[tokio::test]
async fn an_exec_whose_answer_nobody_knows_is_acknowledged_only_when_a_mirror_has_it() {
    let (old, _new, path) = two().await;
    path.posture(|posture| posture.durability = Durability::Synchronous);
    let mut client = Wire::connect(&path).await;
    client.ask("MULTI").await;
    client.hears("+OK|").await;
    client.ask("INCR n\r\nSUBSCRIBE a\r\nEXEC").await;
    client.hears("+QUEUED|+QUEUED|").await;
    // Nobody confirms anything here.
    let silent = timeout(Duration::from_millis(200), client.0.read_u8()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(query::<i64>(&old, "GET n"), 1, "it was executed");
}

#[tokio::test]
async fn a_subscription_that_is_too_long_to_be_collected_begins_a_relay_too() {
    let (old, _new, path) = two().await;
    let mut client = Wire::connect(&path).await;
    let names: Vec<String> = (10..40).map(|number| "n".repeat(60_000) + &number.to_string()).collect();
    let bulks: String = names.iter().map(|name| format!("$60002\r\n{name}\r\n")).collect();
    client.ask(&format!("*31\r\n$9\r\nSUBSCRIBE\r\n{bulks}PING")).await;
    for (number, name) in names.iter().enumerate() {
        client.hears(&format!("*3|$9|subscribe|$60002|{name}|:{}|", number + 1)).await;
    }
    client.hears("*2|$4|pong|$0||").await;
    publish(&old, &format!("PUBLISH {} x", names[29])).await;
    client.hears(&format!("*3|$7|message|$60002|{}|$1|x|", names[29])).await;
}

#[tokio::test]
async fn the_rest_of_a_long_request_that_was_refused_goes_nowhere() {
    let (old, _new, mut path) = two().await;
    path.tunables(|tunables| {
        tunables.hold_max = Duration::from_millis(50);
        tunables.hold_bytes = 16 * 1024 * 1024;
    });
    let mut client = Wire::subscribed(&path).await;
    path.hold(HoldScope::Writes, false).await;
    let value = "\r\nDEL none\r\n".repeat(200_000);
    client.ask(&format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}", value.len())).await;
    client.hears("-LOADING Foretoken waited in vain for a primary: not executed, try again|").await;
    client.ask("GET k").await;
    client.hears("_|").await;
    assert!(!query::<String>(&old, "INFO commandstats").contains("cmdstat_del"));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_an_answer_that_nobody_would_recognise() {
    let (old, _new, mut path) = two().await;
    let mut client = Wire::subscribed(&path).await;
    client.ask("DEBUG SLEEP 0.2\r\nGET k\r\nCLIENT REPLY OFF").await;
    client.hears("+OK|_|").await;
    let () = query(&old, "SET k 1");
    path.hold(HoldScope::All, false).await;
}
