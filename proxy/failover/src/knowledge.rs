//! What the machine remembers between two events.

use std::collections::VecDeque;

use foretoken_types::{BootInstant, EndpointId, Observation, Operation, Position};

use crate::effect::{Loss, Order};
use crate::record::Record;

/// What is known of the registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Whether it was read.
    pub(crate) loaded: bool,
    /// What it holds.
    pub(crate) record: Option<Record>,
    /// What is being saved.
    pub(crate) saving: Option<(Operation, Record)>,
    /// No save before that: the last one failed.
    pub(crate) retry_at: BootInstant,
    /// Why it failed.
    pub(crate) trouble: Option<String>,
}

/// Names that change when a server's data may have changed behind our back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) run_id: String,
    pub(crate) history: String,
}

impl Identity {
    pub(crate) fn of(found: &Observation) -> Self {
        Self { run_id: found.run_id.clone(), history: found.history.clone() }
    }

    /// Whether `found` is the same server with the same data. Redis takes a new history id, and forgets the one before, when
    /// its first mirror attaches and it makes its backlog (`replication.c`, `syncCommand`): nothing was lost by that as
    /// long as the process is the same.
    pub(crate) fn continues_in(&self, found: &Observation) -> bool {
        self.run_id == found.run_id && (self.history == found.history || found.previous_history.is_none())
    }
}

/// The last positions of a primary, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Positions(VecDeque<(BootInstant, Position)>);

impl Positions {
    /// A minute of looks, by default.
    const MOST: usize = 256;

    pub(crate) fn note(&mut self, asked: BootInstant, position: Position) {
        if self.0.back().is_none_or(|(last, _)| *last < asked) {
            self.0.push_back((asked, position));
            if self.0.len() > Self::MOST {
                self.0.pop_front();
            }
        }
    }

    /// What is lost by going on from `position`; `None` when this process never saw the primary.
    pub(crate) fn loss(&self, position: Position) -> Option<Loss> {
        let (_, last) = self.0.back()?;
        let kept = self.0.iter().rev().find(|(_, seen)| *seen <= position);
        let at_least = position.lag_behind(*last);
        Some(Loss::Bounded { at_least, kept_until: kept.map(|(asked, _)| *asked) })
    }
}

/// An order that was not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) endpoint: EndpointId,
    pub(crate) order: Order,
    pub(crate) at: BootInstant,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn the_loss_is_bounded_by_what_was_seen_and_when() {
        let mut positions = Positions::default();
        assert_eq!(positions.loss(Position(5)), None, "nothing was seen");
        for (asked, position) in [(1, 10), (2, 20), (3, 30)] {
            positions.note(at(asked), Position(position));
        }
        // Another look of the same moment, and one from before.
        positions.note(at(3), Position(99));
        positions.note(at(2), Position(99));
        let loss = |position: u64, at_least: u64, kept_until: Option<u64>| {
            let kept_until = kept_until.map(at);
            assert_eq!(positions.loss(Position(position)), Some(Loss::Bounded { at_least, kept_until }));
        };
        loss(30, 0, Some(3));
        loss(29, 1, Some(2));
        loss(20, 10, Some(2));
        loss(9, 21, None);
    }

    #[test]
    fn only_so_many_positions_are_kept() {
        let mut positions = Positions::default();
        for second in 1..=Positions::MOST as u64 {
            positions.note(at(second), Position(second));
        }
        assert_eq!(positions.0.len(), Positions::MOST);
        positions.note(at(1000), Position(1000));
        assert_eq!(positions.0.len(), Positions::MOST);
        assert_eq!(positions.0.front(), Some(&(at(2), Position(2))), "the oldest goes");
    }
}
