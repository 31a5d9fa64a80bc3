//! `foretoken check`: looks each endpoint over and says in plain words what can be promised for the store, and what can't.
//!
//! Nothing is changed by it. [`judge`] is a function of what was seen, so that each promise and each refusal has a test.

mod managed;
mod verdict;

use std::fmt;

use foretoken_protocol::{Control, Finding, Preflight, Refused, Severity};
use foretoken_types::{EndpointId, Failure, Link, Observation, Persistence, Region, Role, StoreId, Writers};
use tokio::task::JoinSet;

pub use verdict::{Answer, Promise, judge};

use crate::protocols;

/// One endpoint to look at.
pub struct Subject {
    /// Its name, address and place.
    pub endpoint: Named,
    /// A connection to it.
    pub control: Box<dyn Control>,
}

/// An endpoint as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: EndpointId,
    /// Its address, without credentials.
    pub address: String,
    /// Where it stands.
    pub region: Option<Region>,
}

/// What a look at an endpoint brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which endpoint.
    pub endpoint: Named,
    /// What was found, or why nothing was.
    pub found: Result<Found, Refused>,
}

/// What was found at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its settings, permissions and so on.
    pub preflight: Preflight,
    /// Its role and position.
    pub observation: Observation,
}

/// What was declared about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub store: StoreId,
    /// Who else writes.
    pub writers: Writers,
    /// `manage = "follow"`: this sidecar is to change no role.
    pub follows: bool,
}

/// Everything there is to say about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// As declared.
    pub declared: Declared,
    /// Each endpoint, in the order of the configuration.
    pub looks: Vec<Look>,
    /// The endpoint that is the primary, as far as can be told.
    pub primary: Option<EndpointId>,
    /// What keeps the store from being managed; empty when it can be.
    pub blockers: Vec<String>,
    /// What can be promised and what can't.
    pub promises: Vec<Promise>,
}

impl StoreCheck {
    /// Whether the store can be managed as it is.
    #[must_use]
    pub fn is_manageable(&self) -> bool {
        self.blockers.is_empty()
    }
}

/// Looks at every store of a configuration.
///
/// # Errors
/// A certificate or password file can't be used.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub async fn check(config: &foretoken_config::Config) -> Result<Vec<StoreCheck>, crate::Error> {
    let mut checks = Vec::new();
    for store in &config.store {
        crate::build::judges(store)?;
        protocols::login(store)?;
        let subjects = crate::build::endpoints(store, None)?
            .into_iter()
            .map(|spec| Subject {
                endpoint: Named { name: spec.id, address: spec.address, region: spec.region },
                control: (spec.control)(),
            })
            .collect();
        let declared = Declared {
            store: store.name.clone(),
            writers: store.writers,
            follows: store.manage == foretoken_config::Manage::Follow,
        };
        checks.push(check_store(declared, subjects).await);
    }
    Ok(checks)
}

/// Looks at every endpoint of a store at the same time, and judges.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub async fn check_store(declared: Declared, subjects: Vec<Subject>) -> StoreCheck {
    let mut looks: Vec<Look> = Vec::new();
    let mut tasks = JoinSet::new();
    for (place, subject) in subjects.into_iter().enumerate() {
        // Stands until the look is over, and stays if its task does not come back.
        let lost = Refused::new(Failure::Other, "the look at it was broken off");
        looks.push(Look { endpoint: subject.endpoint, found: Err(lost) });
        let mut control = subject.control;
        tasks.spawn(async move { (place, look(control.as_mut()).await) });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Ok((place, found)) = ended {
            looks[place].found = found;
        }
    }
    judge(declared, looks)
}

async fn look(control: &mut dyn Control) -> Result<Found, Refused> {
    let preflight = control.preflight().await?;
    match control.observe(true).await {
        Ok(observation) => Ok(Found { preflight, observation }),
        Err(refused) => Err(all_that_lacks(&preflight, refused)),
    }
}

/// A look names the first command that the user may not run, and a preflight all of them.
fn all_that_lacks(preflight: &Preflight, refused: Refused) -> Refused {
    let told = |finding: &&Finding| finding.what == "permissions" && finding.severity == Severity::Blocker;
    match preflight.findings.iter().find(told) {
        Some(all) if refused.failure == Failure::Credentials => {
            Refused::new(Failure::Credentials, all.detail.clone())
        }
        _ => refused,
    }
}

impl fmt::Display for StoreCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writers = match self.declared.writers {
            Writers::Others => "others",
            Writers::ThisSidecar => "this-sidecar",
        };
        writeln!(f, "store {} (writers = \"{writers}\")", self.declared.store)?;
        for look in &self.looks {
            let Named { name, address, region } = &look.endpoint;
            write!(f, "\n  {name}  {address}")?;
            if let Some(region) = region {
                write!(f, "  in {region}")?;
            }
            match &look.found {
                Ok(found) => {
                    writeln!(f, "  {}", found.preflight.server)?;
                    write_found(f, found)?;
                }
                Err(refused) => {
                    writeln!(f)?;
                    row(f, "FAIL", "connect", &trouble(refused))?;
                }
            }
        }
        writeln!(f, "\n  what can be promised")?;
        for promise in &self.promises {
            row(f, promise.answer.as_str(), promise.what, &promise.because)?;
        }
        if self.promises.is_empty() {
            writeln!(f, "    nothing, as long as no primary is known")?;
        }
        if !self.is_manageable() {
            writeln!(f, "\n  this store is not ready to be managed:")?;
            return self.blockers.iter().try_for_each(|blocker| writeln!(f, "    - {blocker}"));
        }
        let moves = self.promises.iter().any(|promise| promise.answer == Answer::Yes && promise.moves());
        let but = if moves { "" } else { ", but its primary role could not be moved now" };
        writeln!(f, "\n  this store can be managed{but}")
    }
}

/// The columns are as wide as the longest mark and the longest name of a setting.
fn row(f: &mut fmt::Formatter<'_>, mark: &str, what: &str, detail: &str) -> fmt::Result {
    writeln!(f, "    {mark:<5} {what:<24} {detail}")
}

fn write_found(f: &mut fmt::Formatter<'_>, found: &Found) -> fmt::Result {
    write_now(f, &found.observation)?;
    let findings = &found.preflight.findings;
    for Finding { severity, what, detail } in findings {
        match severity {
            Severity::Good => {}
            Severity::Warning => row(f, "warn", what, detail)?,
            Severity::Blocker => row(f, "BLOCK", what, detail)?,
        }
    }
    let good: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Good).map(|f| f.what).collect();
    if good.is_empty() { Ok(()) } else { row(f, "ok", "as they should be", &good.join(", ")) }
}

/// Role, position and what others have left there.
fn write_now(f: &mut fmt::Formatter<'_>, observation: &Observation) -> fmt::Result {
    let role = match &observation.role {
        Role::Primary if observation.writable => "primary, takes writes".to_owned(),
        Role::Primary => match &observation.refuses_writes {
            Some(why) => format!("primary, refuses writes now: {why}"),
            None => "primary, refuses writes now".to_owned(),
        },
        Role::Mirror { of, link } => {
            let of = of.as_ref().map_or("a server that is not configured", |of| of.as_str());
            let link = match link {
                Link::Up { .. } => "link up",
                Link::Synchronizing => "receiving a full copy",
                Link::Down => "link down",
            };
            format!("mirror of {of}, {link}")
        }
    };
    let keeps = match observation.persistence {
        Persistence::None => "keeps nothing over a restart",
        Persistence::Snapshot => "keeps snapshots",
        Persistence::Log => "keeps an append-only file",
    };
    let (keys, replicas) = (observation.keys, observation.replicas);
    row(f, "-", "now", &format!("{role}; {keeps}; {keys} key(s), {replicas} replica(s) attached"))?;
    if let Some(epoch) = observation.marker {
        row(f, "-", "epoch marker", &format!("epoch {epoch}: a sidecar has managed this store before"))?;
    }
    if let Some(owner) = &observation.owner {
        let detail = format!("sidecar {} is in charge now; another one follows it", owner.instance);
        row(f, "-", "owner record", &detail)?;
    }
    Ok(())
}

/// Why an endpoint could not be asked, with what to do.
pub(crate) fn trouble(refused: &Refused) -> String {
    let remedy = match refused.failure {
        Failure::Refused => "nobody listens there: start the server, or correct the address",
        Failure::Timeout => {
            "see that it is up, not busy with one long command, and that no firewall is between"
        }
        Failure::NotServing => "it is up and does not serve: wait, or see its log",
        Failure::Busy => "a script keeps it busy: wait, or SCRIPT KILL",
        Failure::Credentials if protocols::is_told_by_a_gate(&refused.detail) => {
            "set gate = true for a sidecar; check has no tokens: give it the address of the server behind the gate"
        }
        Failure::Credentials => "see user and password_file under [store.control], or grant what is missing",
        Failure::OpenFiles => {
            "the server is not at fault, this process may open no more files: raise LimitNOFILE= of its service, or \
             `ulimit -n`"
        }
        Failure::Other => "see that the address is right and that a store of this protocol listens there",
    };
    format!("{}; {remedy}", refused.detail)
}

#[cfg(test)]
mod tests;
