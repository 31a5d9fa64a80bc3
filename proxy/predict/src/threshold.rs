//! When a risk becomes an alarm, and when it ceases to be one.

use std::time::Duration;

use foretoken_types::BootInstant;
use serde::Deserialize;

use crate::contract::HORIZONS;
use crate::risk::Risk;

/// An alarm ends below this share of the level at which it began: a risk that hovers at the level is one alarm, not fifty.
pub(crate) const LEAVE_SHARE: f32 = 0.6;
/// For how many steps in a row nothing may be known before an alarm ends: what we don't know must not hold a store in
/// readiness for ever.
pub(crate) const UNKNOWN_MOST: u32 = 15;
/// The levels that come with the embedded model.
const EMBEDDED: &str = include_str!("../../../models/risk/thresholds.toml");

/// Levels at which alarms begin, per horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    enter: [f32; HORIZONS.len()],
}

/// `models/risk/thresholds.toml`.
#[derive(Deserialize)]
struct File {
    blend: Levels,
    rule: Levels,
}

#[derive(Deserialize)]
struct Levels {
    enter: [f32; HORIZONS.len()],
}

/// Why levels were refused.
#[derive(Debug, thiserror::Error)]
pub enum BadThresholds {
    /// It is no TOML, or not in the shape of `models/risk/thresholds.toml`.
    #[error("the file of thresholds can't be read")]
    Malformed(#[from] toml::de::Error),
    /// A level at which everything or nothing is an alarm.
    #[error("a threshold must be above 0 and below 1 (it is {0})")]
    Level(f32),
}

impl Thresholds {
    /// The same level for each horizon, in percent; what is no level is moved to the nearest one.
    #[must_use]
    pub fn same(percent: u8) -> Self {
        Self { enter: [f32::from(percent.clamp(1, 99)) / 100.0; HORIZONS.len()] }
    }

    /// Takes levels in (0, 1).
    ///
    /// # Errors
    /// [`BadThresholds::Level`] for a level outside of that.
    pub fn new(enter: [f32; HORIZONS.len()]) -> Result<Self, BadThresholds> {
        match enter.into_iter().find(|level| !(*level > 0.0 && *level < 1.0)) {
            Some(level) => Err(BadThresholds::Level(level)),
            None => Ok(Self { enter }),
        }
    }

    /// The levels that were chosen for the embedded model, on data that it was neither trained nor scored on: those for rule
    /// and model together, or those for the rule alone.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn embedded(with_model: bool) -> Result<Self, BadThresholds> {
        Self::parse(EMBEDDED, with_model)
    }

    /// Levels in the shape of `models/risk/thresholds.toml`.
    ///
    /// # Errors
    /// When it has another shape, or levels that can't be.
    pub fn parse(text: &str, with_model: bool) -> Result<Self, BadThresholds> {
        let file: File = toml::from_str(text)?;
        Self::new(if with_model { file.blend.enter } else { file.rule.enter })
    }

    /// The levels.
    #[must_use]
    pub const fn enter(&self) -> [f32; HORIZONS.len()] {
        self.enter
    }
}

/// The alarms of one endpoint: one for each horizon, with a memory.
#[derive(Clone, Debug)]
pub struct Alarms {
    thresholds: Thresholds,
    cool_down: Duration,
    raised: [bool; HORIZONS.len()],
    left: [Option<BootInstant>; HORIZONS.len()],
    unknown: u32,
}

impl Alarms {
    /// No alarm yet. `cool_down` is for how long after its end an alarm of the same horizon doesn't begin again, unless the
    /// risk is beyond doubt: as far above the level as half the way to certainty.
    #[must_use]
    pub const fn new(thresholds: Thresholds, cool_down: Duration) -> Self {
        Self {
            thresholds,
            cool_down,
            raised: [false; HORIZONS.len()],
            left: [None; HORIZONS.len()],
            unknown: 0,
        }
    }

    /// Takes other settings. Alarms that stand stay, and end by the new levels.
    pub const fn configure(&mut self, thresholds: Thresholds, cool_down: Duration) {
        self.thresholds = thresholds;
        self.cool_down = cool_down;
    }

    /// The levels in use.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Takes the risk of this step, `None` when it is unknown, and says which horizons are alarmed now.
    pub fn step(&mut self, risk: Option<Risk>, now: BootInstant) -> [bool; HORIZONS.len()] {
        let Some(risk) = risk else {
            self.unknown = self.unknown.saturating_add(1);
            if self.unknown > UNKNOWN_MOST {
                for place in 0..HORIZONS.len() {
                    self.leave(place, now);
                }
            }
            return self.raised;
        };
        self.unknown = 0;
        for (place, (p, enter)) in risk.to_array().into_iter().zip(self.thresholds.enter).enumerate() {
            if self.raised[place] {
                if p < LEAVE_SHARE * enter {
                    self.leave(place, now);
                }
            } else if p >= enter {
                let cool = self.left[place].is_none_or(|left| now.since(left) >= self.cool_down);
                self.raised[place] = cool || p >= f32::midpoint(enter, 1.0);
            }
        }
        self.raised
    }

    /// Which horizons are alarmed.
    #[must_use]
    pub const fn raised(&self) -> [bool; HORIZONS.len()] {
        self.raised
    }

    fn leave(&mut self, place: usize, now: BootInstant) {
        if std::mem::take(&mut self.raised[place]) {
            self.left[place] = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
