//! Finding out who is primary: at the start, after a crash in the middle of a switchover, and when somebody else has
//! changed roles (PROTOCOL 5.2 and 5.5). Never by guessing: what can't be decided stays unavailable, and says why.

mod markers;

use std::time::Duration;

use foretoken_types::{Authority, BootInstant, EndpointId, Observation, Operation, Role};

use crate::effect::Order;
use crate::endpoints::is_primary;
use crate::event::{Answer, Rejection, Verdict};
use crate::machine::{Machine, Phase};
use crate::others;
use crate::record::{Cause, Intent, Record};

pub use markers::primary_by_markers;

/// Who changes roles by hand demotes one server and promotes another. Meanwhile nobody is primary, and we don't interfere.
const SETTLE: Duration = Duration::from_secs(5);

/// Finding out who is primary.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Looks count that began then or later.
    pub(crate) since: BootInstant,
}

/// Ending a switchover that was broken off.
#[derive(Debug)]
pub(crate) struct Resolve {
    intent: Intent,
    since: BootInstant,
    /// Whether the old primary has confirmed its demotion to this process.
    demoted: bool,
    promoting: Option<(EndpointId, Operation)>,
    /// Both are looked at again then.
    again: BootInstant,
}

/// What the observations amount to.
pub(crate) enum Decision {
    /// This endpoint is the primary.
    Primary(EndpointId, Box<Observation>),
    /// The primary of the registry is down.
    Lost(EndpointId),
    /// The primary of the registry is a mirror, and so is everybody else.
    Nobody(EndpointId),
    /// It can't be told yet; why.
    Wait(String),
}

impl Machine {
    pub(crate) fn advance_start(&mut self) {
        let Phase::Start(Start { since }) = self.phase else { return };
        if !self.registry.loaded {
            self.reason = Some("starting: the registry was not read yet".to_owned());
            return;
        }
        if let Some(waiting) = self.endpoints.iter().find(|endpoint| !endpoint.tried_since(since)) {
            self.reason = Some(format!("starting: {} was not looked at yet", waiting.id));
            return;
        }
        let intent = self.registry.record.as_ref().and_then(|record| record.intent.clone());
        // Whoever was in charge later has ended it.
        if let Some(intent) = intent.filter(|_| self.was_in_charge()) {
            self.begin_resolve(intent, false);
            return;
        }
        match self.decide(since) {
            Decision::Primary(id, found) => {
                let position = found.position;
                self.begin_take(id, *found, Cause::Found, position, String::new());
            }
            Decision::Lost(id) => self.begin_down_at_start(id),
            Decision::Nobody(id) => {
                let mut why = format!("{id} is a mirror now, and no endpoint is a primary");
                if let Some(stranger) = self.copies_a_stranger() {
                    why = format!("{why}; {stranger}");
                }
                match self.automatic_failover() {
                    // A failover that was broken off between demotion and promotion leaves this behind.
                    Ok(()) if self.now >= since + SETTLE => self.begin_down_of_mirror(id, why),
                    Ok(()) => self.reason = Some(why),
                    Err(refusal) => self.reason = Some(format!("{why}; no automatic failover: {refusal}")),
                }
            }
            Decision::Wait(why) => self.reason = Some(why),
        }
    }

    /// What is seen now, by looks that began at `since` or later, of endpoints that serve their data.
    fn serving_since(&self, since: BootInstant) -> Vec<(&EndpointId, &Observation)> {
        let fresh = self.endpoints.iter().filter(|endpoint| endpoint.is_well());
        fresh
            .filter_map(|endpoint| {
                endpoint.fresh(self.now, self.params.fresh)?;
                Some((&endpoint.id, endpoint.seen_since(since)?))
            })
            .filter(|(_, found)| !found.loading)
            .collect()
    }

    /// Who is primary, by what was seen since `since`.
    pub(crate) fn decide(&self, since: BootInstant) -> Decision {
        let seen = self.serving_since(since);
        let decision = match &self.registry.record {
            Some(record) => self.decide_by_record(record, &seen, since),
            None => return self.decide_by_markers(&seen),
        };
        match decision {
            Decision::Primary(id, found) if !self.is_newest(&id, &found, &seen) => Decision::Wait(format!(
                "another sidecar was in charge after this one, or instead of it, and may have moved the role away from \
                 {id}: every endpoint must answer, or the owner record there be renewed"
            )),
            decision => decision,
        }
    }

    fn decide_by_record(
        &self,
        record: &Record,
        seen: &[(&EndpointId, &Observation)],
        since: BootInstant,
    ) -> Decision {
        let registered = &record.primary;
        let primaries: Vec<_> = seen.iter().filter(|(_, found)| is_primary(found)).collect();
        let own = seen.iter().find(|(id, _)| *id == registered);
        // Who was not in charge has counted epochs of its own, which say nothing beside a marker.
        let marked = own.and_then(|(_, found)| found.marker).unwrap_or_default();
        let known = if record.owned { record.epoch } else { marked };
        let is_newer = |found: &Observation| found.marker.is_some_and(|marker| marker > known);
        let newer: Vec<_> =
            primaries.iter().filter(|(id, found)| *id != registered && is_newer(found)).collect();
        let take = |(id, found): &(&EndpointId, &Observation)| {
            Decision::Primary((*id).clone(), Box::new((*found).clone()))
        };
        match (own, newer.as_slice()) {
            (Some(own), []) if is_primary(own.1) => match self.taken_over(record, own.1, seen, since) {
                None => take(own),
                Some(Ok((id, found))) => Decision::Primary(id, Box::new(found)),
                Some(Err(why)) => Decision::Wait(why),
            },
            (Some(own), [other]) if is_primary(own.1) => {
                // The store knows of an epoch that the registry has lost.
                if seen.len() == self.endpoints.len() && other.1.marker > own.1.marker {
                    take(other)
                } else {
                    Decision::Wait(format!(
                        "{registered} and {} are both primaries, and {} carries a newer epoch than the registry",
                        other.0, other.0
                    ))
                }
            }
            (Some(own), _) if is_primary(own.1) => Decision::Wait(format!(
                "{registered} and several other endpoints are primaries with newer epochs than the registry"
            )),
            (Some(own), _) => match primaries.as_slice() {
                [only] if descends(only.1, record, Some(own.1)) => take(only),
                [only] => Decision::Wait(format!(
                    "{registered} is a mirror now, and nothing proves that {} continues its data",
                    only.0
                )),
                [] => Decision::Nobody(registered.clone()),
                _ => Decision::Wait(format!(
                    "{registered} is a mirror now, and several endpoints are primaries"
                )),
            },
            (None, _) => {
                let down = self.endpoint(registered).is_none_or(|endpoint| endpoint.verdict == Verdict::Down);
                match primaries.as_slice() {
                    [only] if down && self.is_promoted_by_manager(only.1) => take(only),
                    // Whoever misses one epoch may have missed two: unless its owner is alive, or everybody answers, the
                    // newest primary may be another one.
                    [only] if !newer.is_empty() => {
                        if self.has_living_owner(only.0) || seen.len() == self.endpoints.len() {
                            take(only)
                        } else {
                            Decision::Wait(format!(
                                "{} carries a newer epoch than the registry, and not every endpoint answers",
                                only.0
                            ))
                        }
                    }
                    [only] if down && descends(only.1, record, None) => take(only),
                    _ if down && self.endpoint(registered).is_some() => Decision::Lost(registered.clone()),
                    _ if self.endpoint(registered).is_none() => Decision::Wait(format!(
                        "the registry names {registered} as the primary, which is not configured any more"
                    )),
                    _ => Decision::Wait(format!("{registered}, the primary by the registry, does not serve")),
                }
            }
        }
    }

    /// Whether others have moved the role from the registered primary, which shows itself as `own` and as a primary.
    fn taken_over(
        &self,
        record: &Record,
        own: &Observation,
        seen: &[(&EndpointId, &Observation)],
        since: BootInstant,
    ) -> Option<Result<(EndpointId, Observation), String>> {
        self.unmanageable()?;
        let rivals = others::rivals(&record.primary, &[&own.history, &record.history], seen);
        others::judge(&record.primary, rivals, self.now >= since + others::CONTEST)
    }

    /// Whether the primary `id` can't be an old one that came back: a sidecar that was in charge after this one may have moved
    /// the role to an endpoint that does not answer now.
    fn is_newest(&self, id: &EndpointId, found: &Observation, seen: &[(&EndpointId, &Observation)]) -> bool {
        seen.len() == self.endpoints.len()
            || self.was_in_charge()
            || self.has_living_owner(id)
            || self.is_promoted_by_manager(found)
    }

    /// Whether Sentinel or the like has promoted it from a mirror of the registered primary. No sidecar is in charge there.
    fn is_promoted_by_manager(&self, found: &Observation) -> bool {
        let before = found.previous_history.as_ref().map(|(history, _)| history);
        let served = self.registry.record.as_ref().map(|record| &record.history);
        found.managed_by.is_some() && served.is_some() && before == served
    }

    /// Without a registry record: what the stores themselves tell.
    fn decide_by_markers(&self, seen: &[(&EndpointId, &Observation)]) -> Decision {
        let all = seen.len() == self.endpoints.len();
        let configured = self.endpoints.first().map(|endpoint| &endpoint.id);
        let is_empty = |id: &EndpointId| {
            let found = self.endpoint(id).and_then(|endpoint| endpoint.empty_at);
            found.is_some_and(|at| self.now.since(at) <= self.params.fresh)
        };
        match primary_by_markers(configured, seen, all, is_empty) {
            Ok((id, found)) => Decision::Primary(id.clone(), Box::new(found.clone())),
            Err(why) => Decision::Wait(why),
        }
    }

    /// Begins to end a switchover of which only the intent tells, or whose exchange of roles has failed.
    pub(crate) fn begin_resolve(&mut self, intent: Intent, demoted: bool) {
        self.reason = Some(format!("a switchover from {} to {} was broken off", intent.from, intent.to));
        let resolve = Resolve { intent, since: self.now, demoted, promoting: None, again: self.now };
        self.enter(Phase::Resolve(resolve));
    }

    pub(crate) fn advance_resolve(&mut self) {
        let Phase::Resolve(resolve) = &self.phase else { return };
        let Intent { from, to } = resolve.intent.clone();
        let (since, demoted) = (resolve.since, resolve.demoted);
        // Whatever a process before this one granted is dead by then, too.
        let end = self.fence_end().max(since + self.params.fence_wait());
        let over = self.now >= end;
        if over && self.posture.lease.is_some() {
            self.close();
        }
        let Phase::Resolve(resolve) = &self.phase else { return };
        if resolve.promoting.is_some() {
            return;
        }
        if self.now >= resolve.again {
            self.look_again();
        }
        let look = |id: &EndpointId| {
            let endpoint = self.endpoint(id)?;
            endpoint.fresh(self.now, self.params.fresh)?;
            let probed = endpoint.look.as_ref().is_some_and(|look| look.probed);
            endpoint.seen_since(since).filter(|found| !found.loading).map(|found| (found.clone(), probed))
        };
        let (old, new) = (look(&from), look(&to));
        if (old.is_none() || new.is_none()) && !over {
            return;
        }
        if let Some(why) = self.unmanageable() {
            self.reason = Some(why);
            return;
        }
        if let Some(other) = self.owner_elsewhere() {
            self.reason =
                Some(format!("a switchover was broken off, and sidecar {other} holds the owner record"));
            return;
        }
        // Whoever was in charge later has ended it, or does so now.
        if !self.was_in_charge() || matches!(self.ownership.authority, Authority::Follower(_)) {
            self.find_out_anew();
            return;
        }
        match (old, new) {
            (old, Some((new, true)))
                if is_primary(&new)
                    // To one that has it all and takes no writes there is no way back to another that has less.
                    && (new.writable || old.as_ref().is_some_and(|(old, _)| !self.goes_on_in(old, None)))
                    && (self.holds_our_data(&new)
                        // With nothing left to go back to, what it has is what there is.
                        || old.as_ref().is_none_or(|(old, _)| old.history == new.history)) =>
            {
                // What keeps an old primary from writing keeps a mirror from copying.
                self.order(&from, Order::ResumeWrites);
                let position = new.position;
                let detail = format!("{to} is the primary: the switchover was finished");
                self.begin_take(to, new, Cause::Switchover, position, detail);
            }
            (Some((old, _)), new)
                if !new.as_ref().is_some_and(|(new, probed)| is_primary(new) && !probed) =>
            {
                let mirror = new.as_ref().map(|(new, _)| new).filter(|new| self.is_our_mirror(new));
                if !self.goes_on_in(&old, mirror) {
                    // Whoever was restarted in the middle of it comes back with less, or with nothing: the mirror has more.
                    let why = format!("{from} came back with another run id or history");
                    let ordered = mirror.is_some() && (demoted || !is_primary(&old));
                    if ordered && self.automatic_failover().is_err() {
                        self.promote_to_resolve(to);
                    } else if self.identity.is_some() {
                        self.begin_down(why);
                    } else {
                        self.begin_down_of_mirror(from, why);
                    }
                    return;
                }
                self.order(&from, Order::ResumeWrites);
                if is_primary(&old) {
                    let position = old.position;
                    let detail = format!("{from} stays the primary: the switchover was taken back");
                    self.begin_take(from, old, Cause::Found, position, detail);
                } else {
                    self.promote_to_resolve(from);
                }
            }
            (None, Some((new, _))) if !is_primary(&new) => {
                if demoted {
                    // It has everything, and the old primary has confirmed that it takes no more writes.
                    self.promote_to_resolve(to);
                } else {
                    self.close();
                    self.begin_down_at_start(from);
                }
            }
            _ => {}
        }
    }

    /// Whether the primary of before the switchover, which shows `old` now, still has all that it had. `mirror`: what the other
    /// one shows, if that is a mirror with our data.
    fn goes_on_in(&self, old: &Observation, mirror: Option<&Observation>) -> bool {
        let record = self.registry.record.as_ref();
        match &self.identity {
            // What it copied since it was demoted it has from its own mirror.
            Some(identity) => identity.run_id == old.run_id,
            // A mirror is never ahead of its primary, unless that was restarted: then it counts anew, or from its snapshot.
            None => {
                record.is_none_or(|record| descends(old, record, None))
                    && mirror.is_none_or(|mirror| mirror.position <= old.position)
            }
        }
    }

    fn is_our_mirror(&self, found: &Observation) -> bool {
        !is_primary(found) && self.holds_our_data(found)
    }

    fn promote_to_resolve(&mut self, endpoint: EndpointId) {
        let operation = self.order(&endpoint, Order::Promote);
        if let Phase::Resolve(resolve) = &mut self.phase {
            resolve.promoting = Some((endpoint, operation));
        }
    }

    pub(crate) fn resolve_answered(&mut self, operation: Operation, result: Result<Answer, Rejection>) {
        let now = self.now;
        let Phase::Resolve(resolve) = &mut self.phase else { return };
        let promoted = resolve.promoting.take_if(|(_, promoting)| *promoting == operation);
        if let Some((endpoint, _)) = promoted {
            if let Err(rejection) = result {
                self.reason = Some(format!("{endpoint} could not be promoted: {}", rejection.detail));
            }
            // Looks from before the promotion tell nothing any more.
            let Phase::Resolve(resolve) = &mut self.phase else { return };
            (resolve.since, resolve.again) = (now, now);
        }
    }

    /// The watchers look as well, but don't probe for writes now.
    fn look_again(&mut self) {
        let again = self.now + self.params.retry;
        let Phase::Resolve(resolve) = &mut self.phase else { return };
        resolve.again = again;
        let Intent { from, to } = resolve.intent.clone();
        // A write probe would wait in the pause that the switchover has ordered there.
        for (id, probe) in [(from, false), (to, true)] {
            if !self.is_under_way(&id, |order| matches!(order, Order::Observe { .. })) {
                self.order(&id, Order::Observe { probe });
            }
        }
    }
}

/// Whether `found` continues the data that the registry tells of. `old`: what the registered primary shows now.
fn descends(found: &Observation, record: &Record, old: Option<&Observation>) -> bool {
    // Not `record.descends`: who still bears the name of before the last change has missed it.
    let continues = |history: &String| *history == record.history;
    continues(&found.history)
        || found.previous_history.as_ref().is_some_and(|(history, _)| continues(history))
        || found.marker.is_some_and(|marker| marker >= record.epoch)
        || old.is_some_and(|old| old.history == found.history && matches!(old.role, Role::Mirror { .. }))
}

#[cfg(test)]
mod tests;
