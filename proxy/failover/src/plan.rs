//! The account of a change of primary, from its first step to the report.

use foretoken_types::{BootInstant, EndpointId};

use crate::effect::{Change, ChangeKind, Check, Effect, Outcome, Step};
use crate::machine::Machine;

/// A change of primary, for the report about it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) command: Option<u64>,
    pub(crate) kind: ChangeKind,
    pub(crate) from: Option<EndpointId>,
    pub(crate) to: Option<EndpointId>,
    pub(crate) dry_run: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) steps: Vec<Step>,
    pub(crate) last_step: BootInstant,
    pub(crate) held_since: Option<BootInstant>,
    pub(crate) in_doubt: u64,
}

impl Machine {
    pub(crate) fn begin_plan(
        &mut self,
        kind: ChangeKind,
        command: Option<u64>,
        from: Option<EndpointId>,
        to: Option<EndpointId>,
    ) {
        self.plans = self.plans.saturating_add(1);
        self.plan = Some(Plan {
            number: self.plans,
            command,
            kind,
            from,
            to,
            dry_run: false,
            checks: Vec::new(),
            steps: Vec::new(),
            last_step: self.now,
            held_since: self.held_since,
            in_doubt: 0,
        });
    }

    /// Notes that `name` has ended, and how long it took.
    pub(crate) fn step_done(&mut self, name: &'static str) {
        let now = self.now;
        if let Some(plan) = &mut self.plan {
            plan.steps.push(Step { name, took: now.since(plan.last_step) });
            plan.last_step = now;
        }
    }

    /// Tells how the change ended.
    pub(crate) fn end_plan(&mut self, outcome: Outcome, detail: impl Into<String>) {
        let Some(plan) = self.plan.take() else { return };
        let held_for = plan.held_since.map(|since| self.now.since(since));
        self.out.push(Effect::Report(Change {
            command: plan.command,
            plan: plan.number,
            kind: plan.kind,
            from: plan.from,
            to: plan.to,
            dry_run: plan.dry_run,
            outcome,
            checks: plan.checks,
            steps: plan.steps,
            held_for,
            in_doubt: plan.in_doubt,
            epoch: self.posture.epoch,
            detail: detail.into(),
        }));
    }

    /// A plan that did not get as far as changing anything ends.
    pub(crate) fn give_up_plan(&mut self, why: &str) {
        self.end_plan(Outcome::Aborted, why);
    }
}
