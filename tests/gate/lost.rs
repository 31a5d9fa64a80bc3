//! The sidecar is killed, and it stands still.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{House, LONG, until};

/// A token to look at: what is said to it tells whether anybody would be let in.
const ANY: &[u8] = b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$20\r\n12345678901234567890\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_sidecar_is_killed_nobody_is_let_in_until_it_is_back() {
    let mut house = House::start(1).await;
    assert!(house.gates[0].says_to(ANY).starts_with("-WRONGPASS"));
    house.sidecar.kill().expect("it runs");
    house.gates[0].wait(false).await;
    let said = house.gates[0].says_to(ANY);
    assert!(said.starts_with("-MASTERDOWN foretoken gate: nothing was heard of the sidecar"), "{said}");
    assert_eq!(house.inside(0), 0, "nobody is connected to the server");
    house.sidecar.restart().expect("starts");
    house.whole().await;
    assert!(house.gates[0].says_to(ANY).starts_with("-WRONGPASS"), "the new one's word counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_stood_still_is_cut_off_and_has_to_come_with_new_tokens() {
    let mut house = House::start(2).await;
    let client = redis::Client::open(house.sidecar.url()).expect("a URL");
    let mut client = client.get_connection().expect("it serves");
    redis::cmd("SET").arg("k").arg(1).query::<()>(&mut client).expect("it passes");
    assert!(house.inside(0) > 0, "the sidecar's connections reach the server");

    house.sidecar.signal(Signal::STOP).expect("it runs");
    for (number, gate) in house.gates.iter().enumerate() {
        gate.wait(false).await;
        // Its sockets are still open at its end: it is the gate that has cut them.
        until("the end of old connections", async || house.inside(number) == 0, || house.logs()).await;
        assert!(gate.counter("foretoken_gate_cut_total", "silence").await > 0);
    }
    let before = house.gates[0].counter("foretoken_gate_admitted_total", "").await;
    house.sidecar.signal(Signal::CONT).expect("it stands still");
    house.gates[0].wait(true).await;
    house.whole().await;
    client.set_read_timeout(Some(LONG)).expect("a socket");
    let deadline = tokio::time::Instant::now() + LONG;
    // The client's own connection to the sidecar lives on; what was under way may have failed.
    while redis::cmd("INCR").arg("k").query::<u64>(&mut client).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "nothing passes\n{}", house.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
        client = redis::Client::open(house.sidecar.url()).expect("a URL").get_connection().expect("serves");
    }
    assert!(house.gates[0].counter("foretoken_gate_admitted_total", "").await > before, "with new tokens");
}
