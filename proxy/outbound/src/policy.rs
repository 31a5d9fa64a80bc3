//! What each data block lets happen while the primary can't serve.

use std::time::Duration;

use foretoken_protocol::Blocks;

/// What happens to requests of one block while the primary can't serve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far behind a mirror may be that answers its reads; `None`: they wait for the primary.
    pub stale_reads: Option<Duration>,
    /// Whether its writes wait; or else they are refused at once.
    pub queue_writes: bool,
}

impl Policy {
    /// What both allow.
    fn strictest(self, other: Self) -> Self {
        Self {
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
