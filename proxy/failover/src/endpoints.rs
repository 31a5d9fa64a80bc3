//! What is known of each endpoint.

use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Failure, InstanceId, Link, Observation, Role};

use crate::{Lag, Verdict};

/// The last successful look.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) found: Observation,
    pub(crate) asked: BootInstant,
    pub(crate) probed: bool,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) look: Option<Look>,
    /// Since when every look has found the same owner record, and whose.
    pub(crate) owned: Option<(InstanceId, BootInstant)>,
    /// When the last attempt to look began, be it a success or not.
    pub(crate) tried: Option<BootInstant>,
    /// Why the last attempt failed.
    pub(crate) failed: Option<Failure>,
    pub(crate) verdict: Verdict,
    pub(crate) why: String,
    pub(crate) version: Vec<u64>,
    /// When it was found to hold no data.
    pub(crate) empty_at: Option<BootInstant>,
    pub(crate) blockers: Vec<String>,
    pub(crate) lag: Lag,
    /// When its role was last changed by us: looks that began before tell nothing.
    pub(crate) changed: Option<BootInstant>,
    /// When it was last told to let writes wait, or that they go on, as long as it has not answered that.
    pub(crate) paused: Option<Paused>,
    /// Repairs wait until then.
    pub(crate) repair_at: BootInstant,
    /// Why it is left as it is, though it should be a mirror of the primary.
    pub(crate) note: Option<String>,
}

/// An endpoint was told to let writes wait, or to let them go on, and has not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    pub(crate) told: BootInstant,
    /// Since when it answers looks again.
    pub(crate) answers: Option<BootInstant>,
}

impl Endpoint {
    pub(crate) fn new(id: EndpointId) -> Self {
        Self {
            id,
            look: None,
            owned: None,
            tried: None,
            failed: None,
            verdict: Verdict::Unknown,
            why: String::new(),
            version: Vec::new(),
            empty_at: None,
            blockers: Vec::new(),
            lag: Lag::default(),
            changed: None,
            paused: None,
            repair_at: BootInstant::default(),
            note: None,
        }
    }

    /// Takes over what a look brought. An older one than the last, or one that may have missed a change, is dropped.
    pub(crate) fn learn(&mut self, asked: BootInstant, probed: bool, found: Result<Observation, Failure>) {
        if self.changed.is_some_and(|changed| asked < changed)
            || self.tried.is_some_and(|tried| asked < tried)
        {
            return;
        }
        self.tried = Some(asked);
        if self.look.is_some() && matches!(found, Err(Failure::OpenFiles)) {
            // It was not asked at all: what was seen last stands, and grows old.
            return;
        }
        let owner = found.as_ref().ok().and_then(|found| found.owner.as_ref()).map(|owner| &owner.instance);
        if owner != self.owned.as_ref().map(|(owner, _)| owner) {
            self.owned = owner.map(|owner| (owner.clone(), asked));
        }
        match found {
            Ok(found) => {
                self.failed = None;
                self.look = Some(Look { found, asked, probed });
            }
            Err(failure) => self.failed = Some(failure),
        }
    }

    /// Its role was changed: what was known of it is the past.
    pub(crate) fn forget(&mut self, now: BootInstant) {
        self.changed = Some(now);
        self.look = None;
        self.owned = None;
        self.tried = None;
    }

    /// What it is now, as far as a recent look can tell.
    pub(crate) fn fresh(&self, now: BootInstant, within: Duration) -> Option<&Observation> {
        let look = self.look.as_ref()?;
        (self.failed.is_none() && now.since(look.asked) <= within).then_some(&look.found)
    }

    /// Why [`Endpoint::fresh`] shows nothing.
    pub(crate) const fn silence(&self) -> &'static str {
        match (self.failed, self.tried) {
            (Some(Failure::Credentials), _) => "does not let the sidecar look: credentials or a permission",
            (Some(Failure::OpenFiles), _) => "can't be looked at: too many files are open here",
            (None, None) => "was not looked at yet",
            _ => "does not answer",
        }
    }

    /// Whether it was not looked at since its role was changed, or ever.
    pub(crate) const fn is_unlooked(&self) -> bool {
        self.tried.is_none() && self.failed.is_none()
    }

    /// What a look that began at `since` or later found.
    pub(crate) fn seen_since(&self, since: BootInstant) -> Option<&Observation> {
        let look = self.look.as_ref()?;
        (self.failed.is_none() && look.asked >= since).then_some(&look.found)
    }

    /// Whether it has been asked since, answered or not.
    pub(crate) fn tried_since(&self, since: BootInstant) -> bool {
        self.tried.is_some_and(|tried| tried >= since)
    }

    /// Whether nothing speaks against its health.
    pub(crate) const fn is_well(&self) -> bool {
        matches!(self.verdict, Verdict::Up | Verdict::Unknown)
    }
}

pub(crate) fn is_primary(found: &Observation) -> bool {
    found.role == Role::Primary
}

/// Whether `found` is a mirror of `of` with its link up.
pub(crate) fn is_linked(found: &Observation, of: &EndpointId) -> bool {
    matches!(&found.role, Role::Mirror { of: Some(copied), link: Link::Up { .. } } if copied == of)
}

/// Whether `found` is a mirror whose data is whole.
pub(crate) fn is_whole_mirror(found: &Observation) -> bool {
    !found.loading && matches!(&found.role, Role::Mirror { link, .. } if *link != Link::Synchronizing)
}

#[cfg(test)]
mod tests;
