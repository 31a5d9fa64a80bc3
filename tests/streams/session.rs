//! What one client sends from its first byte to its last.

use rand::Rng as _;

use crate::grammar::{Scope, Speaker, Words, multibulk};
use crate::wire::Cut;

/// What a client may do besides commands on keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Nothing: it can share connections with others all the time.
    Plain,
    /// Transactions, databases, versions, names, users.
    Stateful,
    /// All that Redis allows, subscriptions as well, and things in the wrong place.
    Wild,
}

/// Requests, in order. Each is sent as it is.
pub(crate) type Requests = Vec<Vec<u8>>;

/// All that one client sends, and how.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) requests: Requests,
    /// What ends it.
    pub(crate) end: Vec<u8>,
    pub(crate) cut: Cut,
}

impl Stream {
    /// Of at most `most` requests.
    pub(crate) fn random(speaker: &mut Speaker<'_>, temper: Temper, most: usize) -> Self {
        let length = speaker.rng.random_range(1..=most);
        let requests = session(speaker, temper, length);
        Self::of(speaker, temper, requests)
    }

    /// With an end and a cut.
    pub(crate) fn of(speaker: &mut Speaker<'_>, temper: Temper, requests: Requests) -> Self {
        Self { requests, end: end(speaker, temper), cut: Cut::any(&mut speaker.rng) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.requests.concat(), self.end.clone()].concat()
    }
}

/// A session of about `length` requests, without its end.
pub(crate) fn session(speaker: &mut Speaker<'_>, temper: Temper, length: usize) -> Requests {
    let mut session = Session { speaker, requests: Vec::new() };
    // What many commands on streams need.
    if session.speaker.chance(60) {
        session.say("XGROUP CREATE @:x1 g1 0 MKSTREAM");
    }
    while session.requests.len() < length {
        match temper {
            Temper::Plain => session.plain(),
            Temper::Stateful => session.stateful(),
            Temper::Wild => session.wild(),
        }
    }
    session.requests
}

/// Everybody may send it at any time, and it is answered last.
const QUIT: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";

/// What another connection can be brought into as well. `@` is the client's stem.
#[rustfmt::skip]
const SETUP: &[&str] = &[
    "SELECT 0", "SELECT 1", "SELECT 15", "SELECT 16", "SELECT x", "HELLO", "HELLO 2", "HELLO 3",
    "HELLO 3 SETNAME @", "HELLO 4", "CLIENT SETNAME @", "CLIENT SETNAME", "CLIENT GETNAME",
    "CLIENT NO-EVICT on", "CLIENT NO-EVICT off", "RESET",
];

/// The same, where users and names are told apart.
#[rustfmt::skip]
const USERS: &[&str] = &[
    "ACL WHOAMI", "ACL SETUSER @user on >@word ~@:* &@:* +@all", "AUTH @user @word",
    "AUTH @user wrong", "AUTH default x", "HELLO 3 AUTH @user @word SETNAME @",
];

/// The parts of a transaction, where they may not belong.
#[rustfmt::skip]
const LOOSE: &[&str] = &[
    "MULTI", "MULTI", "EXEC", "DISCARD", "WATCH @:s1 @:l1", "UNWATCH", "MULTI x", "EXEC x", "DISCARD x",
    "WATCH", "RESET x",
];

/// What leaves something on the connection that no other one could be given.
#[rustfmt::skip]
const STICKY: &[&str] = &[
    "READONLY", "ASKING", "NOSUCH 1 2",
];

/// After these, replies are not one for one. One channel and one pattern: several come in the order of a hash table. Tracking by
/// prefix is left out: it tells when the server next has nothing to do.
#[rustfmt::skip]
const RELAY: &[&str] = &[
    "SUBSCRIBE @:news @:news", "SUBSCRIBE @:news", "PSUBSCRIBE @:n*", "UNSUBSCRIBE", "PUNSUBSCRIBE",
    "UNSUBSCRIBE @:news", "SSUBSCRIBE @:talk", "SUNSUBSCRIBE", "CLIENT REPLY SKIP", "CLIENT REPLY OFF",
    "CLIENT REPLY ON", "CLIENT TRACKING ON", "CLIENT TRACKING OFF", "CLIENT CACHING YES",
    "CLIENT TRACKING ON NOLOOP",
];

/// What ends a session with an error, in words that the sidecar has from Redis. Where Redis is more lenient the sidecar is not.
const GARBAGE: &[&[u8]] = &[
    b"*abc\r\n",
    b"*1\r\n$-5\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\n$x\r\n",
    b"SET 'a\r\n",
    b"*99999999999\r\n",
    b"GET \"a\"b\r\n",
];

/// What ends a session of that temper.
fn end(speaker: &mut Speaker<'_>, temper: Temper) -> Vec<u8> {
    match temper {
        // After CLIENT REPLY OFF a redis-server that owes nothing forgets to close on QUIT. Garbage is left out behind what begins a
        // relay: the sidecar answers it itself, and does not wait for the replies that are under way.
        Temper::Wild => [b"*1\r\n$5\r\nRESET\r\n", QUIT].concat(),
        _ if speaker.chance(80) => QUIT.to_vec(),
        _ => speaker.choose(GARBAGE).to_vec(),
    }
}

struct Session<'s, 'g> {
    speaker: &'s mut Speaker<'g>,
    requests: Requests,
}

impl Session<'_, '_> {
    fn send(&mut self, words: &Words) {
        let bytes = multibulk(words);
        self.requests.push(bytes);
    }

    /// Words with the client's stem in the place of `@`.
    fn say(&mut self, line: &str) {
        let line = line.replace('@', &self.speaker.stem);
        self.send(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
    }

    fn plain(&mut self) {
        let words = self.speaker.command();
        match self.speaker.rng.random_range(0..100) {
            0..5 => {
                let line = self.inline(&words);
                self.requests.push(line);
            }
            5 => self
                .requests
                .push(self.speaker.choose(&[&b"\r\n"[..], b"*0\r\n", b"  \n", b"*-1\r\n"]).to_vec()),
            _ => self.send(&words),
        }
    }

    fn stateful(&mut self) {
        match self.speaker.rng.random_range(0..100) {
            0..8 => self.transaction(),
            8..14 => self.setup(),
            _ => self.plain(),
        }
    }

    fn wild(&mut self) {
        match self.speaker.rng.random_range(0..100) {
            0..5 => self.loose(),
            5..8 => self.relay(),
            8..10 => self.stick(),
            _ => self.stateful(),
        }
    }

    /// Begins, commands, and its end.
    fn transaction(&mut self) {
        if self.speaker.scope == Scope::Moving && self.speaker.chance(30) {
            return self.watched();
        }
        if self.speaker.scope != Scope::Moving && self.speaker.chance(30) {
            let key = self.speaker.key("slh");
            self.send(&vec![b"WATCH".to_vec(), key]);
        }
        self.say("MULTI");
        for _ in 0..self.speaker.rng.random_range(0..6) {
            self.plain();
        }
        let end = self.speaker.choose(&["EXEC", "EXEC", "EXEC", "DISCARD"]);
        self.say(end);
    }

    /// A transaction that has no effect, because it fails when the role moves (see `compare::WATCHED`).
    fn watched(&mut self) {
        self.say("WATCH @:s1");
        self.plain();
        for line in ["MULTI", "ECHO watched", "EXEC"] {
            self.say(line);
        }
    }

    fn setup(&mut self) {
        let movable = self.speaker.scope == Scope::Moving || self.speaker.chance(60);
        let line = self.speaker.choose(if movable { SETUP } else { USERS });
        self.say(line);
    }

    fn loose(&mut self) {
        let line = self.speaker.choose(LOOSE);
        self.say(line);
    }

    fn stick(&mut self) {
        let line = self.speaker.choose(STICKY);
        self.say(line);
    }

    fn relay(&mut self) {
        let line = self.speaker.choose(RELAY);
        self.say(line);
        // In Redis an empty line uses it up, which the sidecar does not pass on.
        if line == "CLIENT REPLY SKIP" {
            self.say("ECHO skipped");
        }
    }

    /// The same words as a person would type them.
    fn inline(&mut self, words: &Words) -> Vec<u8> {
        let mut line = Vec::new();
        for word in words {
            if !line.is_empty() {
                line.push(b' ');
            }
            let bare = !word.is_empty()
                && word.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte));
            if bare && self.speaker.chance(80) {
                line.extend_from_slice(word);
                continue;
            }
            line.push(b'"');
            for &byte in word {
                match byte {
                    b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                    0x20..0x7f => line.push(byte),
                    _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                }
            }
            line.push(b'"');
        }
        line.extend_from_slice(self.speaker.choose(&[&b"\r\n"[..], b"\n"]));
        line
    }
}
