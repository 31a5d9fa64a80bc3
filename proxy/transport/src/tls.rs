//! TLS on both sides: which certificates are trusted, which one is shown.
//!
//! Both values are cheap to clone. Files that have changed are read again for the next connection to a server; a listener is
//! handed a new value. Connections that are open keep what they agreed on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use foretoken_types::Address;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Error, FileFault};

/// Where systems keep the certificates of public CAs, the most common first: Debian and Alpine, Fedora, SUSE.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The certificate that one side shows, and the key that proves it.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// PEM: our certificate first, then those between it and the CA.
    pub cert_file: &'a Path,
    /// PEM: the private key, not encrypted (PKCS #8, PKCS #1 or SEC 1).
    pub key_file: &'a Path,
}

impl Identity<'_> {
    /// The certificate itself, in DER: what its peers see of us.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn certificate(&self) -> Result<Vec<u8>, Error> {
        // `certificates` gives one at least.
        Ok(certificates(self.cert_file)?.swap_remove(0).as_ref().to_vec())
    }
}

/// Which certificates are asked of clients.
#[derive(Clone, Copy, Debug)]
pub enum Clients<'a> {
    /// None.
    Anonymous,
    /// Who shows one must show one that a CA in this file signed; who shows none is served without.
    Invited(&'a Path),
    /// Everybody must show one that a CA in this file signed (mTLS); who shows none is closed in the handshake.
    Known(&'a Path),
}

/// TLS towards a server.
#[derive(Clone)]
pub struct ClientTls {
    files: Arc<Files>,
    current: Arc<Mutex<Current>>,
    server_name: Option<ServerName<'static>>,
}

/// Where certificates come from.
struct Files {
    ca: Option<PathBuf>,
    /// Ours, and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

/// What the files said when they were read last.
struct Current {
    connector: TlsConnector,
    /// Our certificate, in DER.
    own: Option<Vec<u8>>,
    stamps: Vec<Stamp>,
}

/// Whether a file is the one that was read: when it was written and how long it is. `None`: there is none.
type Stamp = Option<(SystemTime, u64)>;

/// TLS towards clients.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
}

impl ClientTls {
    /// Reads the files. Servers must show a certificate that a CA in `ca_file` signed, or one of the system's CAs if
    /// there is none, for the name `server_name`, or the host of the address if there is none. With `identity`, servers
    /// that ask for a certificate get it (mTLS).
    ///
    /// Blocks for the time of reading the files, as a connection does that finds them changed. Files that are no good then are
    /// told in the log, and what was read before stays in use.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::ServerName`].
    pub fn load(
        ca_file: Option<&Path>,
        identity: Option<Identity<'_>>,
        server_name: Option<String>,
    ) -> Result<Self, Error> {
        let server_name = server_name.map(parse_name).transpose()?;
        let files = Files {
            ca: ca_file.map(Path::to_owned),
            identity: identity.map(|identity| (identity.cert_file.to_owned(), identity.key_file.to_owned())),
        };
        let stamps = files.stamps();
        let (connector, own) = files.read()?;
        let current = Current { connector, own, stamps };
        Ok(Self { files: Arc::new(files), current: Arc::new(Mutex::new(current)), server_name })
    }

    /// The name that the certificate of the server at `address` must be for.
    pub(crate) fn name_at(&self, address: &Address) -> Result<ServerName<'static>, Error> {
        match (&self.server_name, address) {
            (Some(name), _) => Ok(name.clone()),
            (None, Address::Tcp { host, .. }) => parse_name(host.to_string()),
            // A path is no name; the configuration has to give one.
            (None, Address::Unix(_)) => Err(Error::ServerName { name: address.to_string() }),
        }
    }

    /// By what the files say now.
    pub(crate) fn connector(&self) -> TlsConnector {
        let stamps = self.files.stamps();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.stamps != stamps {
            match self.files.read() {
                Ok((connector, own)) => {
                    (current.connector, current.own) = (connector, own);
                    tracing::info!(ca = ?self.files.ca, "certificates for a server were read again");
                }
                Err(error) => {
                    tracing::error!(error = %error, "the certificates read before stay in use");
                }
            }
            current.stamps = stamps;
        }
        current.connector.clone()
    }

    /// The certificate that is shown to servers that ask for one, in DER: what was read last.
    #[must_use]
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).own.clone()
    }
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        let stamp = |file: &PathBuf| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.ca.iter().chain(identity).map(stamp).collect()
    }

    /// How to connect by them, and our certificate.
    fn read(&self) -> Result<(TlsConnector, Option<Vec<u8>>), Error> {
        let ca_file = self.ca.as_deref();
        let identity = self.identity.as_ref();
        let identity = identity.map(|(cert_file, key_file)| Identity { cert_file, key_file });
        let roots = match ca_file {
            Some(file) => roots(file)?,
            None => system_roots()?,
        };
        // It only fails for want of a CA, and then names the file like everything else here.
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(
                |_| file_error(ca_file.unwrap_or(Path::new(SYSTEM_ROOTS[0])), FileFault::NoCertificate),
            )?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3")
            .with_webpki_verifier(verifier);
        let mut own = None;
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                own = chain.first().map(|certificate| certificate.as_ref().to_vec());
                config.with_client_auth_cert(chain, key).map_err(|e| identity.unusable(e))?
            }
        };
        Ok((Arc::new(config).into(), own))
    }
}

impl ServerTls {
    /// Reads the files. With `client_ca_file`, clients must show a certificate that a CA in it signed (mTLS); a client
    /// without one is closed in the handshake.
    ///
    /// Blocks for the time of reading the files.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn load(cert_file: &Path, key_file: &Path, client_ca_file: Option<&Path>) -> Result<Self, Error> {
        let clients = client_ca_file.map_or(Clients::Anonymous, Clients::Known);
        Self::load_for(Identity { cert_file, key_file }, clients)
    }

    /// The same, with a choice of how clients are looked at.
    ///
    /// Blocks for the time of reading the files.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn load_for(identity: Identity<'_>, clients: Clients<'_>) -> Result<Self, Error> {
        let (chain, key) = identity.read()?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3");
        let (file, invited) = match clients {
            Clients::Anonymous => (None, false),
            Clients::Invited(file) => (Some(file), true),
            Clients::Known(file) => (Some(file), false),
        };
        let config = match file {
            None => config.with_no_client_auth(),
            Some(file) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(file)?), provider());
                let verifier = if invited { verifier.allow_unauthenticated() } else { verifier };
                let verifier = verifier.build().map_err(|_| file_error(file, FileFault::NoCertificate))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let config = config.with_single_cert(chain, key).map_err(|e| identity.unusable(e))?;
        Ok(Self { acceptor: Arc::new(config).into() })
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl Identity<'_> {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let chain = certificates(self.cert_file)?;
        let text = read(self.key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|e| {
            let encrypted = text.windows(9).any(|w| w == b"ENCRYPTED");
            let fault = match e {
                pem::Error::NoItemsFound if encrypted => FileFault::EncryptedKey,
                pem::Error::NoItemsFound => FileFault::NoKey,
                _ if encrypted => FileFault::EncryptedKey,
                other => FileFault::Malformed(other),
            };
            file_error(self.key_file, fault)
        })?;
        Ok((chain, key))
    }

    /// Which of the two files is to blame.
    fn unusable(&self, error: rustls::Error) -> Error {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                file_error(self.cert_file, FileFault::OtherKey { key_file: self.key_file.to_owned() })
            }
            rustls::Error::InvalidCertificate(_) => {
                file_error(self.cert_file, FileFault::UnusableCertificate(error))
            }
            other => file_error(self.key_file, FileFault::UnusableKey(other)),
        }
    }
}

/// Said here and not left to the process: a library that also installs a provider can't change ours.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn parse_name(name: String) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.clone()).map_err(|_| Error::ServerName { name })
}

/// A file that an operator named: every certificate in it must be usable.
fn roots(file: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| file_error(file, FileFault::UnusableCertificate(e)))?;
    }
    Ok(roots)
}

/// The system's file: some bundles hold old certificates that can't be parsed, which is nobody's mistake here.
fn system_roots() -> Result<RootCertStore, Error> {
    let file = SYSTEM_ROOTS.map(Path::new).into_iter().find(|file| file.exists());
    let file = file.ok_or_else(|| file_error(Path::new(SYSTEM_ROOTS[0]), FileFault::NoSystemRoots))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(file)?);
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|e| file_error(file, FileFault::Malformed(e)))?;
    if found.is_empty() { Err(file_error(file, FileFault::NoCertificate)) } else { Ok(found) }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|e| file_error(file, FileFault::Unreadable(e)))
}

fn file_error(file: &Path, source: FileFault) -> Error {
    Error::File { file: PathBuf::from(file), source }
}

#[cfg(test)]
mod tests;
