//! Risk of the place instead of risk of the training set: an offset in log-odds.
//!
//! A model learns from sets in which failures are frequent, because nothing can be learned from sets in which they are not.
//! When only the base rate differs, Bayes' rule moves every log-odds by the same amount (Elkan 2001, theorem 2).

use crate::contract::HORIZONS;
use crate::risk::Risk;

/// Least and greatest probability that is told: odds stay finite.
const EDGE: f64 = 1e-6;
/// Most that a record may move the odds, in log-odds: a factor of a thousand. More speaks of another problem.
const OFFSET_MOST: f64 = 6.9;

/// An offset in log-odds for each horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    offsets: [f64; HORIZONS.len()],
}

impl Calibration {
    /// From the share of steps before a failure where the model learned, and here. Shares that are none (outside of
    /// (0, 1)) change nothing.
    #[must_use]
    pub fn from_base_rates(trained: [f64; HORIZONS.len()], here: [f64; HORIZONS.len()]) -> Self {
        let mut offsets = [0.0; HORIZONS.len()];
        for (offset, (trained, here)) in offsets.iter_mut().zip(trained.into_iter().zip(here)) {
            if [trained, here].iter().all(|rate| *rate > 0.0 && *rate < 1.0) {
                *offset = bounded(log_odds(here) - log_odds(trained));
            }
        }
        Self { offsets }
    }

    /// What a store's own record says of one horizon: `predicted` is the sum of the probabilities told over its steps,
    /// `happened` the number of those steps that a failure followed, and `prior` how many steps before a failure of one's
    /// own belief the record has to outweigh. With no record the offset is zero.
    #[must_use]
    pub fn learned(mut self, horizon: usize, predicted: f64, happened: f64, prior: f64) -> Self {
        let usable = [predicted, happened, prior].iter().all(|v| v.is_finite() && *v >= 0.0) && prior > 0.0;
        if let Some(offset) = self.offsets.get_mut(horizon).filter(|_| usable) {
            *offset = bounded(*offset + ((happened + prior) / (predicted + prior)).ln());
        }
        self
    }

    /// The risk with the offsets applied; it still doesn't fall with the horizon.
    #[must_use]
    pub fn apply(&self, risk: Risk) -> Risk {
        let mut moved = risk.to_array().map(f64::from);
        for (p, offset) in moved.iter_mut().zip(self.offsets) {
            if offset != 0.0 {
                let odds = (log_odds(p.clamp(EDGE, 1.0 - EDGE)) + offset).exp();
                *p = odds / (1.0 + odds);
            }
        }
        Risk::rising(moved)
    }
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn bounded(offset: f64) -> f64 {
    offset.clamp(-OFFSET_MOST, OFFSET_MOST)
}

#[cfg(test)]
mod tests;
