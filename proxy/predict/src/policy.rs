//! What to do about a risk: watch, prepare, or move to a mirror. A pure function, and the reason with each answer.
//!
//! A move helps only against what stays behind. Data and load come along: a mirror with the same `maxmemory` refuses writes
//! the moment it is promoted, when the primary ran out of it. So a mirror is asked for its own time to its own limits, under
//! the load that would come.

use std::fmt;
use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId};

use crate::contract::HORIZONS;
use crate::headroom::Resource;
use crate::risk::{Cause, Cure, Subject};

/// Causes that bring this share of the greatest one's risk count as much: a move must cure all of them.
const SHARE_COUNTS: f32 = 0.5;

/// Share of its limit from which a CPU counts as used up by whoever would come along: it stands a little below the limit for
/// good when more is wanted than there is.
const CPU_FULL: f64 = 0.9;

/// How far we may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Write down what would have been done.
    #[default]
    Observe,
    /// Be ready: temporary tokens, warm mirrors, synchronous writes.
    Prepare,
    /// Move the primary, when that helps.
    Switch,
}

impl Policy {
    /// Its name in the configuration and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Prepare => "prepare",
            Self::Switch => "switch",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Stay,
    /// Make ready.
    Prepare,
    /// Plan a switchover to this mirror.
    Switch(EndpointId),
}

impl Action {
    /// The word for it in records and status.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stay => "stay",
            Self::Prepare => "prepare",
            Self::Switch(_) => "switch",
        }
    }
}

/// Settings of [`decide`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// How far to go.
    pub policy: Policy,
    /// Time after a switchover in which risk moves nothing again. Default 30 minutes, the longest horizon: what the new
    /// primary's record says is about the old one until then.
    pub cool_down: Duration,
    /// Steps for which a mirror must last to be worth a move. Default twice the longest horizon: at the horizon itself
    /// the next alarm would be raised on arrival.
    pub lasts_least: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            cool_down: Duration::from_secs(30 * 60),
            lasts_least: 2.0 * f64::from(HORIZONS[HORIZONS.len() - 1]),
        }
    }
}

/// How much of one resource is used, in its own unit (bytes, connections, cores).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// In use.
    pub used: f64,
    /// Where it ends; `None` when there is no limit.
    pub limit: Option<f64>,
    /// Growth a step.
    pub per_step: f64,
}

/// What is known of the resources of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usages {
    known: [Option<Usage>; Resource::ALL.len()],
    sources: [Option<u64>; Resource::ALL.len()],
}

/// A mirror that could become primary.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: EndpointId,
    /// Whether it could be promoted now: up, replicating, near enough.
    pub ready: bool,
    /// Its resources.
    pub usages: Usages,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Which horizons are alarmed, shortest first.
    pub raised: [bool; HORIZONS.len()],
    /// Why, greatest first.
    pub causes: &'a [Cause],
    /// Resources of the primary.
    pub own: &'a Usages,
    /// Mirrors, in order of preference.
    pub mirrors: &'a [Candidate],
    /// When the primary last changed.
    pub switched: Option<BootInstant>,
    /// Now.
    pub now: BootInstant,
}

/// What is done, what would have been done, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// To be done.
    pub action: Action,
    /// What would be done if the policy were [`Policy::Switch`]: the journal compares it with what happened.
    pub would: Action,
    /// The cure of the causes together: what is left of it once the mirrors were looked at.
    pub cure: Option<Cure>,
    /// Why that would be done.
    pub why: Why,
}

/// Reasons of a [`Decision`].
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// No horizon is alarmed.
    Calm,
    /// Only the longest horizon is alarmed: time enough to see more.
    NotUrgent,
    /// Nobody can say what the cause is.
    NoCause,
    /// The cause would come along.
    ComesAlong(Subject),
    /// The primary changed a moment ago.
    CoolDown(Duration),
    /// No mirror could be promoted.
    NoMirror,
    /// A mirror draws on the very same: one file system, one machine's memory, one quota.
    Shared(EndpointId, Resource),
    /// Nothing is known of this resource at a mirror.
    Unseen(EndpointId, Resource),
    /// A mirror would run out of it as well.
    RunsOut {
        /// The mirror.
        mirror: EndpointId,
        /// Of what.
        resource: Resource,
        /// After how many steps.
        steps: f64,
        /// Whether its limit is no greater than the primary's.
        same_limit: bool,
    },
    /// A mirror lasts: for so many steps, infinite when it doesn't fill.
    Lasts(EndpointId, f64),
}

impl Why {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::NotUrgent => "not_urgent",
            Self::NoCause => "no_cause",
            Self::ComesAlong(_) => "comes_along",
            Self::CoolDown(_) => "cool_down",
            Self::NoMirror => "no_mirror",
            Self::Shared(..) => "shared",
            Self::Unseen(..) => "unseen",
            Self::RunsOut { .. } => "runs_out",
            Self::Lasts(..) => "lasts",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calm => f.write_str("no risk above its threshold"),
            Self::NotUrgent => f.write_str("only the longest horizon is at risk: there is time to see more"),
            Self::NoCause => f.write_str("no cause is known, so nothing says that a move would help"),
            Self::ComesAlong(subject) => {
                write!(f, "{} would be the same at a mirror: it comes with data and load", subject.as_str())
            }
            Self::CoolDown(left) => {
                write!(f, "the primary changed lately: no move on a risk for another {} s", left.as_secs())
            }
            Self::NoMirror => f.write_str("no mirror could be promoted"),
            Self::Shared(mirror, resource) => {
                write!(f, "mirror {mirror} draws on the very same {resource}")
            }
            Self::Unseen(mirror, resource) => {
                write!(f, "how much {resource} mirror {mirror} has left is not known")
            }
            Self::RunsOut { mirror, resource, steps, same_limit } => {
                let limit = if *same_limit { ", its limit being no greater than the primary's" } else { "" };
                write!(f, "mirror {mirror} would run out of {resource} in {steps:.0} steps as well{limit}")
            }
            Self::Lasts(mirror, steps) if steps.is_finite() => {
                write!(f, "mirror {mirror} lasts for {steps:.0} steps")
            }
            Self::Lasts(mirror, _) => write!(f, "mirror {mirror} doesn't fill"),
        }
    }
}

impl Usages {
    /// The same with what is known of one resource.
    #[must_use]
    pub const fn with(mut self, resource: Resource, usage: Usage) -> Self {
        self.known[resource as usize] = Some(usage);
        self
    }

    /// The same with where a resource comes from: endpoints with one source use it up together.
    #[must_use]
    pub const fn drawn_from(mut self, resource: Resource, source: Option<u64>) -> Self {
        self.sources[resource as usize] = source;
        self
    }

    /// What is known of a resource.
    #[must_use]
    pub const fn get(&self, resource: Resource) -> Option<Usage> {
        self.known[resource as usize]
    }

    fn shares(&self, other: &Self, resource: Resource) -> bool {
        let source = self.sources[resource as usize];
        source.is_some() && source == other.sources[resource as usize]
    }
}

/// Decides.
#[must_use]
pub fn decide(situation: &Situation<'_>, params: &Params) -> Decision {
    let (would, cure, why) = ideal(situation, params);
    let action = match (params.policy, &would) {
        (Policy::Observe, _) => Action::Stay,
        (Policy::Prepare, Action::Switch(_)) => Action::Prepare,
        (Policy::Prepare | Policy::Switch, would) => would.clone(),
    };
    Decision { action, would, cure, why }
}

fn ideal(situation: &Situation<'_>, params: &Params) -> (Action, Option<Cure>, Why) {
    let prepare = |cure, why| (Action::Prepare, cure, why);
    if !situation.raised.contains(&true) {
        return (Action::Stay, None, Why::Calm);
    }
    let Some(first) = situation.causes.first() else {
        return prepare(None, Why::NoCause);
    };
    let causes: Vec<&Cause> =
        situation.causes.iter().filter(|cause| cause.risk >= SHARE_COUNTS * first.risk).collect();
    if let Some(cause) = causes.iter().find(|cause| cause.cure != Cure::Move) {
        return prepare(Some(cause.cure), Why::ComesAlong(cause.subject));
    }
    // What no other mirror would change is said first: the cure isn't a move at all then.
    let best = match best(situation, &causes, params) {
        Ok(best) => best,
        Err(why) => return prepare(Some(Cure::Durability), why),
    };
    if !situation.raised[..HORIZONS.len() - 1].contains(&true) {
        return prepare(Some(Cure::Move), Why::NotUrgent);
    }
    let since = situation.switched.map(|switched| situation.now.since(switched));
    if let Some(left) = since.and_then(|since| params.cool_down.checked_sub(since)).filter(|l| !l.is_zero()) {
        return prepare(Some(Cure::Move), Why::CoolDown(left));
    }
    let (id, steps) = best;
    (Action::Switch(id.clone()), Some(Cure::Move), Why::Lasts(id, steps))
}

/// The ready mirror that lasts longest, if one lasts long enough; else what speaks against the most lasting one.
fn best(situation: &Situation<'_>, causes: &[&Cause], params: &Params) -> Result<(EndpointId, f64), Why> {
    let mut best: Option<(EndpointId, f64)> = None;
    let mut against: Option<(f64, Why)> = None;
    for mirror in situation.mirrors.iter().filter(|mirror| mirror.ready) {
        match lasts(situation.own, mirror, causes) {
            Ok((steps, _)) if steps >= params.lasts_least => {
                if best.as_ref().is_none_or(|(_, most)| steps > *most) {
                    best = Some((mirror.id.clone(), steps));
                }
            }
            Ok((steps, resource)) => {
                let same_limit = no_greater(situation.own, mirror, resource);
                let why = Why::RunsOut { mirror: mirror.id.clone(), resource, steps, same_limit };
                if against.as_ref().is_none_or(|(most, _)| steps > *most) {
                    against = Some((steps, why));
                }
            }
            Err(why) => {
                against.get_or_insert((-1.0, why));
            }
        }
    }
    best.ok_or_else(|| against.map_or(Why::NoMirror, |(_, why)| why))
}

/// Steps until a mirror would run out of the first thing under the primary's load. Of a resource that is a cause it must be
/// known; of the others only what is known counts. What both draw from one source is no better there, and no worse.
fn lasts(own: &Usages, mirror: &Candidate, causes: &[&Cause]) -> Result<(f64, Resource), Why> {
    let mut least = (f64::INFINITY, Resource::Memory);
    for resource in Resource::ALL {
        let is_cause = causes.iter().any(|cause| cause.subject == Subject::Resource(resource));
        let concerns = causes.iter().any(|cause| cause.subject.draws_on() == Some(resource));
        if own.shares(&mirror.usages, resource) {
            if concerns {
                return Err(Why::Shared(mirror.id.clone(), resource));
            }
            continue;
        }
        let Some(theirs) = mirror.usages.get(resource) else {
            if is_cause {
                return Err(Why::Unseen(mirror.id.clone(), resource));
            }
            continue;
        };
        let steps = under_load(resource, own.get(resource), theirs);
        if steps < least.0 {
            least = (steps, resource);
        }
    }
    Ok(least)
}

/// Steps until `theirs` is used up when the primary's load comes on top.
fn under_load(resource: Resource, own: Option<Usage>, theirs: Usage) -> f64 {
    let Some(limit) = theirs.limit else { return f64::INFINITY };
    let (used, growth) = match (resource, own) {
        // Clients come along, on top of what is there.
        (Resource::Connections, Some(own)) => {
            (theirs.used + own.used, theirs.per_step.max(0.0) + own.per_step)
        }
        // So does their work; what a mirror does now is mostly a part of it, the writes.
        (Resource::Cpu, Some(own)) => (theirs.used.max(own.used), theirs.per_step.max(own.per_step)),
        // The data is there already, and grows as it grows at the primary.
        (Resource::Memory, Some(own)) => (theirs.used, theirs.per_step.max(own.per_step)),
        // Disk and memory of the machine: what a mirror writes it writes already, and neighbours stay behind.
        (Resource::Disk | Resource::HostMemory, _) | (_, None) => (theirs.used, theirs.per_step),
    };
    let full = if resource == Resource::Cpu { CPU_FULL * limit } else { limit };
    let left = full - used;
    if left <= 0.0 {
        0.0
    } else if growth > 0.0 {
        left / growth
    } else {
        f64::INFINITY
    }
}

fn no_greater(own: &Usages, mirror: &Candidate, resource: Resource) -> bool {
    let limit = |usages: &Usages| usages.get(resource).and_then(|usage| usage.limit);
    limit(own).zip(limit(&mirror.usages)).is_some_and(|(own, theirs)| theirs <= own)
}

#[cfg(test)]
mod tests;
