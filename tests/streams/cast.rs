//! Who is there while the role moves, and what becomes of each.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::grammar::{Grammar, Scope, Speaker, multibulk};
use crate::pair;
use crate::session::{Requests, Stream, Temper, session};
use crate::wire::Cut;

/// Clients by themselves; beside them so many pairs, each of which meets so often.
const CLIENTS: usize = 12;
const PAIRS: usize = 3;
const MEETINGS: usize = 40;
/// Slow enough for a role to move meanwhile.
const SLOWLY: Cut = Cut { most: 60, pauses: 60 };

/// What becomes of a session when the role moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It goes on.
    Movable,
    /// It goes on, and waits for another client or brings what that one waits for.
    Paired,
    /// It is cut.
    Pinned,
    /// It is cut, because a transaction has set where it works.
    Set,
    /// It is cut, or goes on.
    Subscriber,
}

/// One client.
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) stem: String,
    pub(crate) stream: Stream,
}

/// All of a round.
pub(crate) fn cast(grammar: &Grammar, seed: u64) -> Vec<Part> {
    let kinds = [Kind::Movable, Kind::Pinned, Kind::Movable, Kind::Subscriber, Kind::Movable, Kind::Set];
    let stem = |number: usize| format!("r{seed}c{number}");
    let speaker = |number: usize| {
        let rng = SmallRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32));
        Speaker::new(grammar, &stem(number), Scope::Moving, rng)
    };
    let mut parts = Vec::new();
    for number in 0..CLIENTS {
        let kind = kinds[number % kinds.len()];
        let stream = kind.stream(&mut speaker(number));
        parts.push(Part { kind, stem: stem(number), stream });
    }
    for number in 0..PAIRS {
        let first = CLIENTS + 2 * number;
        let mut two = [speaker(first), speaker(first + 1)];
        let both = pair::both(&format!("r{seed}p{number}"), &mut two, MEETINGS);
        for (requests, mut speaker) in both.into_iter().zip(two) {
            let stream = Stream { cut: SLOWLY, ..Stream::of(&mut speaker, Temper::Plain, requests) };
            parts.push(Part { kind: Kind::Paired, stem: speaker.stem, stream });
        }
    }
    parts
}

impl Kind {
    fn opening(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Movable | Self::Paired => &[],
            Self::Pinned => &[&["READONLY"]],
            Self::Set => &[&["MULTI"], &["SELECT", "1"], &["CLIENT", "SETNAME", "@"], &["EXEC"]],
            Self::Subscriber => &[&["HELLO", "3"], &["SUBSCRIBE", "@:news"]],
        }
    }

    /// Whether it can't be moved.
    pub(crate) fn is_cut(self) -> bool {
        matches!(self, Self::Pinned | Self::Set)
    }

    /// The database in which it works.
    pub(crate) fn database(self) -> u8 {
        u8::from(self == Self::Set)
    }

    /// Between requests it writes down what it has done, in an order that can be checked when it was cut.
    fn stream(self, speaker: &mut Speaker<'_>) -> Stream {
        let stem = speaker.stem.clone();
        let words = |words: &[&str]| {
            multibulk(&words.iter().map(|word| word.replace('@', &stem).into_bytes()).collect::<Vec<_>>())
        };
        let mut requests: Requests = self.opening().iter().map(|line| words(line)).collect();
        for entry in 0..60 {
            let temper = if self == Self::Movable { Temper::Stateful } else { Temper::Plain };
            requests.extend(session(speaker, temper, 6));
            requests.push(words(&["EVAL", WRITE_DOWN, "1", "@:log", &format!("{entry:04}")]));
        }
        Stream { cut: SLOWLY, ..Stream::of(speaker, Temper::Wild, requests) }
    }
}

const WRITE_DOWN: &str = "redis.call('RPUSH', KEYS[1], ARGV[1]) return 'log-' .. ARGV[1]";
