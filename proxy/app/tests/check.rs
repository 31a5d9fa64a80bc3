//! `foretoken check` against real redis-servers: what it finds, and that it leaves nothing behind.

mod support;

use std::time::Duration;

use foretoken_app::check::{Answer, Declared, Named, StoreCheck, Subject, check_store};
use foretoken_protocol::Dial;
use foretoken_protocol_redis::{ControlParams, RedisControl};
use foretoken_transport::Connector;
use foretoken_types::{Address, Writers};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use support::{PATIENCE, Server};

async fn check(servers: &[(&str, u16)]) -> StoreCheck {
    let dial =
        |&(name, port): &(&str, u16)| Dial { endpoint: name.into(), host: "127.0.0.1".to_owned(), port };
    let endpoints: Vec<Dial> = servers.iter().map(dial).collect();
    let subject = |&(name, port): &(&str, u16)| {
        let address = Address::Tcp { host: "127.0.0.1".into(), port };
        Subject {
            endpoint: Named { name: name.into(), address: address.to_string(), region: None },
            control: Box::new(RedisControl::new(ControlParams {
                store: "cart".into(),
                connector: Connector::plain(address, Duration::from_secs(1)),
                credentials: None,
                timeout: Duration::from_secs(2),
                endpoints: endpoints.clone(),
                this: name.into(),
            })),
        }
    };
    let declared = Declared { store: "cart".into(), writers: Writers::ThisSidecar, follows: false };
    check_store(declared, servers.iter().map(subject).collect()).await
}

#[tokio::test]
async fn a_pair_with_a_log_can_be_managed() {
    let a = Server::start(&["--appendonly", "yes"]);
    let of = format!("127.0.0.1 {}", a.port);
    let b = Server::start(&["--appendonly", "yes", "--replicaof", &of]);
    let servers = [("a", a.port), ("b", b.port)];
    let deadline = Instant::now() + PATIENCE;
    let seen = loop {
        let seen = check(&servers).await;
        if seen.promises.first().is_some_and(|promise| promise.answer == Answer::Yes) {
            break seen;
        }
        assert!(Instant::now() < deadline, "{seen}");
    };
    assert!(seen.is_manageable(), "{seen}");
    assert_eq!(seen.primary, Some("a".into()));
    assert!(
        seen.promises.iter().any(|p| p.what == "automatic failover" && p.answer == Answer::Yes),
        "{seen}"
    );
    let position = |seen: &StoreCheck| seen.looks[0].found.as_ref().unwrap().observation.position;
    // It may have moved by the primary's own pings, which are 14 bytes and come every 10 s.
    assert!(position(&check(&servers).await).0 - position(&seen).0 <= 28, "a check wrote something");
}

#[tokio::test]
async fn a_primary_that_keeps_nothing_and_a_mirror_that_is_away_are_told() {
    let a = Server::start(&["--save", "", "--appendonly", "no"]);
    // Bound and not listening: connections are refused, and no other test can get the port.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = held.local_addr().unwrap().port();
    let seen = check(&[("a", a.port), ("b", nobody)]).await;
    assert!(!seen.is_manageable());
    assert_eq!(seen.primary, Some("a".into()));
    let text = seen.to_string();
    assert!(text.contains("    BLOCK persistence"), "{text}");
    assert!(text.contains("    FAIL  connect") && text.contains("nobody listens there"), "{text}");
    assert!(text.contains("    no    planned switchover       no mirror could take over now"), "{text}");
}
