//! Who is who, and who may read and who may change.
//!
//! | who | is known by | may |
//! | --- | --- | --- |
//! | operator | the user of the sidecar or root at the Unix socket; the admin secret; a certificate of an operator; loopback, if the listener is open | change things; ask for the tokens of any service |
//! | service | its secret, its certificate, its user at the Unix socket | ask for its own tokens; read |
//! | reader | any other certificate of the clients' CA; loopback without anything | read |
//!
//! Where the configuration names neither services nor operators, every certificate of the clients' CA is an operator's.
//! Health is free for everybody, and the sidecar is ended by operators on this machine only.
//!
//! A web page in a browser on this machine is a loopback caller too. So a change that carries an `Origin` is refused, and
//! so is reading under a host name that somebody made point here (DNS rebinding): neither comes from a tool.

mod doors;
mod extract;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use foretoken_token::Fingerprint;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::doors::{Doors, ServiceDoor};
pub(crate) use self::extract::{Asks, MayChange, MayExit, MayRead, Reads};
use crate::model::Problem;
use crate::problem::Kind;
use crate::secret::Secret;
use crate::tokens::Asker;

/// One refusal in this time is a line for the operator; the others are for who debugs.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Over the Unix socket; the user at the other end, if the kernel said so.
    Unix { uid: Option<u32> },
    /// Over TCP from this machine.
    Loopback,
    /// Over TCP from elsewhere.
    Remote,
    /// Over TLS, with a certificate that the clients' CA signed.
    Known {
        /// The certificate: what tokens that a service asks for with it are bound to.
        holder: Fingerprint,
        /// Whether from this machine.
        loopback: bool,
    },
}

impl Caller {
    /// The caller at a TCP address, with the certificate that it has shown.
    pub(crate) fn at(address: IpAddr, holder: Option<Fingerprint>) -> Self {
        let loopback = address.to_canonical().is_loopback();
        match holder {
            Some(holder) => Self::Known { holder, loopback },
            None if loopback => Self::Loopback,
            None => Self::Remote,
        }
    }

    fn certificate(self) -> Option<Fingerprint> {
        match self {
            Self::Known { holder, .. } => Some(holder),
            Self::Unix { .. } | Self::Loopback | Self::Remote => None,
        }
    }
}

/// The rules of this listener.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) secret: Option<Secret>,
    /// Whether loopback may change things without the secret.
    pub(crate) open: bool,
    /// The user that we run as.
    pub(crate) uid: u32,
    /// Who else is known.
    pub(crate) doors: watch::Receiver<Arc<Doors>>,
    pub(crate) told: Told,
}

/// When a refusal was last a line for the operator.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Option<Instant>>);

impl Told {
    /// Whether the next one is: a crowd at the door must not fill the disk.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}

impl Gate {
    /// Whether `caller` may change things.
    pub(crate) fn change(&self, caller: Caller, headers: &HeaderMap) -> Result<(), Problem> {
        no_web_page(caller, headers)?;
        match self.recognise(caller, headers)? {
            Asker::Operator => Ok(()),
            Asker::Service { name, .. } => Err(Kind::Forbidden
                .because(format!("service {name} gets its own tokens; changing things is for operators"))),
            Asker::Reader => Err(unranked(caller)),
        }
    }

    /// Whether `caller` may end this sidecar: as for a change, and from this machine (or pod) only, because who asks from
    /// elsewhere, with the secret or not, is none of the applications that it serves.
    pub(crate) fn exit(&self, caller: Caller, headers: &HeaderMap) -> Result<(), Problem> {
        match caller {
            Caller::Remote | Caller::Known { loopback: false, .. } => Err(Kind::Forbidden.because(
                "only a caller on this machine may end the sidecar: use loopback or the Unix socket",
            )),
            Caller::Unix { .. } | Caller::Loopback | Caller::Known { .. } => self.change(caller, headers),
        }
    }

    /// Who asks for tokens.
    pub(crate) fn asker(&self, caller: Caller, headers: &HeaderMap) -> Result<Asker, Problem> {
        no_web_page(caller, headers)?;
        match self.recognise(caller, headers)? {
            Asker::Reader => Err(unranked(caller)),
            asker => Ok(asker),
        }
    }

    /// Who asks to read: whoever is known, and loopback without being asked.
    pub(crate) fn reader(&self, caller: Caller, headers: &HeaderMap) -> Result<Asker, Problem> {
        match self.recognise(caller, headers) {
            Ok(asker) => Ok(asker),
            // What is presented on purpose and is worth nothing is told, and not passed over.
            Err(problem) if caller != Caller::Loopback || presented(headers).is_some() => Err(problem),
            Err(_) if is_local_name(headers) => Ok(Asker::Reader),
            Err(_) => {
                Err(Kind::Unauthorized.because("ask 127.0.0.1, [::1] or localhost, or send the secret"))
            }
        }
    }

    /// Who it is. What is presented on purpose counts before what the connection shows by itself.
    fn recognise(&self, caller: Caller, headers: &HeaderMap) -> Result<Asker, Problem> {
        let doors = Arc::clone(&self.doors.borrow());
        let service = |door: &ServiceDoor| Asker::Service {
            name: door.name.clone(),
            certificate: caller.certificate(),
        };
        if let Some(presented) = presented(headers) {
            let matches =
                |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
            return match doors.service(|door| matches(&door.secret)) {
                Some(door) => Ok(service(door)),
                None if matches(&self.secret) => Ok(Asker::Operator),
                None => Err(Kind::Unauthorized
                    .because("the secret is neither a service's nor the one of this sidecar")),
            };
        }
        match caller {
            Caller::Unix { uid: Some(uid) } if uid == 0 || uid == self.uid => Ok(Asker::Operator),
            Caller::Unix { uid: Some(uid) } => {
                doors.service(|door| door.uid == Some(uid)).map(service).ok_or_else(|| {
                    Kind::Unauthorized.because(format!(
                        "user {uid} is neither the operator (user {}, or root) nor a service (service.uid)",
                        self.uid
                    ))
                })
            }
            Caller::Unix { uid: None } => {
                Err(Kind::Unauthorized.because("the kernel did not say which user asks"))
            }
            Caller::Known { holder, .. } if doors.is_empty() || doors.operators.contains(&holder) => {
                Ok(Asker::Operator)
            }
            Caller::Known { holder, .. } => {
                let own = doors.service(|door| door.certificate == Some(holder));
                Ok(own.map_or(Asker::Reader, service))
            }
            Caller::Loopback if self.open && is_local_name(headers) => Ok(Asker::Operator),
            Caller::Loopback | Caller::Remote => Err(Kind::Unauthorized.because(
                "send a service's secret, or the one of the file admin.secret, as \"Authorization: Bearer …\", or show a \
                 client certificate",
            )),
        }
    }
}

/// A browser says from which page a request comes; a tool does not.
fn no_web_page(caller: Caller, headers: &HeaderMap) -> Result<(), Problem> {
    let is_unix = matches!(caller, Caller::Unix { .. });
    if !is_unix && headers.contains_key(header::ORIGIN) {
        return Err(Kind::Forbidden.because("a web page may change nothing, and gets no token"));
    }
    Ok(())
}

/// Somebody whom the clients' CA knows, and the configuration does not.
fn unranked(caller: Caller) -> Problem {
    let shown = caller.certificate().map(|holder| holder.to_string()).unwrap_or_default();
    Kind::Forbidden.because(format!(
        "your certificate, {shown}, may read: it is neither an operator's (admin.tls.operator_sha256) nor a service's \
         (service.certificate_sha256)"
    ))
}

/// What is presented as a bearer secret, whatever it is worth; `None` without that header.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION).map(|value| bearer(value.as_bytes()).unwrap_or_default())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether the request was made to an address or to `localhost`, and not to a name of somebody's choice.
fn is_local_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
