//! What each data block lets happen: who answers its reads, and what its requests do while the primary can't serve.

use std::time::Duration;

use foretoken_protocol::Blocks;

/// Who answers reads while the primary can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The primary.
    Primary,
    /// A mirror that is not too far behind, or else the primary.
    Mirror,
    /// The primary if it stands in our region, or else a mirror that does and is not too far behind, or else the primary.
    Nearest,
}

/// What happens to requests of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who answers its reads.
    pub read_from: ReadFrom,
    /// Whether only a mirror does that is known to have what the session has written.
    pub own_writes: bool,
    /// How far behind a mirror may be that answers its reads; `None`: none does, they wait for the primary if they must.
    pub stale_reads: Option<Duration>,
    /// Whether its writes wait; or else they are refused at once.
    pub queue_writes: bool,
}

impl Policy {
    /// The primary answers all, and requests wait for it.
    pub const PRIMARY: Self =
        Self { read_from: ReadFrom::Primary, own_writes: false, stale_reads: None, queue_writes: true };

    /// What both allow.
    fn strictest(self, other: Self) -> Self {
        Self {
            read_from: if self.read_from == other.read_from { self.read_from } else { ReadFrom::Primary },
            own_writes: self.own_writes || other.own_writes,
            stale_reads: self.stale_reads.zip(other.stale_reads).map(|(one, other)| one.min(other)),
            queue_writes: self.queue_writes && other.queue_writes,
        }
    }
}

/// The policies of a store's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Of `*`: keys in no named block, requests without keys, and all requests of a store without named blocks.
    pub rest: Policy,
    /// Of the named blocks, in the order of their numbers.
    pub named: Vec<Policy>,
}

impl Policies {
    /// How far behind a mirror may be that answers reads of any block; `None`: none does.
    pub(crate) fn stalest(&self) -> Option<Duration> {
        std::iter::once(&self.rest).chain(&self.named).filter_map(|policy| policy.stale_reads).max()
    }

    /// Whether any reads may go to mirrors while the primary can serve.
    pub(crate) fn spread_reads(&self) -> bool {
        std::iter::once(&self.rest).chain(&self.named).any(|policy| policy.read_from != ReadFrom::Primary)
    }

    /// Whether any block's mirrors must have what a session has written.
    pub(crate) fn follow_own_writes(&self) -> bool {
        std::iter::once(&self.rest)
            .chain(&self.named)
            .any(|policy| policy.own_writes && policy.stale_reads.is_some())
    }

    /// What all of `blocks` allow.
    pub(crate) fn of(&self, blocks: Blocks) -> Policy {
        let rest = blocks.has_rest().then_some(self.rest);
        let named = self.named.iter().enumerate().filter(|(place, _)| blocks.has_named(*place));
        let touched = rest.into_iter().chain(named.map(|(_, policy)| *policy));
        touched.reduce(Policy::strictest).unwrap_or(self.rest)
    }
}

#[cfg(test)]
mod tests;
