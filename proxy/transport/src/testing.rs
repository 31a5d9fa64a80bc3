//! Certificates made for one test, and a listener with a connector to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use foretoken_types::Address;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{Accepted, ClientTls, Connector, Error, Identity, Listener, ServerTls, Stream};

/// Ample for loopback on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A CA of its own in a directory of its own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) dir: TempDir,
    pub(crate) ca: PathBuf,
}

/// Files of one certificate and its key.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity { cert_file: &self.cert, key_file: &self.key }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("the CA")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, issuer.pem()).unwrap();
        Self { issuer, dir, ca }
    }

    /// A certificate for `name`, valid now.
    pub(crate) fn issue(&self, name: &str) -> Files {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let at = |kind: &str| self.dir.path().join(format!("{name}.{kind}.pem"));
        let files = Files { cert: at("cert"), key: at("key") };
        std::fs::write(&files.cert, cert.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    pub(crate) fn server(&self, name: &str, client_ca: Option<&Path>) -> ServerTls {
        let files = self.issue(name);
        ServerTls::load(&files.cert, &files.key, client_ca).unwrap()
    }

    /// A client that trusts this CA.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::load(Some(&self.ca), None, None).unwrap()
    }
}

/// A listener on a free port of `127.0.0.1`, and its address.
pub(crate) async fn listen() -> (Listener, Address) {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), 0o600).await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

/// One connection: what the client's side and the server's side made of it.
pub(crate) async fn meet(
    client: Option<ClientTls>,
    server: Option<&ServerTls>,
) -> (Result<Stream, Error>, Result<Stream, Error>) {
    let (listener, address) = listen().await;
    let connector = Connector { address, limit: LIMIT, tls: client, greeting: None };
    let accept = async {
        let accepted: Accepted = listener.accept().await?;
        accepted.open(server, LIMIT).await
    };
    tokio::join!(connector.connect(), accept)
}

/// The error and all its causes in one line, as an operator reads it.
pub(crate) fn story(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        line.push_str(": ");
        line.push_str(&e.to_string());
        cause = e.source();
    }
    line
}
