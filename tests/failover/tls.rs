//! TLS on both sides of the whole program: redis-cli to the sidecar, and the sidecar to redis-server.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use foretoken_demo::servers::free_port;
use foretoken_demo::sidecar::{Setup, Sidecar};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{LONG, program};

const INSTALLED: &str = "redis-cli is there where redis-server is";

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A CA, and a certificate of it for loopback, in `dir`. What stood there before is replaced.
fn certificates(dir: &Path) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
    ca.distinguished_name.push(rcgen::DnType::CommonName, "CA of a test");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("signs");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate =
        rcgen::CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("signs");
    for (name, text) in
        [("ca.pem", ca_certificate.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(dir.join(name), text).expect("is written");
    }
}

/// redis-cli that trusts the CA in `dir`, and shows the certificate there if it is `known`.
fn redis_cli(dir: &Path, known: bool, port: &str, arguments: &[&str]) -> Output {
    cli(dir, known, port).args(arguments).output().expect(INSTALLED)
}

fn cli(dir: &Path, known: bool, port: &str) -> Command {
    let mut cli = Command::new("redis-cli");
    cli.args(["-h", "127.0.0.1", "-p", port, "--tls", "--cacert"]).arg(dir.join("ca.pem"));
    if known {
        cli.arg("--cert").arg(dir.join("cert.pem")).arg("--key").arg(dir.join("key.pem"));
    }
    cli
}

/// What redis-cli hears in RESP3 that says all these lines over one connection.
fn told(dir: &Path, port: &str, lines: &str) -> Output {
    let mut cli = cli(dir, true, port)
        .arg("-3")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(INSTALLED);
    cli.stdin.take().expect("is piped").write_all(lines.as_bytes()).expect("is taken");
    cli.wait_with_output().expect("ends")
}

/// A server with the certificates in `dir`, for clients that show one of their CA.
fn server(dir: &Path, port: u16) -> Server {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let server = Command::new("redis-server")
        .args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string()])
        .args(["--tls-cert-file", &path("cert.pem"), "--tls-key-file", &path("key.pem")])
        .args(["--tls-ca-cert-file", &path("ca.pem"), "--tls-auth-clients", "yes"])
        .args(["--appendonly", "yes", "--dir", &dir.to_string_lossy()])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    Server(server)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The sidecar in front of that server, with the same certificates on both sides.
fn sidecar(dir: &Path, port: u16) -> Sidecar {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (cert, key, ca) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
    let mut setup = Setup::new(dir, &[]);
    setup.endpoints = vec![("a".to_owned(), format!("rediss://127.0.0.1:{port}"), "here".to_owned())];
    setup.store = format!("tls = {{ cert_file = {cert:?}, key_file = {key:?}, client_ca_file = {ca:?} }}\n");
    setup.endpoint = format!("tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?} }}\n");
    Sidecar::start(program(), &setup).expect("starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_and_a_store_that_know_each_other_by_certificates_are_joined() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    let port = free_port().expect("a port");
    let _server = server(dir.path(), port);
    let mut sidecar = sidecar(dir.path(), port);
    sidecar.wait("service", LONG, |status| status.ready).await.expect("serves over TLS");

    let url = sidecar.url();
    let (_, through) = url.rsplit_once(':').expect("a port");
    assert_eq!(said(&redis_cli(dir.path(), true, through, &["SET", "k", "v"])), "OK");
    assert_eq!(said(&redis_cli(dir.path(), true, &port.to_string(), &["GET", "k"])), "v");
    // What is relayed goes on over the encrypted connection that the session has.
    let heard = told(dir.path(), through, "CLIENT ID\nCLIENT TRACKING ON\nCLIENT ID\nGET k\n");
    let lines: Vec<_> = said(&heard).lines().map(str::to_owned).collect();
    assert_eq!(
        (lines.len(), lines[0] == lines[2], &*lines[1], &*lines[3]),
        (4, true, "OK", "v"),
        "{heard:?}"
    );
    // Who shows no certificate gets nothing, and neither does who does not speak TLS.
    let stranger = redis_cli(dir.path(), false, through, &["GET", "k"]);
    assert_ne!(said(&stranger), "v", "{stranger:?}");
    let plain = redis::Client::open(url).expect("a URL").get_multiplexed_async_connection().await;
    assert!(plain.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_cas_that_are_renewed_are_used_without_a_restart() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    let port = free_port().expect("a port");
    let first = server(dir.path(), port);
    let mut sidecar = sidecar(dir.path(), port);
    sidecar.wait("service", LONG, |status| status.ready).await.expect("serves over TLS");
    let old = TempDir::new().expect("a directory");
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(dir.path().join(file), old.path().join(file)).expect("is copied");
    }

    certificates(dir.path());
    drop(first);
    let _second = server(dir.path(), port);
    sidecar.signal(Signal::HUP).expect("a child of ours");
    let url = sidecar.url();
    let (_, through) = url.rsplit_once(':').expect("a port");
    let end = tokio::time::Instant::now() + LONG;
    while said(&redis_cli(dir.path(), true, through, &["SET", "k", "v"])) != "OK" {
        assert!(tokio::time::Instant::now() < end, "both sides have new certificates");
    }
    let stale = redis_cli(old.path(), true, through, &["GET", "k"]);
    assert_ne!(said(&stale), "v", "{stale:?}");
}
