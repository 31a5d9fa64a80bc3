//! The state that two sessions must have in common to share a connection.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use crate::classify::Kind;
use crate::control::Credentials;
use crate::wire::{append_request, args};

/// Protocol version, credentials, database and names of a session. All of it was accepted by the server.
///
/// Two sessions with equal keys have shown the same credentials, so that one gains nothing from the other's connection.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Rc<State>);

impl Default for SessionKey {
    /// That of a session which has said nothing. All of a thread share one: most clients stay so.
    fn default() -> Self {
        thread_local! {
            static NOTHING: SessionKey = SessionKey(Rc::default());
        }
        NOTHING.with(Self::clone)
    }
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct State {
    /// The version that `HELLO` set.
    version: Option<u8>,
    /// User (if given) and password.
    credentials: Option<(Option<Secret>, Secret)>,
    /// As it was sent; empty for 0.
    database: Bytes,
    name: Bytes,
    lib_name: Bytes,
    lib_version: Bytes,
    no_evict: bool,
    no_touch: bool,
}

/// Bytes that are wiped when the last session that needs them ends.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Rc<zeroize::Zeroizing<Vec<u8>>>);

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_slice().hash(state);
    }
}

impl Secret {
    fn new(bytes: &[u8]) -> Self {
        Self(Rc::new(bytes.to_vec().into()))
    }
}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for SessionKey {
    /// Never shows a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey")
            .field("version", &self.0.version)
            .field("authenticated", &self.0.credentials.is_some())
            .field("database", &self.0.database)
            .finish_non_exhaustive()
    }
}

impl SessionKey {
    /// That of a session which is served as this user until it says who it is.
    #[must_use]
    pub fn of_user(credentials: &Credentials) -> Self {
        let user = credentials.user.as_ref().map(|user| Secret::new(user.as_bytes()));
        let credentials = Some((user, Secret::new(credentials.password.as_bytes())));
        Self(Rc::new(State { credentials, ..State::default() }))
    }

    /// Whether the session speaks RESP3.
    pub(crate) fn is_resp3(&self) -> bool {
        self.0.version == Some(3)
    }

    /// Takes over what a command that succeeded has set.
    pub(crate) fn apply<'a>(&mut self, kind: Kind, mut args: impl Iterator<Item = &'a [u8]>) {
        let state = Rc::make_mut(&mut self.0);
        args.next();
        let text = |arg: Option<&[u8]>| Bytes::copy_from_slice(arg.unwrap_or_default());
        match kind {
            Kind::Auth => {
                let Some(first) = args.next() else { return };
                state.credentials = Some(match args.next() {
                    Some(password) => (Some(Secret::new(first)), Secret::new(password)),
                    None => (None, Secret::new(first)),
                });
            }
            Kind::Select => {
                let database = text(args.next());
                state.database = if &database[..] == b"0" { Bytes::new() } else { database };
            }
            Kind::Hello => {
                let Some(version) = args.next() else { return };
                state.version = match version {
                    b"3" => Some(3),
                    b"2" => Some(2),
                    _ => state.version,
                };
                while let Some(option) = args.next() {
                    if option.eq_ignore_ascii_case(b"AUTH") {
                        let (Some(user), Some(password)) = (args.next(), args.next()) else { return };
                        state.credentials = Some((Some(Secret::new(user)), Secret::new(password)));
                    } else if option.eq_ignore_ascii_case(b"SETNAME") {
                        state.name = text(args.next());
                    }
                }
            }
            Kind::ClientSetName => {
                args.next();
                state.name = text(args.next());
            }
            Kind::ClientSetInfo => {
                args.next();
                match args.next() {
                    Some(what) if what.eq_ignore_ascii_case(b"LIB-NAME") => {
                        state.lib_name = text(args.next())
                    }
                    Some(what) if what.eq_ignore_ascii_case(b"LIB-VER") => {
                        state.lib_version = text(args.next())
                    }
                    _ => {}
                }
            }
            Kind::ClientNoEvict => state.no_evict = is_on(args.nth(1)),
            Kind::ClientNoTouch => state.no_touch = is_on(args.nth(1)),
            _ => {}
        }
    }

    /// The requests that bring a fresh connection into this state, and how many they are.
    ///
    /// `HELLO` is sent with the session's own version only: never 3 for a session that speaks RESP2, since replies must stay
    /// byte for byte.
    pub(crate) fn preamble(&self) -> (Bytes, u32) {
        let state = &*self.0;
        let mut out = BytesMut::new();
        let mut requests = 0;
        let mut send = |parts: &[&[u8]]| {
            requests += 1;
            append_request(&mut out, parts);
        };
        if let Some((user, password)) = &state.credentials {
            match user {
                Some(user) => send(&[b"AUTH", &user.0, &password.0]),
                None => send(&[b"AUTH", &password.0]),
            }
        }
        match state.version {
            Some(3) => send(&[b"HELLO", b"3"]),
            Some(2) => send(&[b"HELLO", b"2"]),
            _ => {}
        }
        if !state.name.is_empty() {
            send(&[b"CLIENT", b"SETNAME", &state.name]);
        }
        if !state.lib_name.is_empty() {
            send(&[b"CLIENT", b"SETINFO", b"LIB-NAME", &state.lib_name]);
        }
        if !state.lib_version.is_empty() {
            send(&[b"CLIENT", b"SETINFO", b"LIB-VER", &state.lib_version]);
        }
        if state.no_evict {
            send(&[b"CLIENT", b"NO-EVICT", b"ON"]);
        }
        if state.no_touch {
            send(&[b"CLIENT", b"NO-TOUCH", b"ON"]);
        }
        if !state.database.is_empty() {
            send(&[b"SELECT", &state.database]);
        }
        (out.freeze(), requests)
    }
}

/// Whether a `HELLO` that failed may have changed the connection's user or name: Redis before 7.2 takes its options one by one, and
/// finds a wrong one behind them too late (`helloCommand` in `networking.c`).
pub(super) fn may_have_set(frame: &[u8], reply: &[u8]) -> bool {
    /// `HELLO 3 AUTH user password`.
    const LOGIN_ONLY: usize = 5;
    let login_failed = reply.starts_with(b"-WRONGPASS ") && args(frame).total() == LOGIN_ONLY;
    let sets = |arg: &[u8]| [&b"AUTH"[..], b"SETNAME"].iter().any(|option| arg.eq_ignore_ascii_case(option));
    // The version comes first.
    !login_failed && !reply.starts_with(b"-NOPROTO ") && args(frame).skip(2).any(sets)
}

fn is_on(arg: Option<&[u8]>) -> bool {
    arg.is_some_and(|arg| arg.eq_ignore_ascii_case(b"ON"))
}
