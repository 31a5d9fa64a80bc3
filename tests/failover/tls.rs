//! TLS on both sides of the whole program: redis-cli to the sidecar, and the sidecar to redis-server.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use foretoken_demo::servers::free_port;
use foretoken_demo::sidecar::{Setup, Sidecar};
use tempfile::TempDir;

use crate::support::{LONG, program};

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A CA, and a certificate of it for loopback, in `dir`.
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

fn redis_cli(dir: &Path, port: &str, arguments: &[&str]) -> Output {
    let ca = dir.join("ca.pem");
    Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", port, "--tls", "--cacert"])
        .arg(ca)
        .args(arguments)
        .output()
        .expect("redis-cli is there where redis-server is")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_and_a_store_that_both_want_tls_are_joined() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let port = free_port().expect("a port");
    let server = Command::new("redis-server")
        .args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string()])
        .args(["--tls-cert-file", &path("cert.pem"), "--tls-key-file", &path("key.pem")])
        .args(["--tls-ca-cert-file", &path("ca.pem"), "--tls-auth-clients", "no"])
        .args(["--appendonly", "yes", "--dir", &dir.path().to_string_lossy()])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let _server = Server(server);

    let mut setup = Setup::new(dir.path(), &[]);
    setup.endpoints = vec![("a".to_owned(), format!("rediss://127.0.0.1:{port}"), "here".to_owned())];
    setup.store =
        format!("tls = {{ cert_file = {:?}, key_file = {:?} }}\n", path("cert.pem"), path("key.pem"));
    setup.endpoint = format!("tls = {{ ca_file = {:?} }}\n", path("ca.pem"));
    let mut sidecar = Sidecar::start(program(), &setup).expect("starts");
    sidecar.wait("service", LONG, |status| status.ready).await.expect("serves over TLS");

    let url = sidecar.url();
    let (_, through) = url.rsplit_once(':').expect("a port");
    let set = redis_cli(dir.path(), through, &["SET", "k", "v"]);
    assert_eq!(String::from_utf8_lossy(&set.stdout).trim(), "OK", "{set:?}");
    let direct = redis_cli(dir.path(), &port.to_string(), &["GET", "k"]);
    assert_eq!(String::from_utf8_lossy(&direct.stdout).trim(), "v", "{direct:?}");

    // Who does not speak TLS gets nothing.
    let plain = redis::Client::open(url).expect("a URL").get_multiplexed_async_connection().await;
    assert!(plain.is_err());
}
