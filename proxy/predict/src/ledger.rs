//! What the model told of this store, and what happened: from that a store gets an offset of its own.
//!
//! The model learned where failures are frequent. A store that fails less often than it tells should hear smaller numbers,
//! and the record of the store is what says so (`Calibration::learned`).

use std::collections::VecDeque;

use crate::calibrate::Calibration;
use crate::contract::{Feature, HORIZONS};
use crate::features::Window;
use crate::risk::Risk;

/// Longest horizon: what was told before that is settled.
const OPEN_MOST: usize = HORIZONS[HORIZONS.len() - 1] as usize;
/// What is kept of the sums in a step: half of them after some three weeks of minutes. Stores change.
const KEEP: f64 = 1.0 - 1.0 / 43_200.0;
/// Shares of requests without a good answer, and milliseconds to the 99th percentile, that clients call a failure. As in
/// `models/train/generate.py`: the model was taught that this is one.
const BAD_SHARE: f32 = 0.05;
const BAD_P99_MS: f32 = 250.0;
const BAD_STEPS: usize = 3;

/// The record of one store.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What was told in the last steps, newest last; `None` where nothing was.
    open: VecDeque<Option<[f32; HORIZONS.len()]>>,
    predicted: [f64; HORIZONS.len()],
    happened: [f64; HORIZONS.len()],
}

impl Ledger {
    /// Another step. `told` is what the model said before any offset; `None` when it said nothing.
    pub fn step(&mut self, told: Option<Risk>) {
        for sums in [&mut self.predicted, &mut self.happened] {
            sums.iter_mut().for_each(|sum| *sum *= KEEP);
        }
        self.open.push_back(told.map(Risk::to_array));
        // What is as old as a horizon now was followed by nothing within it.
        for (place, horizon) in HORIZONS.into_iter().enumerate() {
            let settled = self.open.len().checked_sub(usize::from(horizon) + 1);
            let told = settled.and_then(|at| self.open.get(at).copied().flatten());
            self.predicted[place] += told.map_or(0.0, |told| f64::from(told[place]));
        }
        if self.open.len() > OPEN_MOST {
            self.open.pop_front();
        }
    }

    /// The store has failed: that followed all that is not settled.
    pub fn failed(&mut self) {
        for (ago, told) in self.open.drain(..).rev().enumerate() {
            let Some(told) = told else { continue };
            for (place, _) in
                HORIZONS.into_iter().enumerate().filter(|(_, horizon)| ago < usize::from(*horizon))
            {
                self.predicted[place] += f64::from(told[place]);
                self.happened[place] += 1.0;
            }
        }
    }

    /// The primary was changed: what would have happened will never be known.
    pub fn moved(&mut self) {
        self.open.clear();
    }

    /// The offset that the record justifies. Believed before any record: that the model is right, with the weight of one
    /// failure seen from its whole horizon.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        HORIZONS.into_iter().enumerate().fold(Calibration::default(), |offsets, (place, horizon)| {
            offsets.learned(place, self.predicted[place], self.happened[place], f64::from(horizon))
        })
    }
}

/// Whether clients would say that the store has failed, by its last rows.
#[must_use]
pub fn has_failed(window: &Window) -> bool {
    let bad = |ago: usize| {
        let at = |feature| window.series(feature).find(|(at, _)| *at == ago).map(|(_, value)| value);
        let parts = [Feature::ErrorRatio, Feature::TimeoutRatio, Feature::ConnectFailureRatio];
        let share: f32 = parts.into_iter().filter_map(at).sum();
        share >= BAD_SHARE || at(Feature::LatencyP99).is_some_and(|p99| p99 >= BAD_P99_MS)
    };
    (0..BAD_STEPS).all(bad)
}

#[cfg(test)]
mod tests;
