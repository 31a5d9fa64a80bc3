//! What must be so before a planned switchover begins (PROTOCOL 5.2).

use foretoken_types::{Authority, EndpointId, Link, Observation, Persistence, Role};

use crate::Lag;
use crate::effect::Check;
use crate::endpoints::{Endpoint, is_linked};
use crate::machine::{Machine, Phase};

/// A precondition, and what a failed one means.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    /// It is expected to pass by itself in a moment.
    pub(crate) comes: bool,
}

impl Finding {
    fn which_comes(self, comes: bool) -> Self {
        Self { comes, ..self }
    }
}

fn check(name: &'static str, passed: bool, detail: impl Into<String>) -> Finding {
    Finding { check: Check { name, passed, detail: detail.into() }, comes: false }
}

impl Machine {
    /// Preconditions of the store itself, and its primary.
    pub(crate) fn check_store(&self) -> (Option<EndpointId>, Vec<Finding>) {
        let serving = matches!(self.phase, Phase::Serving);
        let serving_words = if serving {
            format!("the store is {}", self.posture.state)
        } else {
            format!("the store is not served: {}", self.reason.as_deref().unwrap_or(self.phase()))
        };
        let owner = match &self.ownership.authority {
            Authority::Owner if self.owns() => check("in charge", true, "the owner record is ours"),
            Authority::Owner if self.is_unrivalled() => {
                check("in charge", true, "nobody can be instead: the primary takes no writes")
            }
            // That the primary takes no writes is told by a look that probes, which comes.
            Authority::Owner => check("in charge", false, "the owner record has not been renewed in time")
                .which_comes(self.ownership.unwritable),
            Authority::Follower(why) => check("in charge", false, format!("not in charge: {why}")),
            Authority::Undecided => check("in charge", false, "nobody is in charge yet"),
        };
        let intended = self.registry.record.as_ref().is_some_and(|record| record.intent.is_some());
        let (alone, alone_words) = if self.is_saving() || intended {
            (false, "another change is being written to the registry")
        } else if self.plan.is_some() {
            (false, "another change of primary is under way")
        } else if self.asked.is_some() {
            (false, "another switchover waits to begin")
        } else {
            (true, "no other change is under way")
        };
        let mut findings = vec![
            check("serving", serving, serving_words),
            owner,
            check("no other change", alone, alone_words),
        ];
        let primary = self.posture.primary.clone();
        if let Some(id) = &primary {
            let well =
                self.endpoint(id).is_some_and(|endpoint| endpoint.is_well()) && self.fresh(id).is_some();
            let words = if well { "answers" } else { "does not answer" };
            findings.push(check("primary", well, format!("{id} {words}")));
            if self.endpoint(id).is_some_and(|endpoint| endpoint.paused.is_some()) {
                let words = format!("{id} has not confirmed yet that it ended its last pause of writes");
                findings.push(check("pause", false, words).which_comes(true));
            }
        }
        (primary, findings)
    }

    /// Preconditions of the mirror `to`.
    pub(crate) fn check_target(&self, to: Option<&EndpointId>, from: Option<&EndpointId>) -> Vec<Finding> {
        let Some(to) = to else {
            return vec![check("mirror", false, "the store has no endpoint but its primary")];
        };
        let Some(endpoint) = self.endpoint(to) else {
            return vec![check("mirror", false, format!("{to} is not configured"))];
        };
        let Some(from) = from else { return Vec::new() };
        if from == to {
            return vec![check("mirror", false, format!("{to} is the primary already"))];
        }
        let Some(found) = self.fresh(to) else {
            let silence = check("mirror", false, format!("{to} {}", endpoint.silence()));
            return vec![silence.which_comes(endpoint.is_unlooked())];
        };
        let mut findings = vec![
            check_link(to, from, found),
            self.check_lag(endpoint),
            self.check_history(found),
            self.check_version(to, from),
            check_persistence(found),
        ];
        if let Some(note) = &endpoint.note {
            findings.push(check("condition", false, note.clone()));
        }
        findings
    }

    fn check_lag(&self, endpoint: &Endpoint) -> Finding {
        let params = &self.params;
        let Lag { bytes: Some(bytes), time: Some(time) } = endpoint.lag else {
            return check("lag", false, "how far it is behind is not known").which_comes(true);
        };
        let near = bytes <= params.lag_bytes_max && time <= params.lag_max;
        let words = format!(
            "{bytes} bytes and {} ms behind (at most {} bytes and {} ms)",
            time.as_millis(),
            params.lag_bytes_max,
            params.lag_max.as_millis()
        );
        check("lag", near, words)
    }

    fn check_history(&self, found: &Observation) -> Finding {
        let same = self.identity.as_ref().is_some_and(|identity| identity.history == found.history);
        let words = match &found.role {
            _ if same => "its data is of the primary's history",
            Role::Mirror { link: Link::Down | Link::Synchronizing, .. } if self.is_being_copied(found) => {
                "it is being copied: its data is not of the primary's history yet"
            }
            _ => "its data is of another history",
        };
        check("history", same, words).which_comes(is_mirror(found))
    }

    fn check_version(&self, to: &EndpointId, from: &EndpointId) -> Finding {
        let version =
            |id: &EndpointId| self.endpoint(id).map(|endpoint| endpoint.version.clone()).unwrap_or_default();
        let dotted = |version: &[u64]| version.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let (ours, theirs) = (version(to), version(from));
        let words = format!("mirror {}, primary {}", dotted(&ours), dotted(&theirs));
        check("version", !ours.is_empty() && ours >= theirs, words)
    }

    /// The mirror that passes most, then the one whose data goes furthest. What a mirror lacks for a moment only counts less.
    pub(crate) fn best_target(&self) -> Option<EndpointId> {
        let from = self.posture.primary.as_ref();
        let rank = |id: &EndpointId| {
            let findings = self.check_target(Some(id), from);
            let failed = || findings.iter().filter(|finding| !finding.check.passed);
            let position = self.fresh(id).map(|found| found.position).unwrap_or_default();
            // A missing look fails one check only, but is the worst of all.
            let blind = self.fresh(id).is_none();
            let unfit = failed().any(|finding| !finding.comes);
            (unfit, blind, failed().count(), std::cmp::Reverse(position))
        };
        let others = self.endpoints.iter().map(|endpoint| &endpoint.id).filter(|id| Some(*id) != from);
        others.min_by_key(|id| rank(id)).cloned()
    }
}

/// One that copies somebody else is soon pointed here, unless something is noted against it; what has just been is soon linked.
const fn is_mirror(found: &Observation) -> bool {
    matches!(found.role, Role::Mirror { .. })
}

fn check_link(to: &EndpointId, from: &EndpointId, found: &Observation) -> Finding {
    let linked = is_linked(found, from);
    let words = match &found.role {
        _ if linked => format!("{to} copies {from}, link up"),
        Role::Mirror { of: Some(of), link: Link::Synchronizing } if of == from => {
            format!("{to} is being copied from {from}: it has no whole copy yet")
        }
        _ => format!("{to} does not copy {from} over a live link"),
    };
    check("mirror", linked, words).which_comes(is_mirror(found))
}

fn check_persistence(found: &Observation) -> Finding {
    let keeps = found.persistence != Persistence::None;
    let words = if keeps { "it keeps its data over a restart" } else { "it keeps nothing over a restart" };
    check("persistence", keeps, words)
}

#[cfg(test)]
mod tests;
