//! What goes over the wire: statuses, switchovers and problem documents, as JSON.
//!
//! The same types serve the server and the client, so the two can't drift apart. Fields may be added; a reader ignores
//! those that it does not know. What a *request* holds beyond its fields is refused, so that a misspelt `dry_run` never
//! becomes a real switchover.

use foretoken_types::{
    Authority, Durability, EndpointId, Epoch, HoldScope, InstanceId, Link, Persistence, Position, Region,
    Role, StoreId, StoreState, Writers,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod news;
mod switchover;
mod token;

pub use news::GateNews;
pub use switchover::{Check, SwitchoverOutcome, SwitchoverReport, SwitchoverRequest, SwitchoverStep};
pub use token::{
    Beat, EndpointRef, EpochMoved, Heartbeat, Key, KeySet, PredictiveGrant, RefreshRequest, Revocation,
    Revoked, StoreEvent, TokenFilter, TokenForm, TokenGrant, TokenRequest, TokenStatus,
};

/// One store, as `GET /v1/stores/{store}` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Its name in the configuration.
    #[schema(value_type = String)]
    pub store: StoreId,
    /// Where clients find it: the listen addresses.
    #[serde(default)]
    pub listen: Vec<String>,
    /// State of its machine.
    #[schema(value_type = String)]
    pub state: StoreState,
    /// The epoch in force; 0 before the first primary is known.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Whether this sidecar is in charge, and why.
    pub authority: AuthorityStatus,
    /// Who else writes, as declared.
    #[serde(default)]
    #[schema(value_type = String)]
    pub writers: Writers,
    /// When a write counts as acknowledged.
    #[serde(default)]
    #[schema(value_type = String)]
    pub durability: Durability,
    /// The highest tier of token that can be had now: `temporary`, `provisional` or `valid`.
    #[serde(default)]
    pub tier: String,
    /// For how long stale reads could go on with nobody left to ask, in milliseconds: the temporary token that the data path
    /// holds. `None`: it holds none.
    #[serde(default)]
    pub temporary_ms: Option<u64>,
    /// Whether the primary has shown that it is the right one since it was put in charge.
    #[serde(default)]
    pub validated: bool,
    /// The endpoint that requests go to.
    #[schema(value_type = Option<String>)]
    pub primary: Option<EndpointId>,
    /// What waits, if anything.
    pub hold: Option<HoldStatus>,
    /// Whether traffic is served now.
    pub ready: bool,
    /// Why it is not served, or why no automatic failover would come; `None` when there is nothing to say.
    pub reason: Option<String>,
    /// What needs help although the store may be served, a sentence each: the sidecar's own state directory.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether the loss of the primary would be answered by a failover without anybody's help.
    #[serde(default)]
    pub automatic_failover: bool,
    /// The last change of primary since the start.
    pub last_switchover: Option<LastSwitchover>,
    /// The last one after it that was refused or taken back: the primary is the one that it was. No dry run.
    #[serde(default)]
    pub last_attempt: Option<LastSwitchover>,
    /// What is expected of the primary; `None` before the first look ahead.
    #[serde(default)]
    pub risk: Option<RiskStatus>,
    /// What the last failover may have lost, since the start.
    #[serde(default)]
    pub last_loss: Option<LastLoss>,
    /// Client connections open now.
    pub connections: u64,
    /// Every configured endpoint, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
}

impl StoreStatus {
    /// A store of which nothing is known yet.
    #[must_use]
    pub fn unknown(store: StoreId) -> Self {
        Self {
            store,
            listen: Vec::new(),
            state: StoreState::Unavailable,
            epoch: Epoch::default(),
            authority: AuthorityStatus::default(),
            writers: Writers::default(),
            durability: Durability::default(),
            tier: "temporary".to_owned(),
            temporary_ms: None,
            validated: false,
            primary: None,
            hold: None,
            ready: false,
            reason: None,
            warnings: Vec::new(),
            automatic_failover: false,
            last_switchover: None,
            last_attempt: None,
            risk: None,
            last_loss: None,
            connections: 0,
            endpoints: Vec::new(),
        }
    }
}

/// Who is in charge of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityStatus {
    /// What this sidecar is to the store.
    pub role: AuthorityRole,
    /// Why.
    pub why: Option<String>,
    /// The instance that holds the owner record, as last read.
    #[schema(value_type = Option<String>)]
    pub owner: Option<InstanceId>,
}

/// What a sidecar is to a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityRole {
    /// It is in charge.
    Owner,
    /// It follows the roles that it finds and changes nothing.
    Follower,
    /// No endpoint could be asked yet.
    #[default]
    Undecided,
}

impl AuthorityRole {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Follower => "follower",
            Self::Undecided => "undecided",
        }
    }
}

impl From<&Authority> for AuthorityStatus {
    fn from(authority: &Authority) -> Self {
        let (role, why) = match authority {
            Authority::Owner => (AuthorityRole::Owner, None),
            Authority::Follower(why) => (AuthorityRole::Follower, Some(why.clone())),
            Authority::Undecided => (AuthorityRole::Undecided, None),
        };
        Self { role, why, owner: None }
    }
}

/// What a hold keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldScope {
    /// Writes only.
    Writes,
    /// Reads and writes.
    All,
}

impl HeldScope {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::All => "all",
        }
    }
}

impl From<HoldScope> for HeldScope {
    fn from(scope: HoldScope) -> Self {
        match scope {
            HoldScope::Writes => Self::Writes,
            HoldScope::All => Self::All,
        }
    }
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldStatus {
    /// What waits.
    pub scope: HeldScope,
    /// For how long it has waited, in milliseconds.
    pub since_ms: u64,
    /// What for.
    pub reason: String,
}

/// Planned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Planned: by hand.
    Switchover,
    /// Unplanned: the primary was lost.
    Failover,
}

impl ChangeKind {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        }
    }
}

/// A change of primary, done or tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastSwitchover {
    /// The primary before.
    #[schema(value_type = Option<String>)]
    pub from: Option<EndpointId>,
    /// The primary after, or the one that was to be it.
    #[schema(value_type = Option<String>)]
    pub to: Option<EndpointId>,
    /// Planned or not.
    pub kind: ChangeKind,
    /// For how long this sidecar held requests, in microseconds: of a switchover the writes; of a failover everything, from
    /// the moment in which the loss was noticed. What was sent between the loss and that moment has waited longer.
    pub hold_us: Option<u64>,
    /// How it ended.
    pub outcome: SwitchoverOutcome,
    /// The same in a sentence.
    #[serde(default)]
    pub detail: String,
    /// When it ended: milliseconds since 1970 by the wall clock, for people only.
    pub at_unix_ms: u64,
}

impl LastSwitchover {
    /// What was held for how long, and from when on: `held` is that time in words.
    #[must_use]
    pub fn held(&self, held: &str) -> String {
        match self.kind {
            ChangeKind::Switchover => format!("writes held {held}"),
            ChangeKind::Failover => format!("requests held {held} from when it was noticed"),
        }
    }
}

/// What is expected of the primary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RiskStatus {
    /// Probability that it runs out of something within 5, 15 and 30 steps, each in `[0, 1]`; `None`: not known.
    pub within: Option<[f32; 3]>,
    /// Whether one of them is above its threshold.
    pub raised: bool,
    /// Why, the greatest first.
    pub causes: Vec<String>,
    /// How far the policy goes: `observe`, `prepare` or `switch`.
    pub policy: String,
    /// What is done: `stay`, `prepare` or `switch`.
    pub action: String,
    /// What would be done under the policy `switch`.
    pub would: String,
    /// Why that would be done.
    pub why: String,
    /// The parts of it: each horizon, shortest first.
    #[serde(default)]
    pub horizons: Vec<HorizonStatus>,
    /// Which model weighs in beside the rule: `embedded`, `file`, or `off: ` and why.
    #[serde(default)]
    pub model: String,
    /// The last entries of the journal, newest first.
    #[serde(default)]
    pub journal: Vec<RiskEntry>,
}

/// One horizon of what is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HorizonStatus {
    /// How far ahead, in steps.
    pub steps: u16,
    /// How far ahead, in seconds.
    pub seconds: u64,
    /// Probability from which it is an alarm.
    pub threshold: f32,
    /// The probability that counts: the greater of rule and model. `None`: not known.
    pub risk: Option<f32>,
    /// What the rule says; `None`: no resource can be seen, or the rule is off.
    pub rule: Option<f32>,
    /// What the model says for this store; `None`: it says nothing.
    pub model: Option<f32>,
    /// Whether it is an alarm now. It ends at 0.6 of the threshold.
    pub raised: bool,
    /// Since when the rule alone has been at the threshold: milliseconds since 1970.
    pub rule_since_unix_ms: Option<u64>,
    /// Since when the model alone has been at the threshold: milliseconds since 1970.
    pub model_since_unix_ms: Option<u64>,
}

/// What is written down of an alarm: one line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RiskEntry {
    /// When: milliseconds since 1970 by the wall clock.
    pub at_unix_ms: u64,
    /// What.
    pub event: RiskEvent,
    /// The primary then.
    #[schema(value_type = Option<String>)]
    pub primary: Option<EndpointId>,
    /// Which alarm, by its horizon in steps; `None` for a decision, which is about all of them.
    pub steps: Option<u16>,
    /// Probabilities that counted then, shortest horizon first; `None`: not known.
    pub risk: Option<[f32; 3]>,
    /// What the rule said.
    pub rule: Option<[f32; 3]>,
    /// What the model said.
    pub model: Option<[f32; 3]>,
    /// The thresholds then.
    pub threshold: [f32; 3],
    /// The main causes.
    #[serde(default)]
    pub causes: Vec<String>,
    /// How far the policy went.
    pub policy: String,
    /// What was done.
    pub action: String,
    /// What would have been done under the policy `switch`.
    pub would: String,
    /// Why.
    pub why: String,
    /// For an outcome: how long after the alarm, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

/// What an entry of the journal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskEvent {
    /// An alarm began.
    Raised,
    /// An alarm ended.
    Cleared,
    /// What is done, or would be, has changed.
    Decided,
    /// The store failed within the horizon of the alarm.
    Failed,
    /// The horizon of the alarm passed, and the store did not fail.
    Nothing,
    /// The primary was changed within the horizon: what would have happened will never be known.
    Moved,
}

impl RiskEvent {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "alarm",
            Self::Cleared => "alarm over",
            Self::Decided => "decided",
            Self::Failed => "it failed, as foretold",
            Self::Nothing => "nothing happened",
            Self::Moved => "moved before it could happen",
        }
    }
}

/// What a failover may have lost. Mirrors copy asynchronously: the old primary may have acknowledged what none of them got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastLoss {
    /// The old primary.
    #[schema(value_type = String)]
    pub endpoint: EndpointId,
    /// The epoch that began with it.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Bytes of the change stream that the old primary had and the new one has not.
    pub bytes: u64,
    /// Whether `bytes` is all. If not it is the least, known by the last look at the old primary before it was lost.
    pub exact: bool,
    /// No write that was acknowledged before this is lost: milliseconds since 1970 by the wall clock. `None`: not known.
    pub kept_until_unix_ms: Option<u64>,
}

/// What is thought of an endpoint's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It answers as it should.
    Up,
    /// Something is wrong, not yet confirmed.
    Suspect,
    /// Confirmed: it does not serve.
    Down,
    /// Not asked yet, or it does not let us look.
    #[default]
    Unknown,
}

impl HealthState {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// A role by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// It takes writes.
    Primary,
    /// It copies another server.
    Mirror,
}

impl RoleName {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Mirror => "mirror",
        }
    }
}

/// A replication link by its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Connected.
    Up,
    /// A full copy is being received.
    Synchronizing,
    /// Not connected.
    Down,
}

impl LinkState {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Synchronizing => "synchronizing",
            Self::Down => "down",
        }
    }
}

impl From<Link> for LinkState {
    fn from(link: Link) -> Self {
        match link {
            Link::Up { .. } => Self::Up,
            Link::Synchronizing => Self::Synchronizing,
            Link::Down => Self::Down,
        }
    }
}

/// One endpoint of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// Its name in the configuration.
    #[schema(value_type = String)]
    pub name: EndpointId,
    /// Its address, without credentials.
    pub address: String,
    /// Where it stands.
    #[schema(value_type = Option<String>)]
    pub region: Option<Region>,
    /// What it says that it is; `None`: it does not answer.
    pub role: Option<RoleName>,
    /// What it was when it last answered, if it does not now.
    #[serde(default)]
    pub was: Option<RoleName>,
    /// The configured endpoint that a mirror copies.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub copies: Option<EndpointId>,
    /// A mirror's replication link.
    pub link: Option<LinkState>,
    /// What is thought of its health.
    pub health: HealthState,
    /// What that rests on, in words.
    pub evidence: Option<String>,
    /// How far its data goes, or went when it last answered, in bytes.
    #[schema(value_type = Option<u64>)]
    pub position: Option<Position>,
    /// How far a mirror that answers is behind, in bytes.
    pub lag_bytes: Option<u64>,
    /// How far a mirror that answers is behind, in milliseconds.
    pub lag_ms: Option<u64>,
    /// Whether it could be made the primary now.
    pub eligible_for_promotion: bool,
    /// Why it could not.
    pub why_not: Option<String>,
    /// What it needs help with although it answers, a sentence each: it refuses writes, its disk fails.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Product and version.
    pub version: Option<String>,
    /// What it keeps over a restart.
    #[schema(value_type = Option<String>)]
    pub persistence: Option<Persistence>,
    /// Requests of clients that it answered, per second over the last window.
    pub requests_per_second: Option<f64>,
    /// Upper bound of the 99th percentile of its time to first byte over the last window, in microseconds.
    pub latency_p99_us: Option<u64>,
}

impl EndpointStatus {
    /// An endpoint of which nothing is known yet.
    #[must_use]
    pub fn unknown(name: EndpointId, address: impl Into<String>) -> Self {
        Self {
            name,
            address: address.into(),
            region: None,
            role: None,
            was: None,
            copies: None,
            link: None,
            health: HealthState::Unknown,
            evidence: None,
            position: None,
            lag_bytes: None,
            lag_ms: None,
            eligible_for_promotion: false,
            why_not: None,
            warnings: Vec::new(),
            version: None,
            persistence: None,
            requests_per_second: None,
            latency_p99_us: None,
        }
    }

    /// Takes over what the last look at the endpoint found about its role, which was too long ago to speak of now.
    pub fn set_past_role(&mut self, role: &Role) {
        self.was = Some(match role {
            Role::Primary => RoleName::Primary,
            Role::Mirror { .. } => RoleName::Mirror,
        });
    }

    /// Takes over what a look at the endpoint found about its role.
    pub fn set_role(&mut self, role: &Role) {
        (self.role, self.copies, self.link) = match role {
            Role::Primary => (Some(RoleName::Primary), None, None),
            Role::Mirror { of, link } => (Some(RoleName::Mirror), of.clone(), Some((*link).into())),
        };
    }
}

/// Whether the sidecar has started, lives and serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Every listener is open and every store was looked at once.
    pub started: bool,
    /// The control loop turns.
    pub live: bool,
    /// Every store serves traffic, and the sidecar is not draining.
    pub ready: bool,
    /// Why one of the above is not so.
    pub reasons: Vec<String>,
}

/// An error document (RFC 9457), sent as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; a URI, for comparison only.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words, the same for each occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// How the switchover went that was refused or aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<SwitchoverReport>>,
    /// Where the primary is now, when a token is of an epoch that has ended.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<EpochMoved>,
}
