//! Whether data descends from a history.

use foretoken_types::{Observation, Position};

/// A history as it was last known: its name, and the one that it went on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Its name.
    pub(crate) history: String,
    /// The name before, good up to the position beside it.
    pub(crate) previous: Option<(String, Position)>,
}

impl Lineage {
    /// The history of a server that was looked at; `None` when it names none.
    pub(crate) fn of(seen: &Observation) -> Option<Self> {
        let named = |name: &&String| !name.is_empty();
        let history = Some(&seen.history).filter(named)?.clone();
        Some(Self { history, previous: seen.previous_history.clone().filter(|(name, _)| !name.is_empty()) })
    }

    /// Whether data that ends at `position` of `history` is a beginning of this one.
    pub(crate) fn continues(&self, history: &str, position: Position) -> bool {
        !history.is_empty()
            && (self.history == history
                || self.previous.as_ref().is_some_and(|(name, until)| name == history && position <= *until))
    }

    /// Whether the data of `seen` belongs to this history: it is at some place in it, or went on from it.
    pub(crate) fn covers(&self, seen: &Observation) -> bool {
        self.continues(&seen.history, seen.position)
            || seen.previous_history.as_ref().is_some_and(|(name, _)| *name == self.history)
    }
}
