//! Who may read and who may change.
//!
//! | caller | health | metrics, reading | changing | ending the sidecar |
//! | --- | --- | --- | --- | --- |
//! | Unix socket | free | same user, root, users of services | same user or root, by `SO_PEERCRED` | as changing |
//! | loopback | free | free | bearer secret, unless the listener is open | as changing |
//! | any other address | free | bearer secret | bearer secret | never |
//! | a certificate of the clients' CA | free | free | free | from loopback |
//!
//! Tokens have one more kind of caller, the services of the configuration: each is known by a bearer secret of its own, by
//! its certificate or by its user at the Unix socket, and gets tokens for itself alone. Who may change things here acts for
//! any service, but for a certificate: of those only the ones that are a service's get tokens.
//!
//! A web page in a browser on this machine is a loopback caller too. So a change that carries an `Origin` is refused, and
//! so is reading under a host name that somebody made point here (DNS rebinding): neither comes from a tool.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use foretoken_token::Fingerprint;

use crate::model::Problem;
use crate::problem::Kind;
use crate::secret::Secret;
use crate::server::Server;
use crate::tokens::Asker;

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
        /// The certificate: what tokens that this caller asks for are bound to.
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
}

/// How a service of the configuration is recognised; by any of these.
#[derive(Clone, Debug, Default)]
pub struct ServiceDoor {
    /// Its name.
    pub name: String,
    /// What it sends as `Authorization: Bearer ...`.
    pub secret: Option<Secret>,
    /// Its certificate.
    pub certificate: Option<Fingerprint>,
    /// The user that it runs as, at the Unix socket.
    pub uid: Option<u32>,
}

/// The rules of this listener.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) secret: Option<Secret>,
    /// Whether loopback may change things without the secret.
    pub(crate) open: bool,
    /// The user that we run as.
    pub(crate) uid: u32,
    /// The services of the configuration.
    pub(crate) services: Vec<ServiceDoor>,
}

impl Gate {
    /// Whether `caller` may read.
    pub(crate) fn read(&self, caller: Caller, headers: &HeaderMap) -> Result<(), Problem> {
        match caller {
            Caller::Unix { uid } if self.knows(uid) => Ok(()),
            Caller::Unix { .. } => self.bearer(headers),
            Caller::Known { .. } => Ok(()),
            Caller::Loopback if is_local_name(headers) => Ok(()),
            Caller::Loopback if !headers.contains_key(header::AUTHORIZATION) => {
                Err(Kind::Unauthorized.because("ask 127.0.0.1, [::1] or localhost, or send the secret"))
            }
            Caller::Loopback | Caller::Remote => self.bearer(headers),
        }
    }

    /// Whether `caller` may change things.
    pub(crate) fn change(&self, caller: Caller, headers: &HeaderMap) -> Result<(), Problem> {
        match caller {
            Caller::Unix { uid: Some(uid) } if uid == 0 || uid == self.uid => Ok(()),
            Caller::Unix { uid: Some(uid) } => Err(Kind::Forbidden.because(format!(
                "user {uid} may not change anything: this sidecar runs as user {}",
                self.uid
            ))),
            Caller::Unix { uid: None } => {
                Err(Kind::Forbidden.because("the kernel did not say which user asks"))
            }
            _ if headers.contains_key(header::ORIGIN) => {
                Err(Kind::Forbidden.because("a web page may not change anything"))
            }
            Caller::Known { .. } => Ok(()),
            Caller::Loopback if self.open && is_local_name(headers) => Ok(()),
            Caller::Loopback | Caller::Remote => self.bearer(headers),
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

    /// Who asks for tokens, or about them.
    pub(crate) fn asker(&self, caller: Caller, headers: &HeaderMap) -> Result<Asker, Problem> {
        let certificate = match caller {
            Caller::Known { holder, .. } => Some(holder),
            _ => None,
        };
        let service = |door: &ServiceDoor| Asker::Service { name: door.name.clone(), certificate };
        let is_unix = matches!(caller, Caller::Unix { .. });
        if !is_unix && headers.contains_key(header::ORIGIN) {
            return Err(Kind::Forbidden.because("a web page gets no token"));
        }
        // What is presented on purpose counts before what the connection shows by itself.
        if let Some(presented) = presented(headers) {
            let matches =
                |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
            if let Some(door) = self.services.iter().find(|door| matches(&door.secret)) {
                return Ok(service(door));
            }
            if matches(&self.secret) {
                return Ok(Asker::Operator);
            }
            return Err(
                Kind::Unauthorized.because("the secret is neither a service's nor the one of this sidecar")
            );
        }
        match caller {
            Caller::Unix { uid: Some(uid) } if uid == 0 || uid == self.uid => Ok(Asker::Operator),
            Caller::Unix { uid: Some(uid) } => {
                match self.services.iter().find(|door| door.uid == Some(uid)) {
                    Some(door) => Ok(service(door)),
                    None => Err(Kind::Forbidden.because(format!("user {uid} is none of the services"))),
                }
            }
            Caller::Unix { uid: None } => {
                Err(Kind::Forbidden.because("the kernel did not say which user asks"))
            }
            Caller::Known { holder, .. } => {
                let shown = self.services.iter().find(|door| door.certificate == Some(holder));
                shown.map(service).ok_or_else(|| {
                    Kind::Forbidden.because(format!(
                        "your certificate, {holder}, is none of the services' (service.certificate_sha256)"
                    ))
                })
            }
            Caller::Loopback if self.open && is_local_name(headers) => Ok(Asker::Operator),
            Caller::Loopback | Caller::Remote => Err(Kind::Unauthorized.because(
                "send a service's secret, or the one of the file admin.secret, as \"Authorization: Bearer …\"",
            )),
        }
    }

    /// Who asks to read about tokens: as above, or a mere reader where reading is free.
    pub(crate) fn reader(&self, caller: Caller, headers: &HeaderMap) -> Result<Asker, Problem> {
        match self.asker(caller, headers) {
            Ok(asker) => Ok(asker),
            Err(problem) if presented(headers).is_some() => Err(problem),
            Err(_) => self.read(caller, headers).map(|()| Asker::Reader),
        }
    }

    /// Whether a user at the Unix socket is one of ours.
    fn knows(&self, uid: Option<u32>) -> bool {
        uid.is_some_and(|uid| {
            uid == 0 || uid == self.uid || self.services.iter().any(|door| door.uid == Some(uid))
        })
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(secret) = &self.secret else {
            return Err(Kind::Forbidden.because("this listener has no bearer secret: use the Unix socket"));
        };
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(Kind::Unauthorized
                .because("send the secret of the file admin.secret as \"Authorization: Bearer …\", or show a client certificate"));
        };
        match bearer(value.as_bytes()) {
            Some(token) if secret.matches(token) => Ok(()),
            _ => Err(Kind::Unauthorized.because("the secret is not the one of this sidecar")),
        }
    }
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

/// Extractor: the caller may read.
pub(crate) struct MayRead;

/// Extractor: the caller may change things. Stands before the body in a handler, so that no body is read for others.
pub(crate) struct MayChange;

/// Extractor: the caller may end the sidecar.
pub(crate) struct MayExit;

/// Extractor: who asks for a token. Stands before the body, as [`MayChange`].
pub(crate) struct Asks(pub(crate) Asker);

/// Extractor: who reads about tokens.
pub(crate) struct Reads(pub(crate) Asker);

fn caller(parts: &Parts) -> Caller {
    // Without a word on where it comes from, a request is treated as one from afar.
    parts.extensions.get::<Caller>().copied().unwrap_or(Caller::Remote)
}

impl FromRequestParts<Arc<Server>> for MayRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        server.gate.read(caller(parts), &parts.headers).map(|()| Self)
    }
}

impl FromRequestParts<Arc<Server>> for Asks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        server.gate.asker(caller, &parts.headers).map(Self).inspect_err(|problem| {
            tracing::debug!(?caller, path = parts.uri.path(), reason = %problem.detail, "no token for who asks");
        })
    }
}

impl FromRequestParts<Arc<Server>> for Reads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        server.gate.reader(caller(parts), &parts.headers).map(Self)
    }
}

impl FromRequestParts<Arc<Server>> for MayChange {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        server.gate.change(caller, &parts.headers).map(|()| Self).inspect_err(|problem| {
            tracing::warn!(?caller, path = parts.uri.path(), reason = %problem.detail, "change refused");
        })
    }
}

impl FromRequestParts<Arc<Server>> for MayExit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        server.gate.exit(caller, &parts.headers).map(|()| Self).inspect_err(|problem| {
            tracing::warn!(?caller, reason = %problem.detail, "exit refused");
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn gate(open: bool) -> Gate {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.secret");
        Secret::load_or_create(&path).unwrap();
        std::fs::write(&path, SECRET).unwrap();
        Gate { secret: Some(Secret::load(&path).unwrap()), open, uid: 1000, services: Vec::new() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn status(answer: Result<(), Problem>) -> u16 {
        answer.map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn over_the_unix_socket_only_the_same_user_and_root_change_things() {
        let gate = gate(true);
        let none = headers(&[]);
        for (uid, expected) in [(Some(1000), 200), (Some(0), 200), (Some(1001), 403), (None, 403)] {
            assert_eq!(status(gate.change(Caller::Unix { uid }, &none)), expected, "{uid:?}");
            let reading = if expected == 200 { 200 } else { 401 };
            assert_eq!(status(gate.read(Caller::Unix { uid }, &none)), reading, "{uid:?}");
        }
    }

    #[test]
    fn over_tcp_changes_need_the_secret() {
        let right = format!("Bearer {SECRET}");
        let lower = format!("bearer {SECRET}");
        let wrong = format!("Bearer {}", SECRET.replace('f', "e"));
        let basic = format!("Basic  {SECRET}");
        for (authorization, expected) in
            [(&right, 200), (&lower, 200), (&wrong, 401), (&basic, 401), (&"Bearer".to_owned(), 401)]
        {
            let sent = headers(&[("authorization", authorization)]);
            assert_eq!(status(gate(false).change(Caller::Loopback, &sent)), expected, "{authorization}");
            assert_eq!(status(gate(true).change(Caller::Remote, &sent)), expected, "{authorization}");
            assert_eq!(status(gate(true).read(Caller::Remote, &sent)), expected, "{authorization}");
        }
        assert_eq!(status(gate(false).change(Caller::Loopback, &headers(&[]))), 401);
        assert_eq!(status(gate(true).change(Caller::Loopback, &headers(&[]))), 200);
        assert_eq!(status(gate(true).change(Caller::Remote, &headers(&[]))), 401);
        let without = Gate { secret: None, open: false, uid: 1000, services: Vec::new() };
        assert_eq!(status(without.change(Caller::Loopback, &headers(&[("authorization", "Bearer ")]))), 403);
    }

    #[test]
    fn a_service_is_known_by_its_secret_its_certificate_or_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let own = Secret::load_or_create(&dir.path().join("own.secret")).unwrap();
        let own_text = own.authorization().to_string();
        let print = Fingerprint::of(b"its certificate");
        let named = |name: &str| ServiceDoor { name: name.to_owned(), ..ServiceDoor::default() };
        let services = vec![
            ServiceDoor { secret: Some(own), ..named("by-secret") },
            ServiceDoor { certificate: Some(print), ..named("by-certificate") },
            ServiceDoor { uid: Some(2000), ..named("by-user") },
        ];
        let gate = |open| Gate { services: services.clone(), ..gate(open) };
        let (none, wrong) = (headers(&[]), headers(&[("authorization", "Bearer nonsense")]));
        let (own, admin) = (
            headers(&[("authorization", &own_text)]),
            headers(&[("authorization", &format!("Bearer {SECRET}"))]),
        );
        let known = |holder| Caller::Known { holder, loopback: false };
        let (shown, other) = (known(print), known(Fingerprint::of(b"another of the same CA")));
        let unix = |uid| Caller::Unix { uid };
        let service = |name: &str, certificate| Ok(Asker::Service { name: name.to_owned(), certificate });
        let rows = [
            (unix(Some(1000)), &none, Ok(Asker::Operator)),
            (unix(Some(0)), &none, Ok(Asker::Operator)),
            (unix(Some(1000)), &own, service("by-secret", None)),
            (unix(Some(2000)), &none, service("by-user", None)),
            (unix(Some(2001)), &none, Err(403)),
            (unix(Some(2001)), &own, service("by-secret", None)),
            (unix(None), &none, Err(403)),
            (unix(Some(1000)), &wrong, Err(401)),
            (Caller::Loopback, &none, Err(401)),
            (Caller::Loopback, &wrong, Err(401)),
            (Caller::Loopback, &own, service("by-secret", None)),
            (Caller::Loopback, &admin, Ok(Asker::Operator)),
            (Caller::Remote, &none, Err(401)),
            (shown, &none, service("by-certificate", Some(print))),
            (shown, &own, service("by-secret", Some(print))),
            (other, &none, Err(403)),
            (other, &admin, Ok(Asker::Operator)),
        ];
        for (caller, sent, expected) in rows {
            let found = gate(false).asker(caller, sent).map_err(|problem| problem.status);
            assert_eq!(found, expected, "{caller:?} {sent:?}");
        }
        let asker = |gate: Gate, caller, sent| gate.asker(caller, sent).map_err(|problem| problem.status);
        assert_eq!(asker(gate(true), Caller::Loopback, &none), Ok(Asker::Operator));
        assert_eq!(asker(gate(true), Caller::Loopback, &wrong), Err(401));
        assert_eq!(asker(gate(true), Caller::Remote, &none), Err(401));
        let page = headers(&[("origin", "https://example.org"), ("authorization", &own_text)]);
        assert_eq!(asker(gate(true), Caller::Loopback, &page), Err(403));

        let reader = |caller, sent| gate(false).reader(caller, sent).map_err(|problem| problem.status);
        assert_eq!(reader(Caller::Loopback, &none), Ok(Asker::Reader));
        assert_eq!(reader(Caller::Loopback, &wrong), Err(401));
        assert_eq!(reader(Caller::Remote, &none), Err(401));
        assert_eq!(reader(other, &none), Ok(Asker::Reader));
        assert_eq!(reader(unix(Some(2001)), &none), Err(401));
    }

    #[test]
    fn nobody_ends_the_sidecar_from_afar() {
        let right = headers(&[("authorization", &format!("Bearer {SECRET}"))]);
        for open in [false, true] {
            let gate = gate(open);
            assert_eq!(status(gate.change(Caller::Remote, &right)), 200);
            assert_eq!(status(gate.exit(Caller::Remote, &right)), 403);
            assert_eq!(status(gate.exit(Caller::Loopback, &right)), 200);
            assert_eq!(status(gate.exit(Caller::Loopback, &headers(&[]))), if open { 200 } else { 401 });
            assert_eq!(status(gate.exit(Caller::Unix { uid: Some(1000) }, &headers(&[]))), 200);
            assert_eq!(status(gate.exit(Caller::Unix { uid: Some(1001) }, &right)), 403);
            let page = headers(&[("origin", "https://example.org")]);
            assert_eq!(status(gate.exit(Caller::Loopback, &page)), 403);
        }
    }

    #[test]
    fn web_pages_change_nothing_and_read_nothing_under_a_name_of_their_own() {
        let open = gate(true);
        let page = headers(&[("host", "127.0.0.1:7001"), ("origin", "https://example.org")]);
        assert_eq!(status(open.change(Caller::Loopback, &page)), 403);
        for (host, expected) in [
            ("127.0.0.1:7001", 200),
            ("localhost:7001", 200),
            ("localhost", 200),
            ("[::1]:7001", 200),
            ("rebound.example.org:7001", 401),
            ("localhost.example.org", 401),
        ] {
            let sent = headers(&[("host", host)]);
            assert_eq!(status(open.read(Caller::Loopback, &sent)), expected, "{host}");
            assert_eq!(status(open.change(Caller::Loopback, &sent)), expected, "{host}");
        }
    }

    #[test]
    fn loopback_is_loopback_in_either_family() {
        for (address, expected) in [
            ("127.0.0.1", Caller::Loopback),
            ("127.8.0.1", Caller::Loopback),
            ("::1", Caller::Loopback),
            ("::ffff:127.0.0.1", Caller::Loopback),
            ("10.0.0.1", Caller::Remote),
            ("::ffff:10.0.0.1", Caller::Remote),
        ] {
            assert_eq!(Caller::at(address.parse().unwrap(), None), expected, "{address}");
        }
    }

    #[test]
    fn a_certificate_is_a_credential_but_not_for_a_web_page_nor_for_ending_it_from_afar() {
        let gate = gate(false);
        let holder = Some(Fingerprint::of(b"a certificate"));
        let (near, far) = ("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let none = headers(&[]);
        for address in [near, far] {
            let caller = Caller::at(address, holder);
            assert_eq!(status(gate.read(caller, &none)), 200);
            assert_eq!(status(gate.change(caller, &none)), 200);
            assert_eq!(status(gate.change(caller, &headers(&[("origin", "https://example.org")]))), 403);
        }
        assert_eq!(status(gate.exit(Caller::at(near, holder), &none)), 200);
        assert_eq!(status(gate.exit(Caller::at(far, holder), &none)), 403);
    }
}
