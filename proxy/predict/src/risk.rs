//! How likely a store is to run out of something, and why.

use std::fmt;

use crate::calibrate::Calibration;
use crate::contract::{Feature, HORIZONS};
use crate::features::Window;
use crate::headroom::{Resource, Standing, standings};

/// Causes that are told, at most: the fourth has never changed what anybody did.
const CAUSES_MOST: usize = 3;
/// Least risk that a cause must bring to be told.
const CAUSE_LEAST: f32 = 0.05;
/// Least risk of the model that is worth explaining.
const EXPLAIN_LEAST: f32 = 0.1;
/// Where headroom would be if nothing were wrong with it: so that a level that has been high all along is a cause, too.
const CALM_SHARE: f32 = 0.5;

/// Probability that the store fails by exhaustion within 5, 15 and 30 steps: each in `[0, 1]`, not falling with the horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk([f32; HORIZONS.len()]);

/// Why a model says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// There is none.
    NoModel,
    /// Nothing has been measured.
    NoData,
    /// Its answer is no probability.
    NotFinite,
    /// Its answer has another shape than the contract says.
    Shape,
    /// It could not be run.
    Inference,
}

impl Unknown {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoModel => "no_model",
            Self::NoData => "no_data",
            Self::NotFinite => "not_finite",
            Self::Shape => "shape",
            Self::Inference => "inference",
        }
    }
}

/// Something that turns a window into a risk.
pub trait Predictor {
    /// The risk of the window, or why there is none.
    ///
    /// # Errors
    /// [`Unknown`] is an answer, and never a reason to stop: the rule decides then.
    fn risk(&self, window: &Window) -> Result<Risk, Unknown>;
}

/// What helps against a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cure {
    /// Another endpoint, if that one has room: the cause stays behind.
    Move,
    /// Nothing that we can do helps, but what is acknowledged can be made safe: the cause is the same at a mirror.
    Durability,
    /// People must look: the cause moves along with the load.
    Alert,
}

/// What a cause is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A resource that runs out.
    Resource(Resource),
    /// Something else that the model sees.
    Feature(Feature),
}

/// One reason for a risk.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// What it is about.
    pub subject: Subject,
    /// Risk that it brings within the longest horizon: by the rule, or by how much lower the model's would be without it.
    pub risk: f32,
    /// What may help.
    pub cure: Cure,
    /// In words, with figures.
    pub words: String,
}

/// The risk of one endpoint at one step, from rule and model.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The greater of the two; `None` when neither knows anything.
    pub risk: Option<Risk>,
    /// What the rule says; `None` when no resource can be seen.
    pub rule: Option<Risk>,
    /// What the model says, calibrated.
    pub model: Result<Risk, Unknown>,
    /// The main causes, greatest first.
    pub causes: Vec<Cause>,
}

impl Risk {
    /// Takes what a model says: three probabilities. `None` when one isn't.
    #[must_use]
    pub fn new(values: [f32; HORIZONS.len()]) -> Option<Self> {
        let probabilities = values.iter().all(|p| (0.0..=1.0).contains(p));
        probabilities.then(|| Self::rising(values.map(f64::from)))
    }

    /// Makes a risk of computed values: into `[0, 1]`, and no horizon below a shorter one. NaN counts as zero.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a probability in single precision")]
    pub fn rising(values: [f64; HORIZONS.len()]) -> Self {
        let mut most = 0.0_f64;
        Self(values.map(|p| {
            // `max` and `min` take the other one for NaN.
            most = most.max(p).min(1.0);
            most as f32
        }))
    }

    /// The probabilities, shortest horizon first.
    #[must_use]
    pub const fn to_array(self) -> [f32; HORIZONS.len()] {
        self.0
    }

    /// Within the longest horizon.
    #[must_use]
    pub const fn longest(self) -> f32 {
        self.0[HORIZONS.len() - 1]
    }

    /// The greater of two, for each horizon.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let mut most = self.0;
        for (most, other) in most.iter_mut().zip(other.0) {
            *most = most.max(other);
        }
        Self(most)
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (p, horizon)) in self.0.iter().zip(HORIZONS).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{:.0} % in {horizon} steps", p * 100.0)?;
        }
        Ok(())
    }
}

impl Subject {
    /// A name for labels and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource(resource) => resource.as_str(),
            Self::Feature(feature) => feature.spec().name,
        }
    }

    fn of(feature: Feature) -> Self {
        feature.spec().resource.map_or(Self::Feature(feature), |(resource, _)| Self::Resource(resource))
    }

    /// The resource that it is about, or is a sign of.
    pub(crate) const fn draws_on(self) -> Option<Resource> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Feature(Feature::CpuThrottledRatio) => Some(Resource::Cpu),
            Self::Feature(Feature::MemoryPressureRatio) => Some(Resource::HostMemory),
            Self::Feature(Feature::RejectedRate) => Some(Resource::Connections),
            Self::Feature(Feature::DiskPending | Feature::IoPressureRatio) => Some(Resource::Disk),
            Self::Feature(_) => None,
        }
    }

    /// What helps in principle. Whether a move helps here and now depends on the mirror: that is the policy's to say.
    const fn cure(self) -> Cure {
        match self {
            Self::Resource(_)
            | Self::Feature(
                Feature::CpuRatio
                | Feature::CpuThrottledRatio
                | Feature::MemoryRatio
                | Feature::HostMemoryRatio
                | Feature::MemoryPressureRatio
                | Feature::ConnectionsRatio
                | Feature::RejectedRate
                | Feature::DiskRatio
                | Feature::DiskPending
                | Feature::IoPressureRatio,
            ) => Cure::Move,
            // Which data is there, and what it means, is the same at each mirror.
            Self::Feature(Feature::MemoryEvicts | Feature::EvictionRate | Feature::ReplicationLag) => {
                Cure::Durability
            }
            // Load and slow commands go where the clients go.
            Self::Feature(
                Feature::RequestRate
                | Feature::ErrorRatio
                | Feature::TimeoutRatio
                | Feature::ConnectFailureRatio
                | Feature::LatencyP50
                | Feature::LatencyP99
                | Feature::InFlight,
            ) => Cure::Alert,
        }
    }
}

/// Weighs a window by rule and model, and says why.
///
/// The greater of the two counts: the rule sees what the model was never shown, and the model sees what no single resource
/// tells. Costs one inference, and one for each known feature when there is something to explain.
#[must_use]
pub fn assess(window: &Window, model: Option<&dyn Predictor>, calibration: &Calibration) -> Assessment {
    weigh(window, &standings(window), model, calibration)
}

/// The same by the model alone: to see what the model is worth without the rule.
#[must_use]
pub fn assess_by_model(
    window: &Window,
    model: Option<&dyn Predictor>,
    calibration: &Calibration,
) -> Assessment {
    weigh(window, &[], model, calibration)
}

fn weigh(
    window: &Window,
    standings: &[Standing],
    model: Option<&dyn Predictor>,
    calibration: &Calibration,
) -> Assessment {
    let rule = standings.iter().map(|standing| Risk::rising(standing.risk())).reduce(Risk::max);
    let raw = model.map_or(Err(Unknown::NoModel), |model| model.risk(window));
    let known = raw.map(|risk| calibration.apply(risk));
    let risk = match (rule, known) {
        (Some(rule), Ok(model)) => Some(rule.max(model)),
        (rule, model) => rule.or(model.ok()),
    };
    let mut causes: Vec<Cause> = standings.iter().map(by_rule).collect();
    if let (Some(model), Ok(raw)) = (model, raw)
        && known.is_ok_and(|known| known.longest() >= EXPLAIN_LEAST)
    {
        for cause in by_model(window, model, raw, calibration) {
            match causes.iter_mut().find(|other| other.subject == cause.subject) {
                Some(other) => other.risk = other.risk.max(cause.risk),
                None => causes.push(cause),
            }
        }
    }
    causes.retain(|cause| cause.risk >= CAUSE_LEAST);
    causes.sort_by(|a, b| b.risk.total_cmp(&a.risk));
    causes.truncate(CAUSES_MOST);
    Assessment { risk, rule, model: known, causes }
}

fn by_rule(standing: &Standing) -> Cause {
    let subject = Subject::Resource(standing.resource);
    let share = standing.used / standing.limit * 100.0;
    let rise = standing.per_step() / standing.limit * 100.0;
    let words = match standing.steps_left() {
        Some(left) if standing.used < standing.limit => format!(
            "{} at {share:.0} % of the limit, {rise:+.2} points a step: full in {left:.0} steps",
            standing.resource
        ),
        _ => format!("{} at {share:.0} % of the limit", standing.resource),
    };
    Cause { subject, risk: Risk::rising(standing.risk()).longest(), cure: subject.cure(), words }
}

/// What the risk would be if each feature in turn had stayed where it was lowest.
fn by_model(window: &Window, model: &dyn Predictor, raw: Risk, calibration: &Calibration) -> Vec<Cause> {
    let told = calibration.apply(raw).longest();
    let mut causes = Vec::new();
    for feature in Feature::ALL {
        let Some(now) = window.last(feature, usize::MAX) else { continue };
        let lowest = window.series(feature).map(|(_, value)| value).fold(f32::INFINITY, f32::min);
        let calm = match feature.spec().resource {
            Some((_, limit)) => lowest.min(CALM_SHARE * limit),
            None => lowest,
        };
        let Ok(without) = model.risk(&window.with_constant(feature, calm)) else { continue };
        let without = calibration.apply(without).longest();
        let subject = Subject::of(feature);
        causes.push(Cause {
            subject,
            risk: told - without,
            cure: subject.cure(),
            words: format!(
                "{} at {now:.3} {}: at {calm:.3} the risk would be {:.0} %",
                feature.spec().name,
                feature.spec().unit,
                without * 100.0
            ),
        });
    }
    causes
}

#[cfg(test)]
mod tests;
