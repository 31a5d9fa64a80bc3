//! Tokens over the wire. Names are those of the protocol's specification, in camel case; times are seconds, with decimals.

use foretoken_token::PublishedKey;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Body of `POST /v1/tokens` (the user's tokenization call) and of `POST /v1/tokens/predictive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// The application that the token is for.
    #[schema(example = "checkout")]
    pub service_id: String,
    /// The data block: the name of a block, or `*` for all of the store.
    #[serde(default = "whole_store")]
    #[schema(example = "*", default = "*")]
    pub data_block_id: String,
    /// The store; may be left out when the block's name tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What the token is to allow: `read`, `write`, `queue`, `admin`. Left out: all that the caller may have of the first
    /// three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Vec<String>>,
    /// Which form the token has.
    #[serde(default)]
    pub form: TokenForm,
    /// SHA-256 (64 hexadecimal digits) of the certificate of who will show the token; nobody else can use it then. A caller
    /// with a certificate gets tokens that are bound to it in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

fn whole_store() -> String {
    "*".to_owned()
}

/// The form of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenForm {
    /// PASETO v4.public, which any library verifies; it survives a restart of the sidecar.
    #[default]
    Paseto,
    /// About 160 bytes, in base64url: between our own processes. It needs a holder, and is forgotten by a restart.
    Compact,
}

/// A token that was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenGrant {
    /// The token: shown to whoever guards the data. Keep it secret.
    pub token: String,
    /// Names the token, in logs too; knowing it proves nothing.
    pub token_id: String,
    /// Its form.
    pub form: TokenForm,
    /// `temporary` (T1), `provisional` (T2) or `valid` (T3).
    #[schema(example = "valid")]
    pub tier: String,
    /// What it allows.
    pub access: Vec<String>,
    /// For which application.
    pub service_id: String,
    /// For which store.
    pub store: String,
    /// For which block of it.
    pub data_block_id: String,
    /// What the keys of the block begin with; none for all of the store.
    pub key_prefix: Option<String>,
    /// State of the store.
    #[schema(example = "healthy")]
    pub state: String,
    /// The epoch that the token is good for.
    pub epoch: u64,
    /// The primary that it is for; none for a temporary one.
    pub endpoint: Option<EndpointRef>,
    /// How long it lives.
    pub expires_in: f64,
    /// When to refresh it: at a third of its life.
    pub refresh_in: f64,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointRef {
    /// Its name in the configuration.
    pub name: String,
    /// Its address, when it is known.
    pub address: Option<String>,
}

/// Answer to `PredictiveTokenRequest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PredictiveGrant {
    /// The temporary token, to be laid by for the time when nobody can be asked; null while the store is not at risk.
    pub token: Option<String>,
    /// Names it.
    pub token_id: Option<String>,
    /// `temporary`, when there is one.
    pub tier: Option<String>,
    /// What it allows.
    pub access: Vec<String>,
    /// How long it lives.
    pub expires_in: Option<f64>,
    /// For which store.
    pub store: String,
    /// For which block of it.
    pub data_block_id: String,
    /// State of the store.
    pub state: String,
    /// The epoch in force.
    pub epoch: u64,
    /// Probability that the primary becomes unavailable within 5, 15 and 30 steps (minutes, unless `risk.step` says
    /// otherwise), each from 0 to 1; null when it is not known.
    pub risk: Option<[f32; 3]>,
    /// Why, the greatest first.
    pub reasons: Vec<String>,
    /// The probability above which the store counts as at risk, from 0 to 1.
    pub threshold: f32,
    /// When to ask again: for the first token, or for the next one.
    pub retry_after: f64,
}

/// Answer to `TokenStatusCheck`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// Which token.
    pub token_id: String,
    /// Whether it is good now.
    pub valid: bool,
    /// Why not, in words; none when it is.
    pub reason: Option<String>,
    /// Why not, as a name: `expired`, `revoked`, `old_epoch` …
    pub reason_code: Option<String>,
    /// `temporary`, `provisional` or `valid`.
    pub tier: String,
    /// What it allows.
    pub access: Vec<String>,
    /// For which application.
    pub service_id: String,
    /// For which store.
    pub store: String,
    /// For which block of it.
    pub data_block_id: String,
    /// The epoch that it was given in.
    pub epoch: u64,
    /// The epoch in force.
    pub current_epoch: u64,
    /// How long it still lives; 0 when it has ended.
    pub expires_in: f64,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// Body of `POST /v1/tokens/{tokenId}/refresh`. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RefreshRequest {
    /// The new epoch, after an answer 409 has told it: the caller now uses the endpoint that it named.
    pub accept_epoch: Option<u64>,
    /// As in the request for the token, when it was given there.
    pub holder: Option<String>,
}

/// Which tokens to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokenFilter {
    /// Only of this application.
    pub service_id: Option<String>,
    /// Only of this store.
    pub store: Option<String>,
}

/// Answer to `DELETE /v1/tokens/{tokenId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Which token.
    pub token_id: String,
    /// How many tokens were taken back with it: those that came of it by refreshing, itself included. 0: it was not known,
    /// and is refused all the same.
    pub revoked: usize,
}

/// What a verifier needs: `GET /v1/keys`.
///
/// Asked every `lease / 3`, it also renews the right to go by `stores`: it holds for `lease` seconds from the moment at
/// which the question was *sent*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySet {
    /// The public keys of both forms, those that do not sign yet or any more included.
    pub keys: Vec<Key>,
    /// Tokens that were taken back before their end.
    pub revoked: Vec<Revoked>,
    /// Every store: which epoch is in force.
    pub stores: Vec<StoreEvent>,
    /// For how many seconds a verifier may go by `stores` without asking again.
    pub lease: f64,
    /// By how many seconds clocks may differ.
    pub skew: f64,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its name, as in the footer (PASETO) or the header (compact) of tokens.
    pub kid: String,
    /// Which form of tokens it signs: `paseto` or `compact`.
    pub form: String,
    /// `Ed25519`.
    pub algorithm: String,
    /// The 32 bytes, in base64url without padding.
    pub public_key: String,
    /// From when it signs, in milliseconds since 1970.
    pub not_before: u64,
    /// When its last token has ended, in milliseconds since 1970; null as long as no key is to follow it.
    pub not_after: Option<u64>,
}

impl From<PublishedKey> for Key {
    fn from(key: PublishedKey) -> Self {
        Self {
            kid: key.kid.to_string(),
            form: key.form.to_string(),
            algorithm: key.algorithm,
            public_key: key.public_key,
            not_before: key.not_before.0,
            not_after: key.not_after.map(|end| end.0),
        }
    }
}

/// A token that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Which token.
    pub token_id: String,
    /// Until when it has to be remembered, in milliseconds since 1970.
    pub until: u64,
}

/// One store, as `GET /v1/events` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreEvent {
    /// Which store.
    pub store: String,
    /// The epoch in force.
    pub epoch: u64,
    /// Its state.
    pub state: String,
    /// The primary, when it is known.
    pub primary: Option<EndpointRef>,
    /// When a write counts as acknowledged: `asynchronous` or `synchronous`.
    pub mode: String,
    /// The highest tier that can be had now.
    pub tier: String,
    /// Whether a temporary token can be had now, in advance or because it is all that is left.
    pub temporary: bool,
    /// Whether this sidecar gives rights to the store now. If not, nothing here counts as news of the epoch.
    pub leads: bool,
    /// Probability that the primary becomes unavailable within 5, 15 and 30 steps; null when it is not known.
    pub risk: Option<[f32; 3]>,
}

/// Sent every so often on `GET /v1/events`, whatever happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// When it was sent, in milliseconds since 1970.
    pub at: u64,
    /// Every store: which epoch is in force, and whether this sidecar can tell.
    pub stores: Vec<Beat>,
}

/// A store in a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// Which store.
    pub store: String,
    /// The epoch in force.
    pub epoch: u64,
    /// Whether this sidecar gives rights to the store now.
    pub leads: bool,
}

/// What a problem document of status 409 adds when the primary has changed (`EPOCH_MOVED`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EpochMoved {
    /// The epoch in force.
    pub new_epoch: u64,
    /// Its primary, when it is known.
    pub endpoint: Option<EndpointRef>,
}
