//! An order to switch over, from its arrival until it is begun or refused.
//!
//! Right after a change of roles a mirror lacks what comes by itself: the first look since, a link, a measure of its lag. An
//! order waits a moment for that, while the store serves on; it is refused at once for anything else, and a dry run tells how it is
//! now.

use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId};

use crate::effect::{Change, ChangeKind, Effect, Outcome};
use crate::machine::Machine;
use crate::preconditions::Finding;

/// How long an order waits. Redis tries once a second to attach a mirror (`replicationCron`), and looks must show it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An order that waits.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    command: u64,
    to: Option<EndpointId>,
    dry_run: bool,
    /// It is refused then.
    pub(crate) until: BootInstant,
}

impl Machine {
    pub(crate) fn take_in_switchover(&mut self, command: u64, to: Option<EndpointId>, dry_run: bool) {
        let until = self.now + PATIENCE;
        self.judge_order(Asked { command, to, dry_run, until });
    }

    /// Looks again at the order that waits, if there is one.
    pub(crate) fn keep_asked(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.judge_order(asked);
        }
    }

    fn judge_order(&mut self, asked: Asked) {
        let (from, mut findings) = self.check_store();
        let to = asked.to.clone().or_else(|| self.best_target());
        findings.extend(self.check_target(to.as_ref(), from.as_ref()));
        let failed = || findings.iter().filter(|finding| !finding.check.passed);
        let possible = failed().next().is_none();
        let waits = !asked.dry_run && self.now < asked.until;
        if !possible && waits && failed().all(|finding| finding.comes) {
            self.asked = Some(asked);
            return;
        }
        let why: Vec<_> = failed().map(|finding| finding.check.detail.clone()).collect();
        let checks: Vec<_> = findings.into_iter().map(|Finding { check, .. }| check).collect();
        let Asked { command, dry_run, .. } = asked;
        if let (Some(from), Some(to), true, false) = (&from, &to, possible, dry_run) {
            self.begin_planned(command, from.clone(), to.clone(), checks);
            return;
        }
        let (outcome, detail) = if possible {
            (Outcome::Done, "every check passed; nothing was changed".to_owned())
        } else {
            (Outcome::Refused, why.join("; "))
        };
        self.out.push(Effect::Report(Change {
            command: Some(command),
            plan: 0,
            kind: ChangeKind::Switchover,
            from,
            to,
            dry_run,
            outcome,
            checks,
            steps: Vec::new(),
            held_for: None,
            in_doubt: 0,
            epoch: self.posture.epoch,
            detail,
        }));
    }
}
