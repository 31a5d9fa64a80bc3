//! What a request needs: the right to write or not, and which kind of connection.
//!
//! A command that is not in the table (a module's, a renamed or a later one) counts as a write that needs
//! its own connection: nothing is known about it, so nothing is assumed.

use foretoken_types::Access;

use crate::wire::{args, inline_to_multibulk};

mod keys;
mod table;
#[cfg(test)]
mod tests;
mod timeout;

pub use keys::{Reach, keys};
use table::{Entry, Row};
pub use timeout::with_less_time;

/// What a command does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing: it may share a connection with anybody's.
    Plain,
    /// `AUTH`.
    Auth,
    /// `HELLO`.
    Hello,
    /// `SELECT`.
    Select,
    /// `CLIENT SETNAME`.
    ClientSetName,
    /// `CLIENT SETINFO`.
    ClientSetInfo,
    /// `CLIENT NO-EVICT`.
    ClientNoEvict,
    /// `CLIENT NO-TOUCH`.
    ClientNoTouch,
    /// `SCRIPT LOAD`, `SCRIPT FLUSH`: what they do is not replicated.
    Scripts,
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch,
    /// `UNWATCH`.
    Unwatch,
    /// `QUIT`.
    Quit,
    /// `RESET`.
    Reset,
    /// `POST`, `Host:`: of another protocol.
    Foreign,
    /// It may wait for another client's command, so that no reply behind it comes before.
    Blocking,
    /// `WAIT`, `WAITAOF`: about the writes that were sent over the same connection before.
    Wait,
    /// `CLIENT ID` and its kin: it tells which connection the client has.
    Identity,
    /// It leaves state on the connection, or depends on it, in a way that can't be replayed; or it is unknown.
    Sticky,
    /// After it the server speaks without being asked, or is silent when it is.
    Relay(Relayed),
}

/// What begins a relay, or goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relayed {
    /// `SUBSCRIBE`, `PSUBSCRIBE`, `SSUBSCRIBE`.
    Subscribe(Topic),
    /// `UNSUBSCRIBE`, `PUNSUBSCRIBE`, `SUNSUBSCRIBE`.
    Unsubscribe(Topic),
    /// `MONITOR`.
    Monitor,
    /// `CLIENT TRACKING`.
    Tracking,
    /// `CLIENT CACHING`: about the command behind it.
    Caching,
    /// `CLIENT REPLY`, and those of replication: from then on nobody can tell which bytes answer what.
    Opaque,
}

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A channel, by name.
    Channel,
    /// All channels whose names fit a pattern.
    Pattern,
    /// A channel of one shard.
    Shard,
}

impl Kind {
    /// Whether it tells who the session is or where it works, and asks for nothing.
    #[must_use]
    pub const fn is_setup(self) -> bool {
        matches!(
            self,
            Self::Auth
                | Self::Hello
                | Self::Select
                | Self::ClientSetName
                | Self::ClientSetInfo
                | Self::ClientNoEvict
                | Self::ClientNoTouch
        )
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Whether it may change something.
    pub access: Access,
    /// What it does to its connection.
    pub kind: Kind,
    /// Whether the command is in the table.
    pub known: bool,
    /// Whether any server with the same data answers the same.
    pub any_server: bool,
}

impl Class {
    const UNKNOWN: Self = Self { access: Access::Write, kind: Kind::Sticky, known: false, any_server: false };
}

/// Classifies a whole request of either form, or the beginning of one.
///
/// Of a multibulk request only as much is read as is needed: the name, a container's sub-command, the options of `XREAD`.
/// Of a beginning that lacks those, and of bytes that are no request, it says that they are unknown.
#[inline]
#[must_use]
pub fn classify(frame: &[u8]) -> Class {
    if frame.first() == Some(&b'*') {
        return classify_args(args(frame));
    }
    match inline_to_multibulk(frame) {
        Ok(frame) => classify_args(args(&frame)),
        Err(_) => Class::UNKNOWN,
    }
}

/// Classifies a request by its arguments, the command's name first.
#[inline]
#[must_use]
pub fn classify_args<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Class {
    let Some(name) = args.next() else { return Class::UNKNOWN };
    let entry = match table::command(name) {
        Some(entry) if entry.row == Row::Container => {
            args.next().and_then(|sub| table::subcommand(name, sub))
        }
        entry => entry,
    };
    let Some(Entry { row, any_server, .. }) = entry else { return Class::UNKNOWN };
    let (access, kind) = match row {
        Row::Is(access, kind) => (access, kind),
        Row::Stream(access) if has_block(args) => (access, Kind::Blocking),
        Row::Stream(access) => (access, Kind::Plain),
        // No container holds another one.
        Row::Container => return Class::UNKNOWN,
    };
    Class { access, kind, known: true, any_server }
}

/// Whether the arguments of `XREAD` or `XREADGROUP` have the option `BLOCK` (`xreadCommand` in `t_stream.c`).
///
/// An option that is not known is stepped over by itself: taking its value for `BLOCK` costs a connection, missing a real
/// one would stall everybody who shares it. Arguments that end before `STREAMS` are of a request that was cut.
#[cold]
fn has_block<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> bool {
    loop {
        let Some(option) = args.next() else { return true };
        let values = match option {
            _ if option.eq_ignore_ascii_case(b"BLOCK") => return true,
            _ if option.eq_ignore_ascii_case(b"STREAMS") => return false,
            _ if option.eq_ignore_ascii_case(b"COUNT") => 1,
            _ if option.eq_ignore_ascii_case(b"GROUP") => 2,
            _ => 0,
        };
        for _ in 0..values {
            if args.next().is_none() {
                return true;
            }
        }
    }
}
