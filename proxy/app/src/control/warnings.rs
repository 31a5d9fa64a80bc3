//! What an endpoint needs help with although it answers: it refuses writes, or its disk fails.

use foretoken_types::{BootInstant, Capacity, EndpointId, Observation, Role, StoreId};

use super::trouble::Trouble;

/// What is said of one endpoint.
#[derive(Debug)]
pub(super) struct Warnings {
    /// Why the last write probe of the primary was refused.
    refuses: Option<String>,
    /// Its last write to disk failed.
    disk: bool,
    trouble: Trouble,
}

impl Warnings {
    pub(super) const fn new() -> Self {
        Self { refuses: None, disk: false, trouble: Trouble::of_endpoint() }
    }

    /// Takes in a look. One that did not probe tells nothing of writes, and mirrors take none.
    pub(super) fn looked(&mut self, found: &Observation, probed: bool) {
        if found.role != Role::Primary {
            self.refuses = None;
        } else if probed && !found.loading {
            self.refuses.clone_from(&found.refuses_writes);
        }
    }

    /// Takes in how it uses its limits.
    pub(super) fn measured(&mut self, capacity: &Capacity) {
        self.disk = capacity.persisting == Some(false);
    }

    /// What is to be said now, a sentence each, the worst first.
    pub(super) fn list(&self) -> Vec<String> {
        let refuses = self.refuses.as_ref().map(|why| format!("refuses writes: {why}"));
        let disk =
            self.disk.then(|| "its last write to disk failed: see its log: its disk is full or fails, or there is no memory for a snapshot".to_owned());
        refuses.into_iter().chain(disk).collect()
    }

    /// Logs the worst of it when that begins, when it is something else and when it is over.
    pub(super) fn tell(&mut self, store: &StoreId, id: &EndpointId, now: BootInstant) {
        let worst = self.list().into_iter().next();
        self.trouble.warned(store, id, worst, now);
    }
}

#[cfg(test)]
mod tests {
    use foretoken_types::{Link, Persistence, Position};

    use super::*;

    fn found(role: Role, refuses: Option<&str>) -> Observation {
        Observation {
            role,
            run_id: "r".to_owned(),
            history: "h".to_owned(),
            previous_history: None,
            position: Position(1),
            writable: refuses.is_none(),
            refuses_writes: refuses.map(str::to_owned),
            loading: false,
            persistence: Persistence::Log,
            keys: 1,
            replicas: 0,
            marker: None,
            owner: None,
            followers: 0,
            managed_by: None,
        }
    }

    #[test]
    fn a_refused_write_is_said_until_a_probe_passes_or_it_is_no_primary_any_more() {
        let mut warnings = Warnings::new();
        let full = found(Role::Primary, Some("OOM; raise it"));
        let well = found(Role::Primary, None);
        let mirror = found(Role::Mirror { of: None, link: Link::Down }, Some("READONLY"));
        let said = ["refuses writes: OOM; raise it"];
        for (look, probed, expected) in [
            (&well, true, &[][..]),
            (&full, true, &said),
            (&well, false, &said),
            (&Observation { loading: true, ..well.clone() }, true, &said),
            (&well, true, &[]),
            (&full, true, &said),
            (&mirror, true, &[]),
        ] {
            warnings.looked(look, probed);
            assert_eq!(warnings.list(), expected);
        }
    }

    #[test]
    fn a_disk_that_fails_is_said_beside_it() {
        let mut warnings = Warnings::new();
        warnings.looked(&found(Role::Primary, Some("MISCONF")), true);
        for (persisting, count) in [(None, 1), (Some(false), 2), (Some(true), 1)] {
            warnings.measured(&Capacity { persisting, ..Capacity::default() });
            assert_eq!(warnings.list().len(), count, "{persisting:?}");
        }
    }
}
