//! What the API gives while roles change, and what the data path lets its holder do meanwhile (PROTOCOL 3.2, row by row).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{AuthorityRole, SwitchoverOutcome, SwitchoverRequest};
use foretoken_demo::sidecar::{STORE, Setup, Sidecar};
use foretoken_types::StoreState;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use crate::arrived::{has_arrived, sync_each_write};
use crate::http;
use crate::support::{House, LONG, until};

const ASK: &str = r#"{"serviceId":"checkout","dataBlockId":"*"}"#;

async fn connect(house: &House) -> MultiplexedConnection {
    let client = redis::Client::open(house.sidecar.url()).expect("a URL");
    let patient = redis::AsyncConnectionConfig::new()
        .set_response_timeout(LONG)
        .set_connection_timeout(Duration::from_secs(20));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("it serves")
}

/// Follows `GET /v1/events` on a thread of its own, and gives each `store` event.
fn events(house: &House) -> std::sync::mpsc::Receiver<Value> {
    let mut stream = UnixStream::connect(house.socket()).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a socket");
    stream.write_all(b"GET /v1/events?store=demo HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let (send, events) = std::sync::mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let mut named = false;
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if let (true, Some(data)) = (named, line.strip_prefix("data: ")) {
                let Ok(event) = serde_json::from_str(data) else { return };
                if send.send(event).is_err() {
                    return;
                }
            }
            named = line == "event: store";
        }
    });
    events
}

/// T1 with the primary killed: what it gives, that it is renewed, and that the sidecar keeps its word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_primary_killed_the_api_gives_t1_mirrors_are_read_and_writes_wait() {
    // Others may write, so no failover comes by itself; and nobody hangs up on a write for as long as the test takes.
    let mut house = House::open(|setup, _| {
        setup.sole_writer = false;
        setup.store = "reads = \"mirror-when-held\"\nhold_max = \"60s\"\n".to_owned();
    })
    .await;
    let (mut reader, mut writer) = (connect(&house).await, connect(&house).await);
    sync_each_write(&mut writer).await;
    redis::cmd("SET").arg("k").arg("v").exec_async(&mut writer).await.expect("writes");
    has_arrived(&mut writer).await;
    let before = house.ask("/v1/tokens", ASK);
    assert_eq!(before.text("tier"), "valid");
    let told = events(&house);

    house.servers[0].kill().expect("it runs");
    house
        .wait("the loss", |status| status.state == StoreState::Unavailable && status.tier == "temporary")
        .await;
    let t1 = house.ask("/v1/tokens", ASK);
    assert_eq!((t1.status, t1.text("tier").as_str()), (201, "temporary"), "{t1:?}");
    assert_eq!((&t1.json["access"], &t1.json["endpoint"]), (&json!(["read", "queue"]), &Value::Null));
    assert_eq!((t1.epoch(), &t1.json["expiresIn"]), (before.epoch(), &json!(30.0)), "still of the old epoch");
    // A downgrade is pushed to whoever follows, and a refresh of the T3 leads there.
    let pushed = |event: Value| event["tier"] == "temporary" && event["epoch"] == before.json["epoch"];
    while !pushed(told.recv_timeout(LONG).expect("an event")) {}
    let renewed = house.ask(&format!("/v1/tokens/{}/refresh", t1.text("tokenId")), "");
    assert_eq!((renewed.status, renewed.text("tier").as_str()), (200, "temporary"));
    assert_eq!(renewed.json["expiresIn"], json!(30.0), "renewable");
    let whole = r#"{"serviceId":"checkout","access":["read"]}"#;
    assert_eq!(
        house.ask("/v1/tokens", whole).json["access"],
        json!(["read"]),
        "who does not queue is refused at once"
    );

    let read: Option<String> = redis::cmd("GET").arg("k").query_async(&mut reader).await.expect("is served");
    assert_eq!(read.as_deref(), Some("v"), "by the mirror");
    let waiting =
        tokio::spawn(async move { redis::cmd("INCR").arg("n").query_async::<u64>(&mut writer).await });
    let held =
        async || house.sidecar.counter("foretoken_outbound_held_requests").await.is_ok_and(|held| held > 0);
    until("the write to wait", held).await;
    assert!(!waiting.is_finished());

    house.servers[0].restart().expect("it comes back");
    let written = waiting.await.expect("ends").expect("it waited, and was executed");
    assert_eq!(written, 1, "once");
    house.wait("a primary", |status| status.ready && status.tier == "valid").await;
    assert_eq!(house.ask("/v1/tokens", ASK).text("tier"), "valid");
}

/// T1 while there is no primary, T2 of the new epoch for the new one, T3 once it has shown itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_goes_from_t1_to_t2_to_t3() {
    // Between two looks at the new primary there is time to ask.
    let mut house = House::open(|setup, _| {
        setup.store = "detect = { probe_interval = \"1s\" }\n".to_owned();
    })
    .await;
    let before = house.ask("/v1/tokens", ASK);
    house.servers[0].kill().expect("it runs");
    let mut first = std::collections::BTreeMap::new();
    let deadline = tokio::time::Instant::now() + LONG;
    while !first.contains_key("valid") {
        assert!(tokio::time::Instant::now() < deadline, "only {first:?}");
        let answer = house.ask("/v1/tokens", ASK);
        // Nobody leads for a moment; and the T3 of the old epoch is given until the loss is seen.
        if answer.status != 201 || (answer.text("tier") == "valid" && answer.epoch() == before.epoch()) {
            continue;
        }
        first.entry(answer.text("tier")).or_insert(answer);
    }
    let (t1, t2, t3) = (&first["temporary"], &first["provisional"], &first["valid"]);
    assert_eq!((t1.epoch(), &t1.json["endpoint"]), (before.epoch(), &Value::Null));
    assert_eq!((t2.epoch(), &t2.json["endpoint"]["name"]), (before.epoch() + 1, &json!("b")));
    assert_eq!((&t2.json["access"], &t2.json["state"]), (&json!(["read", "write"]), &json!("failed_over")));
    assert_eq!(t2.json["expiresIn"], json!(2.0), "a lease");
    assert_eq!((t3.epoch(), &t3.json["endpoint"]["name"]), (t2.epoch(), &json!("b")));
    assert_eq!(t3.json["access"], json!(["read", "write", "queue"]));

    // The T1 moves on: it is told first, and then it is worth what there is now.
    let path = format!("/v1/tokens/{}/refresh", t1.text("tokenId"));
    let moved = house.ask(&path, "");
    assert_eq!((moved.status, moved.problem().as_str()), (409, "epoch-moved"));
    assert_eq!((&moved.json["newEpoch"], &moved.json["endpoint"]["name"]), (&t2.json["epoch"], &json!("b")));
    let accepted = house.ask(&path, &format!(r#"{{"acceptEpoch":{}}}"#, t2.epoch()));
    assert_eq!((accepted.status, accepted.text("tier").as_str()), (200, "valid"), "{accepted:?}");
    house.wait("the failover to be over", |status| status.validated).await;
}

/// HOLDING: the epoch is still the old one, and nobody has a right to write in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_writes_are_held_for_a_switchover_there_is_t1() {
    // A mirror that stands still is seen later than the order, so that writes are held until the deadline.
    let mut house = House::open(|setup, _| {
        setup.store =
            "detect = { probe_interval = \"2s\" }\nswitchover = { hold_deadline = \"1s\" }\n".to_owned();
    })
    .await;
    let before = house.ask("/v1/tokens", ASK);
    let mut writer = connect(&house).await;
    redis::cmd("SET").arg("k").arg(1).exec_async(&mut writer).await.expect("writes");
    has_arrived(&mut writer).await;
    house.servers[1].freeze().expect("it runs");
    redis::cmd("SET").arg("k").arg(2).exec_async(&mut writer).await.expect("writes");
    let client = house.sidecar.client().clone();
    let ordered = tokio::spawn(async move {
        client.switchover(&StoreId::from(STORE), &SwitchoverRequest { to: None, dry_run: false }).await
    });
    let mut held = None;
    until("a hold, or the end of the order", async || {
        let answer = house.ask("/v1/tokens", ASK);
        if answer.json["state"] == "holding" {
            held = Some(answer);
        }
        held.is_some() || ordered.is_finished()
    })
    .await;
    house.servers[1].thaw().expect("it stands still");
    let report = ordered.await.expect("ends").expect("is answered");
    let t1 = held.unwrap_or_else(|| panic!("nothing was held: {report:?}"));
    assert_eq!((t1.text("tier").as_str(), t1.epoch()), ("temporary", before.epoch()), "{t1:?}");
    assert_eq!((&t1.json["access"], &t1.json["endpoint"]), (&json!(["read", "queue"]), &Value::Null));
    house.wait("the end of it", |status| status.ready && status.tier == "valid").await;
    // Whether the mirror came back in time for it or not.
    let path = format!("/v1/tokens/{}/refresh", t1.text("tokenId"));
    let mut after = house.ask(&path, "");
    if report.outcome == SwitchoverOutcome::Done {
        assert_eq!((after.status, &after.json["newEpoch"]), (409, &json!(before.epoch() + 1)), "{after:?}");
        after = house.ask(&path, &format!(r#"{{"acceptEpoch":{}}}"#, after.json["newEpoch"]));
    }
    assert_eq!((after.status, after.text("tier").as_str()), (200, "valid"), "{after:?}");
}

/// Only the one in charge gives rights (PROTOCOL 3.4, rule 1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_follows_gives_no_token() {
    let mut house = House::open(|setup, _| setup.sole_writer = false).await;
    let mut setup = Setup::new(&house.dir.path().join("second"), &house.servers);
    setup.sole_writer = false;
    let mut other =
        Sidecar::start(std::path::Path::new(env!("CARGO_BIN_EXE_foretoken")), &setup).expect("starts");
    let decided = |status: &foretoken_app::client::model::StoreStatus| {
        status.ready && status.authority.role == AuthorityRole::Follower
    };
    other.wait("the second to follow", LONG, decided).await.expect("in time");
    house.wait("the first to lead", |status| status.authority.role == AuthorityRole::Owner).await;
    let socket = house.dir.path().join("second/state/admin.sock");
    for path in ["/v1/tokens", "/v1/tokens/predictive"] {
        let (status, body) = http::ask(&socket, "POST", path, &[], ASK);
        assert!(status == 503 && body.contains("urn:foretoken:not-leader"), "{path}: {status} {body}");
    }
    assert_eq!(house.ask("/v1/tokens", ASK).status, 201);
}
