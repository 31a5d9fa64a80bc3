//! Looking ahead: once in a step rule and model are asked, what they foresee is acted upon, and all of it is recorded.

use std::sync::Arc;
use std::time::Duration;

use foretoken_failover::{Change, ChangeKind, Event, Outcome};
use foretoken_health::Verdict;
use foretoken_predict::Action;
use foretoken_predict::record::{Entry, Word};
use foretoken_types::{BootInstant, EndpointId, StoreState};

use super::Engine;
use crate::control::foresee::{Circumstances, Found, Shown};
use crate::control::judge::Answer;
use crate::control::record;
use crate::control::signal::Signal;

/// For how long a reading stands for the present when it looks ahead: longer than the slowest source takes between two
/// (5 s) with one that failed. What is older is not known.
const KNOWN_FOR: Duration = Duration::from_secs(12);

impl Engine {
    /// Looks ahead once in a step: what is seen goes to rule and model, on a thread of their own.
    pub(super) fn foresee(&mut self) {
        let now = self.clock.now();
        if now < self.foresight.next() {
            return;
        }
        let machine = &self.machine;
        let primary = machine.posture().primary.clone();
        let lags: Vec<_> = self
            .endpoints
            .iter()
            .map(|at| {
                self.tracker
                    .lag(&at.id, now)
                    .and_then(|lag| lag.time)
                    .filter(|_| Some(&at.id) != primary.as_ref())
            })
            .collect();
        // Of a primary, that of its nearest mirror: what a failover would cost.
        let nearest = lags.iter().flatten().min().copied();
        let known = |at: &Option<BootInstant>| at.filter(|at| now.since(*at) <= KNOWN_FOR);
        let shown: Vec<Shown<'_>> = self
            .endpoints
            .iter_mut()
            .zip(lags)
            .map(|(at, lag)| Shown {
                figures: at.detector.window().figures(now),
                capacity: known(&at.capacity_at).map(|read| (&at.capacity, read)),
                host: known(&at.host_at).map(|read| (&at.host, read)),
                lag: if Some(&at.id) == primary.as_ref() { nearest } else { lag },
            })
            .collect();
        let posture = self.machine.posture();
        let down = matches!(posture.state, StoreState::Unavailable | StoreState::FailingOver);
        let Some(question) = self.foresight.look(&shown, primary.as_ref(), down, now) else {
            self.record(None);
            return;
        };
        let (question, clock) = (Arc::new(question), Arc::clone(&self.clock));
        let (theirs, signals) = (Arc::clone(&question), self.signals.clone());
        tokio::spawn(async move {
            let answer = tokio::task::spawn_blocking(move || theirs.answer(&*clock)).await;
            let answer = answer.unwrap_or_else(|_| question.without_model());
            // The engine may have been stopped meanwhile.
            signals.send(Signal::Judged(Box::new(answer))).await.ok();
        });
    }

    /// Tells the machine of a risk, and orders the switchover that would cure it.
    pub(super) fn judged(&mut self, answer: Answer) {
        let ready: Vec<bool> =
            self.endpoints.iter().map(|at| self.machine.why_not_eligible(&at.id).is_none()).collect();
        let (before, model) = (self.foresight.last().cloned(), self.foresight.model());
        let circumstances = Circumstances {
            primary: self.machine.posture().primary.as_ref(),
            ready: &ready,
            switched: self.switched,
            now: self.clock.now(),
            unix_ms: record::unix_ms(),
        };
        let found = self.foresight.hear(answer, &circumstances).cloned();
        self.record(found.as_ref());
        let Some(found) = found else { return };
        let policy = self.foresight.policy();
        let now = self.foresight.model();
        self.metrics.risk(&found.assessment, found.took, found.doubt);
        self.metrics.model(!now.starts_with("off"));
        if model != now && model.starts_with("off") != now.starts_with("off") {
            tracing::warn!(store = %self.params.store, before = %model, %now, "another judges of risks");
        }
        if before.is_none_or(|before| before.differs(&found)) {
            tracing::info!(
                store = %self.params.store,
                risk = found.assessment.risk.map(tracing::field::display),
                rule = found.assessment.rule.map(tracing::field::display),
                model = found.assessment.model.ok().map(tracing::field::display),
                policy = ?policy,
                action = ?found.decision.action,
                would = ?found.decision.would,
                causes = ?found.assessment.causes.iter().map(|cause| &cause.words).collect::<Vec<_>>(),
                why = %found.decision.why,
                "looked ahead"
            );
        }
        self.step(Event::Risk(found.words()));
        if let Action::Switch(to) = found.decision.action {
            self.commands += 1;
            self.step(Event::Switchover { command: self.commands, to: Some(to), dry_run: false });
        }
        self.shown = None;
    }

    /// Records what was measured, foretold and decided in this step, and what ended in it.
    fn record(&mut self, found: Option<&Found>) {
        let change = self.ended.take();
        let Some(recorder) = &self.recorder else { return };
        let (posture, unix_ms) = (self.machine.posture(), record::unix_ms());
        let primary = posture.primary.as_ref();
        let mut lines = String::new();
        for (number, at) in self.endpoints.iter().enumerate() {
            let Some((row, uses)) = self.foresight.measured(number) else { continue };
            let is_primary = Some(&at.id) == primary;
            // Risk is looked for in the primary.
            let found = found.filter(|_| is_primary);
            let word = |of: fn(&Found) -> &'static str| Word::from(found.map_or("", of));
            let entry = Entry {
                unix_ms,
                step: self.foresight.pace(),
                store: self.params.store.clone(),
                endpoint: at.id.clone(),
                role: if is_primary { "primary" } else { "mirror" }.into(),
                state: posture.state.as_str().into(),
                epoch: posture.epoch.0,
                row: row.clone(),
                uses,
                rule: found.and_then(|found| found.assessment.rule),
                model: found.and_then(|found| found.assessment.model.ok()),
                risk: found.and_then(|found| found.assessment.risk),
                raised: found.is_some_and(|found| found.raised.contains(&true)),
                action: word(|found| found.decision.action.as_str()),
                would: word(|found| found.decision.would.as_str()),
                why: word(|found| found.decision.why.as_str()),
                verdict: at.verdict.as_ref().map_or("", verdict_word).into(),
                change: change.as_ref().filter(|(id, _)| *id == at.id).map_or("", |(_, word)| *word).into(),
            };
            entry.write(&mut lines);
        }
        if !lines.is_empty() {
            recorder.step(lines);
        }
    }
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Up => "up",
        Verdict::Suspect { .. } => "suspect",
        Verdict::Down { .. } => "down",
    }
}

/// On whose line of the record a change is told, and as what.
pub(super) fn ended(change: &Change) -> Option<(EndpointId, &'static str)> {
    let word = match (change.kind, change.outcome) {
        (ChangeKind::Switchover, Outcome::Done) => "switchover_done",
        (ChangeKind::Switchover, Outcome::Aborted) => "switchover_aborted",
        (ChangeKind::Switchover, Outcome::Refused) => "switchover_refused",
        (ChangeKind::Failover, Outcome::Done) => "failover_done",
        (ChangeKind::Failover, Outcome::Aborted) => "failover_aborted",
        (ChangeKind::Failover, Outcome::Refused) => "failover_refused",
    };
    let on = if change.outcome == Outcome::Done { &change.to } else { &change.from };
    on.clone().map(|id| (id, word))
}
