//! What clients did, when, and what they were told: the raw material of the checker.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// A value that is written once in a run: whoever finds it knows which operation it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The client that wrote it.
    pub client: u16,
    /// Counts that client's appends.
    pub number: u64,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}-{}", self.client, self.number)
    }
}

impl Tag {
    /// Reads what [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (client, number) = text.strip_prefix('c')?.split_once('-')?;
        Some(Self { client: client.parse().ok()?, number: number.parse().ok()? })
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Appends a value to a list that every client appends to (`RPUSH`). Answered with the length of the list.
    Append {
        /// The list.
        list: u8,
        /// The value.
        tag: Tag,
    },
    /// Writes a register that only this client writes, always a greater number (`SET`).
    Set {
        /// The register.
        register: u16,
        /// The number.
        number: u64,
    },
    /// Raises a counter that every client raises (`INCR`). Answered with its new value.
    Increment {
        /// The counter.
        counter: u8,
    },
    /// Reads anybody's register (`GET`). Answered with its number, 0 when nobody has written it.
    Read {
        /// The register.
        register: u16,
    },
}

impl Action {
    /// Whether it changes anything.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done, with the number that came back (0 for `SET`).
    Done(u64),
    /// An error that says that nothing was executed.
    NotExecuted(String),
    /// An error that leaves it open, or none at all.
    InDoubt(String),
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub client: u16,
    /// What.
    pub action: Action,
    /// When it was sent, since the history began.
    pub invoked: Duration,
    /// When its end was known, since the history began.
    pub ended: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Its length on the wire, which is also what it takes of the change stream.
    pub bytes: u32,
}

impl Operation {
    /// Whether it is a write that was acknowledged.
    #[must_use]
    pub const fn is_acknowledged_write(&self) -> bool {
        self.action.is_write() && matches!(self.ending, Ending::Done(_))
    }
}

/// What the store holds when all is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Lists; what can't be read as a tag is kept as it is.
    pub lists: BTreeMap<u8, Vec<Result<Tag, String>>>,
    /// Registers.
    pub registers: BTreeMap<u16, u64>,
    /// Counters.
    pub counters: BTreeMap<u8, u64>,
}

/// The loss of a primary, within which acknowledged writes may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From then on the old primary executed nothing, as was made sure of.
    pub from: Duration,
    /// By then the next primary served.
    pub until: Duration,
}

/// What the wall clock shows, to find the moments of a history in the words of others.
#[must_use]
pub fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "status and log tell moments by the wall clock")]
    SystemTime::now()
}
