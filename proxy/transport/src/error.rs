//! What goes wrong with sockets and certificates.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::Address;
use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use rustls_pki_types::pem;

use crate::{Peer, Unwelcome};

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Binding or listening failed.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A client could not be accepted; the listener goes on.
    #[error("accept a client")]
    Accept(#[source] io::Error),
    /// Nobody accepted, or the name has no address.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long to connect, or to resolve the name.
    #[error("connect to {address} took longer than {limit:?}")]
    Timeout {
        /// Where to.
        address: Address,
        /// The limit.
        limit: Duration,
    },
    /// The peer is connected and did not finish the TLS handshake in time.
    #[error("TLS handshake with {peer} took longer than {limit:?}: it may not speak TLS there")]
    HandshakeTimeout {
        /// Who.
        peer: Peer,
        /// The limit.
        limit: Duration,
    },
    /// One side refused the other in the TLS handshake.
    #[error("TLS handshake with {peer}{}", hint(source))]
    Handshake {
        /// Who.
        peer: Peer,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The greeting was not answered with a welcome.
    #[error("{address} lets nobody in")]
    Unwelcome {
        /// Where to.
        address: Address,
        /// Why.
        #[source]
        source: Unwelcome,
    },
    /// The peer is connected and did not answer the greeting in time.
    #[error("{address} did not answer the greeting within {limit:?}")]
    GreetingTimeout {
        /// Where to.
        address: Address,
        /// The limit.
        limit: Duration,
    },
    /// A client began in plain text on a listener that speaks TLS; its connection is closed.
    #[error(
        "client {peer} speaks plain text on a TLS listener: switch TLS on in the client, or use a listener without"
    )]
    Plaintext {
        /// Who.
        peer: Peer,
    },
    /// The name that the server's certificate is checked against can't be in a certificate.
    #[error(
        "\"{name}\" can't be the name in a certificate: set server_name to the host name or IP address that the server's certificate is for"
    )]
    ServerName {
        /// The name.
        name: String,
    },
    /// A certificate or key file can't be used.
    #[error("{}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: FileFault,
    },
    /// A socket could not be set up after it was connected.
    #[error("set up the socket")]
    Socket(#[source] io::Error),
}

/// What is wrong with a certificate or key file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It can't be opened or read.
    #[error("can't be read: check the path, and that the user this process runs as may read it")]
    Unreadable(#[source] io::Error),
    /// None of the places where systems keep the certificates of public CAs has a file.
    #[error("the system has no CA certificates: install the package ca-certificates, or set ca_file")]
    NoSystemRoots,
    /// It has text between PEM marks that is not PEM.
    #[error("is not valid PEM: export it again, for example with `openssl x509` or `openssl pkey`")]
    Malformed(#[source] pem::Error),
    /// It has no certificate in it.
    #[error("holds no certificate: it needs at least one block that starts with BEGIN CERTIFICATE")]
    NoCertificate,
    /// It has no private key in it.
    #[error("holds no private key: it needs a block that starts with BEGIN PRIVATE KEY")]
    NoKey,
    /// Its private key is encrypted.
    #[error(
        "holds an encrypted private key: decrypt it with `openssl pkey -in FILE -out PLAIN` and protect PLAIN by its file permissions"
    )]
    EncryptedKey,
    /// Its private key is of a kind that is not supported.
    #[error(
        "holds a private key that can't be used: use RSA with at least 2048 bits, ECDSA P-256 or P-384, or Ed25519"
    )]
    UnusableKey(#[source] rustls::Error),
    /// Its certificate is damaged, or not one that can be used here.
    #[error(
        "holds a certificate that can't be used: it needs X.509 version 3; check it with `openssl x509 -text`"
    )]
    UnusableCertificate(#[source] rustls::Error),
    /// Its certificate is for another private key.
    #[error("the certificate is not for the private key in {}: the two files must be made together", key_file.display())]
    OtherKey {
        /// The key's file.
        key_file: PathBuf,
    },
}

impl Error {
    /// Whether a fresh connection was refused: nobody listens there, at any of the name's addresses.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Connect { source, .. } => refused(source),
            Self::Unwelcome { source: Unwelcome::NobodyBehind, .. } => true,
            _ => false,
        }
    }

    /// Whether a time limit ended it, so that nothing is known of the peer.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::HandshakeTimeout { .. } | Self::GreetingTimeout { .. } => true,
            Self::Connect { source, .. } | Self::Handshake { source, .. } => {
                source.kind() == io::ErrorKind::TimedOut
            }
            _ => false,
        }
    }

    /// Whether too many files are open, in this process or on this machine, so that nothing is known of the peer.
    #[must_use]
    pub fn is_open_files(&self) -> bool {
        match self {
            Self::Accept(source) | Self::Connect { source, .. } | Self::Socket(source) => {
                is_open_files(source)
            }
            _ => false,
        }
    }

    /// The error with its causes, in one line.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Whether `error` says that this process, or this machine, has too many files open.
#[must_use]
pub fn is_open_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Whether `error` says that nobody listens.
pub(crate) fn refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::NotFound
    )
}

/// Whether the peer sent something that is not TLS.
pub(crate) fn not_tls(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What an operator does about a failed handshake, where that is known.
fn hint(error: &io::Error) -> &'static str {
    use rustls::Error as Tls;
    if not_tls(error) {
        return ": it does not speak TLS there";
    }
    match tls_error(error) {
        Some(Tls::NoCertificatesPresented) => ": it has no certificate, and one is required of clients here",
        Some(Tls::InvalidCertificate(why)) => match why {
            // A CA that was made anew under its old name is found, and its signatures don't fit.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ": its certificate is not signed by a CA that is trusted here; set the CA file to the one that signed it"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ": its certificate is for another name; set server_name to a name that is in it"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ": its certificate has expired; renew it"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ": its certificate is not valid yet; compare the clocks of both machines"
            }
            _ => ": its certificate is not acceptable",
        },
        Some(Tls::AlertReceived(alert)) => match alert {
            AlertDescription::CertificateRequired => ": it wants a certificate from us; set one with its key",
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                ": it does not trust the CA of our certificate"
            }
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                ": it does not accept our certificate"
            }
            AlertDescription::CertificateExpired => ": it says that our certificate has expired",
            _ => "",
        },
        _ if error.kind() == io::ErrorKind::UnexpectedEof => ": it hung up; it may not speak TLS there",
        _ => "",
    }
}
