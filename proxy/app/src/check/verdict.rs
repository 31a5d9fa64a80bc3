//! What follows from the looks.

use foretoken_failover::primary_by_markers;
use foretoken_protocol::Severity;
use foretoken_types::{EndpointId, Link, Observation, Role, Writers};

use super::{Declared, Found, Look, StoreCheck, managed, trouble};

/// Whether something can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It can.
    Yes,
    /// It can't.
    No,
    /// It can, with the limit that is said.
    Partly,
}

impl Answer {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Partly => "part",
        }
    }
}

/// Something that a user may count on, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What.
    pub what: &'static str,
    /// Whether.
    pub answer: Answer,
    /// Why, in a sentence.
    pub because: String,
}

impl Promise {
    /// Whether it is about moving the primary role.
    pub(super) fn moves(&self) -> bool {
        self.what == PLANNED || self.what == AUTOMATIC
    }
}

pub(super) const PLANNED: &str = "planned switchover";
pub(super) const AUTOMATIC: &str = "automatic failover";
pub(super) const NO_LOSS: &str = "no loss in a crash";
pub(super) const ONE_PRIMARY: &str = "one primary at a time";

/// Judges a store by what was seen of it.
#[must_use]
pub fn judge(declared: Declared, looks: Vec<Look>) -> StoreCheck {
    let primary = primary(&looks);
    let blockers = blockers(&looks, primary.as_ref().err());
    let promises = match primary {
        Ok((name, found)) => promises(&declared, &looks, name, found, &blockers),
        Err(_) => Vec::new(),
    };
    let primary = primary.ok().map(|(name, _)| name.clone());
    StoreCheck { declared, primary, blockers, promises, looks }
}

/// Every endpoint that was seen, and what was found there.
fn seen(looks: &[Look]) -> impl Iterator<Item = (&EndpointId, &Found)> {
    looks.iter().filter_map(|look| Some((&look.endpoint.name, look.found.as_ref().ok()?)))
}

/// The primary, by the rule of a sidecar that begins with this store; or why such a one would wait. Whoever was not seen is left
/// out, and blocks by itself.
fn primary(looks: &[Look]) -> Result<(&EndpointId, &Found), String> {
    // The configured primary is the first.
    let configured = looks.first().map(|look| &look.endpoint.name);
    let observed: Vec<_> = seen(looks).map(|(name, found)| (name, &found.observation)).collect();
    let is_empty = |id: &EndpointId| observed.iter().any(|(name, found)| *name == id && found.keys == 0);
    let (primary, _) = primary_by_markers(configured, &observed, true, is_empty)?;
    seen(looks).find(|(name, _)| *name == primary).ok_or_else(|| format!("{primary} was not seen"))
}

fn blockers(looks: &[Look], undecided: Option<&String>) -> Vec<String> {
    let mut blockers = Vec::new();
    for look in looks {
        let name = &look.endpoint.name;
        match &look.found {
            Err(refused) => blockers.push(format!("{name}: {}", trouble(refused))),
            Ok(found) => {
                let blocking = found.preflight.findings.iter().filter(|f| f.severity == Severity::Blocker);
                blockers
                    .extend(blocking.map(|finding| format!("{name}: {}: {}", finding.what, finding.detail)));
                // A provider or a newer kind of management that no finding speaks of.
                let told = found.preflight.findings.iter().any(|f| f.what == "management");
                if let Some(by) = found.observation.managed_by.as_ref().filter(|_| !told) {
                    blockers.push(format!("{name} is managed by {by}: it is followed, not managed"));
                }
            }
        }
    }
    blockers.extend(undecided.map(|why| no_primary(looks, why)));
    blockers
}

/// Why no primary is known, with what to do.
fn no_primary(looks: &[Look], why: &str) -> String {
    let primaries: Vec<_> = seen(looks)
        .filter(|(_, found)| found.observation.role == Role::Primary)
        .map(|(name, found)| format!("{name} has {} key(s)", found.observation.keys))
        .collect();
    if !primaries.is_empty() {
        return format!("{why} ({})", primaries.join(", "));
    }
    let unseen: Vec<_> =
        looks.iter().filter(|look| look.found.is_err()).map(|look| &look.endpoint.name).collect();
    match unseen.as_slice() {
        [] => "every endpoint is a mirror: promote the one that has the writes that count (REPLICAOF NO ONE)"
            .to_owned(),
        // To promote another one meanwhile would make two primaries.
        [only] => format!("the primary is not known: it may be {only}"),
        several => format!("the primary is not known: it may be one of {}", join(several)),
    }
}

fn join(names: &[&EndpointId]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What becomes of a server that does not copy the primary yet, once a sidecar manages the store: the same rule as in
/// `failover::repair`.
fn attachment(primary: &EndpointId, above: &Observation, found: &Observation) -> String {
    let copies = match &found.role {
        Role::Primary => "copies nobody yet".to_owned(),
        Role::Mirror { of: Some(of), .. } => format!("copies {of} and not {primary}"),
        Role::Mirror { of: None, .. } => format!("copies a server that is not configured, and not {primary}"),
    };
    let ours = |history: &String| {
        *history == above.history || above.previous_history.as_ref().is_some_and(|(name, _)| name == history)
    };
    let belongs = ours(&found.history)
        || found.previous_history.as_ref().is_some_and(|(history, _)| ours(history))
        || found.marker.is_some_and(|marker| above.marker.is_some_and(|above| marker <= above));
    if found.keys == 0 {
        format!("{copies}, and is empty: the sidecar makes it a mirror as soon as it runs")
    } else if belongs {
        format!("{copies}, and has a copy of these data: the sidecar makes it a mirror as soon as it runs")
    } else if above.keys == 0 {
        format!(
            "{copies}, and has {} key(s) while {primary} has none: see that each `role` and address is right before you empty \
             anything",
            found.keys
        )
    } else {
        format!(
            "{copies}, and has {} key(s) of its own, which are not overwritten: empty it (FLUSHALL) if they may go",
            found.keys
        )
    }
}

/// Why a mirror could not take over now; `None` when it could.
fn why_not(primary: &EndpointId, above: &Found, found: &Found) -> Option<String> {
    if found.observation.loading {
        return Some("is loading its data".to_owned());
    }
    let link = match &found.observation.role {
        Role::Mirror { of: Some(of), link } if of == primary => link,
        _ => return Some(attachment(primary, &above.observation, &found.observation)),
    };
    match link {
        Link::Up { .. } => {}
        Link::Synchronizing => return Some("is receiving its first copy".to_owned()),
        Link::Down => return Some(format!("has no link to {primary}")),
    }
    if found.preflight.version < above.preflight.version {
        let (mine, theirs) = (&found.preflight.server, &above.preflight.server);
        return Some(format!(
            "is older than the primary ({mine}, {theirs}): it could not read what that writes"
        ));
    }
    let blocked = found.preflight.findings.iter().any(|finding| finding.severity == Severity::Blocker);
    blocked.then(|| "has a blocker, see above".to_owned())
}

fn promises(
    declared: &Declared,
    looks: &[Look],
    primary: &EndpointId,
    above: &Found,
    blockers: &[String],
) -> Vec<Promise> {
    if let Some(by) = managed::manager(looks) {
        return managed::promises(by);
    }
    let mut able = Vec::new();
    let mut unable = Vec::new();
    let mut lag_bytes = 0;
    for look in looks.iter().filter(|look| look.endpoint.name != *primary) {
        let name = look.endpoint.name.as_str();
        match &look.found {
            Ok(found) => match why_not(primary, above, found) {
                None => {
                    able.push(name);
                    lag_bytes =
                        lag_bytes.max(found.observation.position.lag_behind(above.observation.position));
                }
                Some(why) => unable.push(format!("{name} {why}")),
            },
            Err(_) => unable.push(format!("{name} could not be looked at")),
        }
    }
    let obstacle = if declared.follows {
        Some("manage = \"follow\": this sidecar is told to change no role".to_owned())
    } else if !able.is_empty() {
        (!blockers.is_empty()).then(|| "the store is not ready to be managed, see below".to_owned())
    } else if unable.is_empty() {
        Some("no mirror is configured".to_owned())
    } else {
        Some(format!("no mirror could take over now: {}", unable.join("; ")))
    };
    let able = able.join(" or ");
    vec![
        planned(declared.writers, obstacle.as_deref(), &able),
        automatic(declared, obstacle.as_deref(), &able, followers(looks)),
        loss(lag_bytes, obstacle.is_some()),
        split(declared.writers),
    ]
}

/// Other sidecars that are registered as followers of the store.
fn followers(looks: &[Look]) -> u32 {
    looks
        .iter()
        .filter_map(|look| look.found.as_ref().ok())
        .map(|found| found.observation.followers)
        .max()
        .unwrap_or(0)
}

fn planned(writers: Writers, obstacle: Option<&str>, able: &str) -> Promise {
    let (answer, because) = match (obstacle, writers) {
        (Some(why), _) => (Answer::No, why.to_owned()),
        (None, Writers::ThisSidecar) => (
            Answer::Yes,
            format!(
                "to {able}: writes wait until the mirror has everything, so no acknowledged write is lost"
            ),
        ),
        (None, Writers::Others) => (
            Answer::Yes,
            format!(
                "to {able}: writes wait until the mirror has everything, so no acknowledged write is lost; clients that \
                 bypass this sidecar are paused meanwhile and then disconnected from the old primary"
            ),
        ),
    };
    Promise { what: PLANNED, answer, because }
}

fn automatic(declared: &Declared, obstacle: Option<&str>, able: &str, followers: u32) -> Promise {
    let (answer, because) = match (obstacle, declared.writers) {
        (Some(_), _) if declared.follows => (Answer::No, "for the same reason".to_owned()),
        (_, Writers::Others) => (
            Answer::No,
            "writers = \"others\" says that other clients may write past this sidecar, and nothing would stop them at the \
             old primary; if all of them come through here, declare writers = \"this-sidecar\" (--sole-writer)"
                .to_owned(),
        ),
        (Some(_), Writers::ThisSidecar) => (Answer::No, "for the same reason".to_owned()),
        (None, Writers::ThisSidecar) if followers > 0 => (
            Answer::No,
            format!("{followers} other sidecar(s) are registered at the store: it has more than one way in"),
        ),
        (None, Writers::ThisSidecar) => (
            Answer::Yes,
            format!("to {able}, once the primary is confirmed down and the leases of its epoch have ended"),
        ),
    };
    Promise { what: AUTOMATIC, answer, because }
}

fn loss(lag_bytes: u64, obstacle: bool) -> Promise {
    let because = if obstacle {
        "without a mirror that keeps up, what the primary has lost is lost".to_owned()
    } else {
        format!(
            "mirroring is asynchronous: when the primary is lost, acknowledged writes that no mirror had yet are lost \
             (mirrors are {lag_bytes} bytes behind now); always the last ones, never one out of the middle"
        )
    };
    let answer = if obstacle { Answer::No } else { Answer::Partly };
    Promise { what: NO_LOSS, answer, because }
}

fn split(writers: Writers) -> Promise {
    let (answer, because) = match writers {
        Writers::ThisSidecar => (
            Answer::Yes,
            "an old primary that comes back may execute what was sent to it before, but nothing of that is acknowledged",
        ),
        Writers::Others => (
            Answer::Partly,
            "nothing that an old primary executes is acknowledged through this sidecar; clients that bypass it are not \
             stopped",
        ),
    };
    Promise { what: ONE_PRIMARY, answer, because: because.to_owned() }
}
