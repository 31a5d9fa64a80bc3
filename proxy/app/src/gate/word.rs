//! The sidecar's word: what the gate has heard last, and until when it counts.

use foretoken_token::PublicKeys;
use foretoken_types::{BootInstant, EndpointId, Epoch};

/// What was heard last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    /// The epoch in force; never a lower one than was heard before.
    pub(crate) epoch: Epoch,
    /// Who is the primary in it.
    pub(crate) primary: Option<EndpointId>,
    /// What tokens are verified with.
    pub(crate) keys: PublicKeys,
    /// Nothing passes from here on: counted on the gate's own clock, from the moment it asked.
    pub(crate) until: BootInstant,
}

/// Why a connection may pass no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Another epoch is in force than that of its token.
    Moved,
    /// Nothing was heard of the sidecar for too long.
    Silence,
}

impl Ended {
    /// The label in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "epoch_moved",
            Self::Silence => "silence",
        }
    }
}

impl Word {
    /// Before anything was heard.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Whether it still counts.
    pub(crate) fn counts(&self, now: BootInstant) -> bool {
        now < self.until
    }

    /// Whether bytes of a connection of `epoch` may pass at `now`, in either direction.
    pub(crate) fn lets(&self, epoch: Epoch, now: BootInstant) -> Result<(), Ended> {
        if self.epoch != epoch {
            Err(Ended::Moved)
        } else if self.counts(now) {
            Ok(())
        } else {
            Err(Ended::Silence)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_word_ends_exactly_at_its_time_and_never_covers_another_epoch() {
        let until = BootInstant::from_nanos(1_000_000_000);
        let word = Word { epoch: Epoch(7), until, ..Word::none() };
        let before = until - Duration::from_nanos(1);
        assert_eq!(word.lets(Epoch(7), before), Ok(()));
        assert_eq!(word.lets(Epoch(7), until), Err(Ended::Silence));
        assert_eq!(word.lets(Epoch(6), before), Err(Ended::Moved));
        assert_eq!(word.lets(Epoch(8), before), Err(Ended::Moved));
        assert_eq!(Word::none().lets(Epoch(0), BootInstant::from_nanos(0)), Err(Ended::Silence));
    }
}
