//! `foretoken check` against real redis-servers: what it finds, and that it leaves nothing behind.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use foretoken_app::check::{Answer, Declared, Named, StoreCheck, Subject, check_store};
use foretoken_protocol::Dial;
use foretoken_protocol_redis::{ControlParams, RedisControl};
use foretoken_transport::Connector;
use foretoken_types::{Address, Writers};
use tokio::net::TcpSocket;
use tokio::time::Instant;

/// How long a server may take for what it has to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server that ends with its owner.
struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        // The free port may be taken before the server has it: then it ends, and another port is tried.
        (0..10).find_map(|_| Self::try_start(options)).expect("redis-server is installed and starts")
    }

    fn try_start(options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(dir.path())
            .args(["--repl-diskless-sync-delay", "0", "--unixsocket"])
            .arg(dir.path().join("redis.sock"))
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, port, dir };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && server.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Opened after the port, and by nobody else: behind the port could be the server of another test.
            if UnixStream::connect(server.dir.path().join("redis.sock")).is_ok() {
                return Some(server);
            }
            std::thread::yield_now();
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end and nothing to do about it.
        self.child.kill().and_then(|()| self.child.wait().map(drop)).unwrap_or_default();
    }
}

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
