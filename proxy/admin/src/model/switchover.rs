//! What is asked of a switchover, and how it went.

use foretoken_types::{EndpointId, Epoch, StoreId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/stores/{store}/switchover`. An empty body is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchoverRequest {
    /// The mirror that shall be the primary; the best eligible one when not given.
    #[schema(value_type = Option<String>)]
    pub to: Option<EndpointId>,
    /// Make every check, change nothing.
    pub dry_run: bool,
}

/// One condition of a switchover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was checked, in a word or two.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

/// One step of a switchover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchoverStep {
    /// What was done: `hold`, `drain`, `equality`, `demote`, `promote` …
    pub name: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// How a switchover went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchoverReport {
    /// Which store.
    #[schema(value_type = String)]
    pub store: StoreId,
    /// The primary before.
    #[schema(value_type = Option<String>)]
    pub from: Option<EndpointId>,
    /// The primary after, or the one that was to be it.
    #[schema(value_type = Option<String>)]
    pub to: Option<EndpointId>,
    /// Whether only the checks were made.
    pub dry_run: bool,
    /// How it ended.
    pub outcome: SwitchoverOutcome,
    /// Every check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// Every step that was taken, in order.
    pub steps: Vec<SwitchoverStep>,
    /// For how long writes were held, in microseconds.
    pub hold_us: Option<u64>,
    /// The epoch in force afterwards.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The outcome in a sentence.
    pub detail: String,
}

impl SwitchoverReport {
    /// How it ended, in a word: of a dry run, whether it is possible.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.outcome, self.dry_run) {
            (SwitchoverOutcome::Done, true) => "possible",
            (outcome, _) => outcome.as_str(),
        }
    }
}

/// How a change of primary ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchoverOutcome {
    /// The role moved. Of a dry run: every check passed, and nothing was changed.
    Done,
    /// It was begun and taken back: the old primary serves in the old epoch.
    Aborted,
    /// A check failed before anything was begun.
    Refused,
}

impl SwitchoverOutcome {
    /// The name, as in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
        }
    }
}
