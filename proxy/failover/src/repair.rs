//! While the store serves: mirrors that point elsewhere are pointed at the primary, an old primary that comes back is made a
//! mirror, the marker is kept, and the state says how much redundancy there is (PROTOCOL 3.1, 5.3, 7.3, 7.4).

use std::time::Duration;

use foretoken_types::{EndpointId, Link, Observation, Role, StoreState};

use crate::effect::{Effect, Loss, Order};
use crate::endpoints::{Endpoint, is_linked, is_primary};
use crate::machine::{Machine, Phase};
use crate::record::{Cause, Record};

/// Pause between two repairs of one endpoint: a full copy may be under way.
const REPAIR_AGAIN: Duration = Duration::from_secs(2);

/// One round of repairs.
pub(crate) fn repair(machine: &mut Machine) {
    if !matches!(machine.phase, Phase::Serving) {
        return;
    }
    let (Some(primary), Some(record)) = (machine.posture.primary.clone(), machine.registry.record.clone())
    else {
        return;
    };
    keep_history(machine, &record);
    publish_loss(machine, &record);
    show_redundancy(machine, &primary, &record);
    note_answers(machine);
    if !machine.owns() {
        return;
    }
    if record.intent.is_some() {
        forget_intent(machine);
    }
    keep_marker(machine, &primary);
    resume_writes(machine);
    let others: Vec<EndpointId> =
        machine.endpoints.iter().map(|endpoint| endpoint.id.clone()).filter(|id| *id != primary).collect();
    for id in others {
        attach(machine, &id, &primary, &record);
    }
}

/// Deletes an intent that is no longer anybody's. Tried again by the next round if the registry is busy.
pub(crate) fn forget_intent(machine: &mut Machine) {
    if let Some(mut record) = machine.registry.record.clone().filter(|record| record.intent.is_some()) {
        record.intent = None;
        machine.save(record);
    }
}

/// The same server may take another name for its data ([`Identity::continues_in`](crate::knowledge::Identity)): what the
/// registry compares with after a restart must be the name that the mirrors use.
fn keep_history(machine: &mut Machine, record: &Record) {
    let renamed = machine.identity.as_ref().filter(|identity| identity.history != record.history);
    if let Some(identity) = renamed.cloned() {
        let descends = Some(record.history.clone());
        machine.save(Record { history: identity.history, descends, ..record.clone() });
    }
}

/// Whether the primary before the present one, if there was another, is its mirror and keeps up.
pub(crate) fn is_old_primary_back(machine: &Machine, record: &Record) -> bool {
    let Some(previous) = record.previous.as_ref().filter(|previous| **previous != record.primary) else {
        return true;
    };
    // One that is no longer configured will not come back.
    let Some(endpoint) = machine.endpoint(previous) else { return true };
    let linked = machine.fresh(previous).is_some_and(|found| is_linked(found, &record.primary));
    linked && endpoint.lag.bytes.is_some_and(|bytes| bytes <= machine.params.lag_bytes_max)
}

/// FAILED_OVER, RECOVERING, HEALTHY.
fn show_redundancy(machine: &mut Machine, primary: &EndpointId, record: &Record) {
    let attached = record
        .previous
        .as_ref()
        .and_then(|previous| machine.fresh(previous))
        .is_some_and(|found| matches!(&found.role, Role::Mirror { of: Some(of), .. } if of == primary));
    let next = match machine.posture.state {
        StoreState::FailedOver | StoreState::Recovering if is_old_primary_back(machine, record) => {
            StoreState::Healthy
        }
        StoreState::FailedOver if attached => StoreState::Recovering,
        StoreState::Recovering if !attached => StoreState::FailedOver,
        same => same,
    };
    if next != machine.posture.state {
        machine.posture.state = next;
        machine.publish();
    }
}

/// The application's `FLUSHALL` removes the marker as well; that is no loss of the epoch.
fn keep_marker(machine: &mut Machine, primary: &EndpointId) {
    let epoch = machine.posture.epoch;
    let missing =
        machine.fresh(primary).is_some_and(|found| found.marker.is_none_or(|marker| marker < epoch));
    if missing
        && machine.now >= machine.mark_at
        && !machine.is_under_way(primary, |order| matches!(order, Order::Mark(_)))
    {
        machine.mark_at = machine.now + REPAIR_AGAIN;
        machine.order(primary, Order::Mark(epoch));
    }
}

/// Whoever is not in charge any more tells nobody anything; then a pause is over when its length has gone by since its server answers.
fn note_answers(machine: &mut Machine) {
    let (now, pause) = (machine.now, machine.params.pause);
    for endpoint in &mut machine.endpoints {
        let look = endpoint.look.as_ref().map(|look| look.asked);
        if let Some(paused) = &mut endpoint.paused
            && look.is_some_and(|asked| asked > paused.told)
        {
            let since = *paused.answers.get_or_insert(now);
            endpoint.paused.take_if(|_| now.since(since) > pause);
        }
    }
}

/// A server that stood still executes late what it was told: a pause, when nobody waits for it any more. What was sent to it
/// meanwhile may not have reached it, so it is told once more when it answers.
fn resume_writes(machine: &mut Machine) {
    let answers = |endpoint: &&Endpoint| endpoint.paused.is_some_and(|paused| paused.answers.is_some());
    let ids: Vec<EndpointId> =
        machine.endpoints.iter().filter(answers).map(|endpoint| endpoint.id.clone()).collect();
    for id in ids {
        if !machine.is_under_way(&id, |order| *order == Order::ResumeWrites) {
            machine.order(&id, Order::ResumeWrites);
        }
    }
}

/// What the old primary had and the new one never got can be told exactly once the old one answers again with its history.
fn publish_loss(machine: &mut Machine, record: &Record) {
    if record.cause != Cause::Failover || machine.loss_published {
        return;
    }
    let Some(previous) = record.previous.clone() else { return };
    let ours = |history: &String| record.descends.as_ref() == Some(history);
    let fenced =
        machine.fenced.as_ref().filter(|(endpoint, history, _)| *endpoint == previous && ours(history));
    let seen = machine.fresh(&previous).filter(|found| !found.loading && ours(&found.history));
    let had = match (fenced, seen) {
        (Some((_, _, position)), _) => *position,
        // Asked to be fenced, it will tell itself, at the moment from which nothing is added.
        (None, Some(found))
            if !machine.is_under_way(&previous, |order| matches!(order, Order::Fence { .. })) =>
        {
            found.position
        }
        (None, _) => return,
    };
    let loss = Loss::Exactly(record.position.lag_behind(had));
    machine.loss_published = true;
    machine.out.push(Effect::PublishLoss { epoch: record.epoch, endpoint: previous, loss });
}

/// Makes `id` a mirror of the primary, if its data may be given up for that.
fn attach(machine: &mut Machine, id: &EndpointId, primary: &EndpointId, record: &Record) {
    let Some(found) = machine.fresh(id).cloned() else { return };
    if found.loading || is_attached(&found, primary) {
        set_note(machine, id, None);
        return;
    }
    if machine.endpoint(id).is_some_and(|endpoint| machine.now < endpoint.repair_at)
        || machine.is_under_way(id, |order| matches!(order, Order::Demote { .. } | Order::Fence { .. }))
    {
        return;
    }
    let is_empty = machine.endpoint(id).and_then(|endpoint| endpoint.empty_at);
    let is_empty =
        found.keys == 0 && is_empty.is_some_and(|at| machine.now.since(at) <= machine.params.fresh);
    if !(is_empty || belongs(&found, record)) {
        let note =
            "holds data of another history, which would be overwritten: empty it (FLUSHALL) if it may be";
        set_note(machine, id, Some(note.to_owned()));
        return;
    }
    set_note(machine, id, None);
    let again = machine.now + REPAIR_AGAIN;
    if let Some(endpoint) = machine.endpoint_mut(id) {
        endpoint.repair_at = again;
    }
    machine.order(id, Order::Demote { of: primary.clone() });
    if is_primary(&found) {
        // Clients that bypass us must not go on writing to what is a mirror now.
        machine.order(id, Order::DisconnectClients);
    }
}

fn is_attached(found: &Observation, primary: &EndpointId) -> bool {
    match &found.role {
        Role::Mirror { of: Some(of), .. } => of == primary,
        // A full copy from wherever is not disturbed.
        Role::Mirror { of: None, link } => *link == Link::Synchronizing,
        Role::Primary => false,
    }
}

/// Whether the data is a copy of this store's, be it an old one: then the primary's takes its place by right.
fn belongs(found: &Observation, record: &Record) -> bool {
    let ours = |history: &String| *history == record.history || record.descends.as_ref() == Some(history);
    ours(&found.history)
        || found.previous_history.as_ref().is_some_and(|(history, _)| ours(history))
        // Only a store that we manage carries our marker, and none of a later epoch than ours is a copy of an old one.
        || found.marker.is_some_and(|marker| marker <= record.epoch)
}

fn set_note(machine: &mut Machine, id: &EndpointId, note: Option<String>) {
    if let Some(endpoint) = machine.endpoint_mut(id) {
        endpoint.note = note;
    }
}

#[cfg(test)]
mod tests;
