//! Whether the model is asked: one that errs, talks nonsense or takes its time is left alone for a while.
//!
//! A single bad answer costs nothing, the rule decides in that step. Several in a row speak of the model and not of the
//! moment: then it is off, which is said, and tried again later.

use std::fmt;
use std::time::Duration;

use crate::risk::{Risk, Unknown};

/// Bad answers in a row after which the model is off. One may be a busy machine.
pub(crate) const BAD_MOST: u32 = 3;
/// Longest time of one inference. Ours takes some 0.1 ms; at this bound an explanation still fits into the shortest step.
pub(crate) const SLOW: Duration = Duration::from_millis(25);
/// Steps for which it stays off: after a window, what it can't read has gone by.
pub(crate) const REST: u32 = 60;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// There was none.
    Silent(Unknown),
    /// It came late.
    Slow(Duration),
    /// It has not come by the next step.
    Absent,
}

impl Doubt {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent(unknown) => unknown.as_str(),
            Self::Slow(_) => "slow",
            Self::Absent => "absent",
        }
    }

    /// What to hold against an answer that took so long.
    #[must_use]
    pub fn of(answer: Result<Risk, Unknown>, took: Duration) -> Option<Self> {
        match answer {
            // Neither says anything of the model.
            Err(Unknown::NoModel | Unknown::NoData) => None,
            Err(unknown) => Some(Self::Silent(unknown)),
            Ok(_) => (took > SLOW).then_some(Self::Slow(took)),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(Unknown::NotFinite) => f.write_str("its answer is no probability"),
            Self::Silent(Unknown::Shape) => {
                f.write_str("its answer has another shape than the contract says")
            }
            Self::Silent(_) => f.write_str("it could not be run"),
            Self::Slow(took) => {
                write!(f, "an inference took {} ms, and may take {}", took.as_millis(), SLOW.as_millis())
            }
            Self::Absent => f.write_str("an inference has not ended by the next step"),
        }
    }
}

/// What is thought of the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    bad: u32,
    off: Option<(Doubt, u32)>,
}

impl Trust {
    /// Whether to ask it in this step.
    pub fn asks(&mut self) -> bool {
        match &mut self.off {
            None => true,
            Some((_, 0)) => true,
            Some((_, rest)) => {
                *rest -= 1;
                false
            }
        }
    }

    /// Takes what was held against its answer, and says whether it was turned on or off by that.
    pub fn heard(&mut self, doubt: Option<Doubt>) -> bool {
        let was_off = self.off.is_some();
        match doubt {
            None => *self = Self::default(),
            Some(doubt) => {
                self.bad = self.bad.saturating_add(1);
                if self.bad >= BAD_MOST {
                    self.off = Some((doubt, REST));
                }
            }
        }
        was_off != self.off.is_some()
    }

    /// Why it is off, if it is.
    #[must_use]
    pub fn off(&self) -> Option<Doubt> {
        self.off.map(|(doubt, _)| doubt)
    }
}

#[cfg(test)]
mod tests;
