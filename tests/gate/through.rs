//! The sidecar and its clients notice nothing of gates: switchovers and a crash under load.

use std::net::TcpListener;
use std::time::Duration;

use foretoken_app::client::model::SwitchoverOutcome;
use foretoken_demo::checker::check;
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{Setup, Sidecar};
use foretoken_demo::workload::{Load, Mix, Workload, contents};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{Gate, House, LONG, gated, program};

fn clients(house: &House) -> Workload {
    let load = Load {
        url: house.sidecar.url(),
        first: 0,
        clients: 8,
        prefix: "test".to_owned(),
        seed: 1,
        epoch: Instant::now(),
        mix: Mix::All,
        pause: Duration::ZERO,
    };
    Workload::start(load).expect("a URL")
}

async fn work(clients: &Workload, house: &House) {
    assert!(clients.advances(1000, LONG).await, "clients have nothing done any more\n{}", house.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switchovers_through_gates_fail_nothing_and_lose_nothing() {
    let mut house = House::start(2).await;
    let clients = clients(&house);
    for epoch in 2..=4 {
        work(&clients, &house).await;
        house.whole().await;
        let report = house.switch().await;
        assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}\n{}", house.logs());
        assert_eq!(report.epoch.0, epoch);
    }
    work(&clients, &house).await;
    for gate in &house.gates {
        assert!(gate.counter("foretoken_gate_admitted_total", "").await > 0);
        assert!(gate.counter("foretoken_gate_cut_total", "epoch_moved").await > 0, "old connections are cut");
    }
    let load = clients.load().clone();
    let history = clients.finish().await;
    let contents = contents(&house.sidecar.url(), &load).await.expect("can be read");
    let findings = check(&history, &contents, None);
    assert!(findings.done > 3000 && findings.is_flawless(), "{findings:?}\n{}", house.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_behind_its_gate_is_seen_to_be_dead_and_replaced() {
    let mut house = House::start(2).await;
    let clients = clients(&house);
    work(&clients, &house).await;
    house.servers[0].kill().expect("it runs");
    house
        .wait("another primary", |status| {
            status.ready && status.primary.as_ref().is_some_and(|primary| primary.as_str() == "b")
        })
        .await;
    work(&clients, &house).await;
    house.servers[0].restart().expect("starts again");
    house.whole().await;
}

#[tokio::test]
async fn what_a_sidecar_says_first_is_its_token_and_nobody_else_can_use_it() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path(), "a", "here").expect("redis-server is installed");
    // Instead of a gate: somebody who listens to what is said, and to nothing else.
    let ear = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = ear.local_addr().expect("bound");
    let mut setup = Setup::new(dir.path(), std::slice::from_ref(&server));
    setup.endpoints[0].1 = format!("redis://{address}");
    setup.of_endpoint = gated(std::slice::from_ref(&server), "");
    let _sidecar = Sidecar::start(program(), &setup).expect("starts");
    let overheard = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let (mut stream, _) = ear.accept().expect("the sidecar connects");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        let mut bytes = vec![0; 4096];
        let mut read = 0;
        while read < 150 {
            let more = stream.read(&mut bytes[read..]).expect("it says something");
            assert!(more > 0, "it hung up after {read} bytes");
            read += more;
        }
        bytes.truncate(read);
        bytes
    })
    .await
    .expect("ends");
    let head = b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$";
    assert!(overheard.starts_with(head), "{}", String::from_utf8_lossy(&overheard));
    assert!(
        overheard.ends_with(b"\r\n") && overheard.len() < 400,
        "one frame, and nothing before the answer"
    );

    // The real gate, in front of the real server.
    let api = format!("unix:{}", dir.path().join("state/admin.sock").display());
    let gate = Gate::start(dir.path(), "a", server.port(), &api);
    gate.wait(true).await;
    let said = gate.says_to(&overheard);
    assert!(
        said.starts_with("-WRONGPASS foretoken gate: bound to another certificate or connection"),
        "{said}"
    );
    assert_eq!(gate.counter("foretoken_gate_refused_total", "other_holder").await, 1);
    tokio::time::timeout(Duration::from_secs(5), gate.wait(true)).await.expect("it goes on");
}
