//! Roles that others move: Sentinel, a provider or an operator in a store that this sidecar does not manage (PROTOCOL 5.5).
//!
//! Who promotes a mirror need not have demoted the primary by then: Sentinel does so some ten seconds later (`sentinel.c`, the
//! convert-to-slave rule of `sentinelRefreshInstanceInfo`), and an operator may forget it. What the old primary is still
//! sent is lost, so such a promotion is news although the primary that is served seems to be as it was.

use std::time::Duration;

use foretoken_types::{EndpointId, Observation, Role};

use crate::endpoints::is_primary;
use crate::machine::Machine;

/// For how long two primaries of the same data are waited out, when the mirrors stay with the old one: whoever means the new
/// one to be the primary points the others to it by then. Sentinel looks at its servers once a second.
pub(crate) const CONTEST: Duration = Duration::from_secs(3);

/// A mirror of the primary that somebody has promoted, while that is a primary still.
pub(crate) struct Rival {
    pub(crate) id: EndpointId,
    pub(crate) found: Observation,
    /// How many mirrors copy it.
    copies: usize,
    /// How many mirrors copy the primary.
    copies_of_primary: usize,
}

impl Rival {
    /// Whether the others go by it: then the role has moved.
    pub(crate) const fn has_taken_over(&self) -> bool {
        self.copies > 0 && self.copies_of_primary == 0
    }

    /// Whether the others stay with the primary: then one mirror less is all that there is to it, in the end.
    pub(crate) const fn stands_alone(&self) -> bool {
        self.copies == 0 && self.copies_of_primary > 0
    }

    fn words(&self, primary: &EndpointId) -> String {
        format!("{} was promoted by others, and {primary} is a primary too", self.id)
    }
}

/// The rivals of `primary`, whose data was of one of the `histories` when they were promoted.
pub(crate) fn rivals(
    primary: &EndpointId,
    histories: &[&String],
    seen: &[(&EndpointId, &Observation)],
) -> Vec<Rival> {
    let copies = |of: &EndpointId| {
        let copies = |found: &Observation| matches!(&found.role, Role::Mirror { of: Some(copied), .. } if copied == of);
        seen.iter().filter(|(_, found)| copies(found)).count()
    };
    let before = |found: &Observation| {
        found.previous_history.as_ref().is_some_and(|(history, _)| histories.contains(&history))
    };
    let promoted = seen.iter().filter(|(id, found)| *id != primary && is_primary(found) && before(found));
    promoted
        .map(|(id, found)| Rival {
            id: (*id).clone(),
            found: (*found).clone(),
            copies: copies(id),
            copies_of_primary: copies(primary),
        })
        .collect()
}

impl Machine {
    /// Why the primary that is served may not be the one that is meant any more. Of a store that this sidecar manages nobody
    /// else's promotions count: it makes such a server a mirror again.
    pub(crate) fn contested(&self, primary: &EndpointId) -> Option<String> {
        self.unmanageable()?;
        let identity = self.identity.as_ref()?;
        let seen: Vec<_> = self.visible().collect();
        let rivals = rivals(primary, &[&identity.history], &seen);
        let news =
            |rival: &&Rival| rival.has_taken_over() || !self.known_rivals.contains(&rival.found.history);
        rivals.iter().find(news).map(|rival| rival.words(primary))
    }

    /// Whose data goes on being a primary's beside the one that is put in charge now: no news from then on.
    pub(crate) fn note_rivals(&mut self, primary: &EndpointId) {
        let others = self.visible().filter(|(id, found)| *id != primary && is_primary(found));
        self.known_rivals = others.map(|(_, found)| found.history.clone()).collect();
    }

    /// A mirror that copies a server which is not configured.
    pub(crate) fn copies_a_stranger(&self) -> Option<String> {
        let strange = |found: &Observation| matches!(found.role, Role::Mirror { of: None, .. });
        let (id, _) = self.visible().find(|(_, found)| strange(found))?;
        Some(format!("{id} copies a server that is not configured: others may have moved the role there"))
    }

    /// How the primary role came to where it is, if it was not this sidecar that moved it there. For status.
    #[must_use]
    pub fn moved_by_others(&self) -> Option<&str> {
        self.moved_by_others.as_deref()
    }
}

/// What `rivals` of `primary` mean for who is served: the one that has taken over, or why that can't be told. `None`: they mean
/// nothing. `settled`: they were waited out.
pub(crate) fn judge(
    primary: &EndpointId,
    rivals: Vec<Rival>,
    settled: bool,
) -> Option<Result<(EndpointId, Observation), String>> {
    let mut open: Vec<Rival> =
        rivals.into_iter().filter(|rival| !(settled && rival.stands_alone())).collect();
    match open.pop()? {
        only if open.is_empty() && only.has_taken_over() => Some(Ok((only.id, only.found))),
        rival => {
            Some(Err(format!("{}: make one of them a mirror of the other (REPLICAOF)", rival.words(primary))))
        }
    }
}

#[cfg(test)]
mod tests;
