//! One question to rule and model, answered on a thread where it may take its time.
//!
//! The control loop renews leases: it never waits for a model.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use foretoken_predict::{
    Assessment, Calibration, Model, Predictor, Risk, Unknown, Window, assess, assess_by_model,
};
use foretoken_types::{Clock, EndpointId};

/// What is asked.
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) primary: EndpointId,
    pub(super) window: Window,
    /// Whether the rule judges.
    pub(super) rule: bool,
    /// The model, if it judges.
    pub(super) model: Option<Arc<Model>>,
    pub(super) calibration: Calibration,
    /// The store has failed already: what is told now foretells nothing.
    pub(super) failed: bool,
}

/// What is answered.
pub(super) struct Answer {
    pub(super) number: u64,
    pub(super) primary: EndpointId,
    pub(super) assessment: Assessment,
    /// What the model said before any offset, and what its inference took; `None`: it was not asked.
    pub(super) heard: Option<(Result<Risk, Unknown>, Duration)>,
    pub(super) failed: bool,
}

impl Question {
    /// Answers it. Takes tenths of milliseconds with our model, and as long as it likes with another.
    pub(super) fn answer(&self, clock: &dyn Clock) -> Answer {
        let timed = self.model.as_ref().map(|model| Timed { model, clock, first: Cell::new(None) });
        let model = timed.as_ref().map(|timed| timed as &dyn Predictor);
        let weigh = if self.rule { assess } else { assess_by_model };
        let assessment = weigh(&self.window, model, &self.calibration);
        self.with(assessment, timed.and_then(|timed| timed.first.get()))
    }

    /// The answer without a model that broke off.
    pub(super) fn without_model(&self) -> Answer {
        let weigh = if self.rule { assess } else { assess_by_model };
        self.with(
            weigh(&self.window, None, &self.calibration),
            Some((Err(Unknown::Inference), Duration::ZERO)),
        )
    }

    fn with(&self, assessment: Assessment, heard: Option<(Result<Risk, Unknown>, Duration)>) -> Answer {
        Answer { number: self.number, primary: self.primary.clone(), assessment, heard, failed: self.failed }
    }
}

/// A model of which the first answer is timed. The further ones explain it, and are the same work.
struct Timed<'a> {
    model: &'a Model,
    clock: &'a dyn Clock,
    first: Cell<Option<(Result<Risk, Unknown>, Duration)>>,
}

impl Predictor for Timed<'_> {
    fn risk(&self, window: &Window) -> Result<Risk, Unknown> {
        let began = self.clock.now();
        let answer = self.model.risk(window);
        if self.first.get().is_none() {
            self.first.set(Some((answer, self.clock.now().since(began))));
        }
        answer
    }
}
