//! Over mTLS on every way: sidecar to gate, and gate to the sidecar's API.

use std::path::Path;
use std::time::Duration;

use foretoken_app::client::model::SwitchoverOutcome;
use foretoken_app::client::{Address, StoreId};
use foretoken_demo::servers::{Server, free_port};
use foretoken_demo::sidecar::{STORE, Setup, Sidecar};
use foretoken_token::Fingerprint;
use foretoken_transport::{ClientTls, Connector, Identity};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::certificates;
use crate::support::{Gate, LONG, gated, program};
use crate::tokens::{Stage, frame};

/// `cert_file`, `key_file` and a file of CAs under the name `ca`.
fn table(dir: &Path, name: &str, ca: &str) -> String {
    table_at(&dir.display().to_string(), name, ca)
}

/// The same with paths that count from the directory of the configuration.
fn table_of(name: &str, ca: &str) -> String {
    table_at(".", name, ca)
}

fn table_at(dir: &str, name: &str, ca: &str) -> String {
    let path = |file: String| format!("{dir}/{file}");
    format!(
        "cert_file = {:?}\nkey_file = {:?}\n{ca} = {:?}\n",
        path(format!("{name}.pem")),
        path(format!("{name}.key")),
        path("ca.pem".to_owned())
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mtls_a_switchover_passes_and_a_stranger_does_not() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path(), &["sidecar", "gate", "stranger"]);
    let servers: Vec<Server> =
        ["a", "b"].map(|name| Server::start(dir.path(), name, "here").expect("redis-server")).into();
    let admin = free_port().expect("a port");
    let more = format!(
        "[sidecar.tls]\n{}[tls]\n{}",
        table(dir.path(), "gate", "ca_file"),
        table(dir.path(), "gate", "client_ca_file")
    );
    let gate = |server: &Server| {
        Gate::start_with(dir.path(), &server.name, &server.url(), &format!("127.0.0.1:{admin}"), &more)
    };
    let gates: Vec<Gate> = servers.iter().map(gate).collect();
    let mut setup = Setup::new(dir.path(), &servers);
    setup.process = format!(
        "[admin]\nlisten = \"127.0.0.1:{admin}\"\n[admin.tls]\n{}",
        table(dir.path(), "sidecar", "client_ca_file")
    );
    for (endpoint, gate) in setup.endpoints.iter_mut().zip(&gates) {
        endpoint.1 = format!("rediss://{}", gate.address);
    }
    let tls = format!("[store.endpoint.tls]\n{}", table(dir.path(), "sidecar", "ca_file"));
    setup.of_endpoint = gated(&servers, &tls);
    let mut sidecar = Sidecar::start(program(), &setup).expect("starts");
    if let Err(error) = sidecar.wait_whole(LONG).await {
        panic!("{error}\n{}", std::fs::read_to_string(sidecar.log()).unwrap_or_default());
    }

    let client = redis::Client::open(sidecar.url()).expect("a URL");
    let mut client = client.get_connection().expect("it serves");
    redis::cmd("SET").arg("k").arg(1).query::<()>(&mut client).expect("it passes");
    let request = foretoken_app::client::model::SwitchoverRequest { to: None, dry_run: false };
    let report = sidecar.client().switchover(&StoreId::from(STORE), &request).await.expect("is answered");
    assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
    let value: u64 = redis::cmd("INCR").arg("k").query(&mut client).expect("it passes the other gate");
    assert_eq!(value, 2);

    // A certificate of the same CA opens the connection, and no token comes with it.
    let [cert, key, ca] = ["stranger.pem", "stranger.key", "ca.pem"].map(|name| dir.path().join(name));
    let identity = Identity { cert_file: &cert, key_file: &key };
    let address: Address = gates[1].address.to_string().parse().expect("an address");
    let says_to = async |identity: Option<Identity<'_>>| {
        let tls = ClientTls::load(Some(&ca), identity, None).expect("files of ours");
        let connector = Connector { tls: Some(tls), ..Connector::plain(address.clone(), LONG) };
        let mut stream = connector.connect().await.ok()?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.ok()?;
        stream.flush().await.ok()?;
        let mut said = String::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut said)).await.ok()?.ok()?;
        Some(said)
    };
    let said = says_to(Some(identity)).await.expect("is answered");
    assert!(said.starts_with("-NOAUTH foretoken gate"), "{said}");
    assert_eq!(says_to(None).await, None, "without a certificate there is not even an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mtls_a_token_is_good_for_its_holder_and_for_one_connection() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path(), &["gate", "holder", "stranger"]);
    let stage = Stage::in_dir(dir, &format!("[tls]\n{}", table_of("gate", "client_ca_file"))).await;
    let path = |name: &str| stage.dir.path().join(name);
    let (ca, address) =
        (path("ca.pem"), stage.gate.address.to_string().parse::<Address>().expect("an address"));
    let present = async |name: &str, token: &[u8]| {
        let (cert, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        let tls = ClientTls::load(Some(&ca), Some(Identity { cert_file: &cert, key_file: &key }), None);
        let tls = Some(tls.expect("files of ours"));
        let connector = Connector { tls, ..Connector::plain(address.clone(), LONG) };
        let mut stream = connector.connect().await.expect("a certificate of the CA");
        stream.write_all(&frame(token)).await.expect("it reads");
        stream.flush().await.expect("it reads");
        let mut said = vec![0; 5];
        stream.read_exact(&mut said).await.expect("it answers");
        if said != b"+OK\r\n" {
            stream.read_to_end(&mut said).await.ok();
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    let (cert, key) = (path("holder.pem"), path("holder.key"));
    let holder = Identity { cert_file: &cert, key_file: &key }.certificate().expect("a file of ours");
    let token = stage.sealed(|claims| claims.holder = Some(Fingerprint::of(&holder)));
    let stolen = present("stranger", &token).await;
    assert!(stolen.starts_with("-WRONGPASS") && stolen.contains("bound to another certificate"), "{stolen}");
    assert_eq!(present("holder", &token).await, "+OK\r\n");
    let again = present("holder", &token).await;
    assert!(again.starts_with("-WRONGPASS") && again.contains("it was presented before"), "{again}");
    assert_eq!(stage.gate.counter("foretoken_gate_refused_total", "replayed").await, 1);
}
