//! What the listener asks the token service for.

use async_trait::async_trait;
use foretoken_token::{Denied, Fingerprint};
use tokio::sync::watch;

use crate::model::{
    EndpointRef, KeySet, PredictiveGrant, RefreshRequest, Revocation, TokenFilter, TokenGrant, TokenRequest,
    TokenStatus,
};

/// Who asks, as the listener recognised it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Who may change things here: acts for any service, or for any that is configured, and only within its grants.
    Operator,
    /// An application of the configuration.
    Service {
        /// Its name.
        name: String,
        /// The certificate that it showed.
        certificate: Option<Fingerprint>,
    },
    /// Who may read, and nothing is known of beyond that.
    Reader,
}

/// Why there is no token, or nothing to tell of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A field of the request can't be understood.
    #[error("{0}")]
    Malformed(String),
    /// No store has this name.
    #[error("there is no store \"{0}\" in the configuration")]
    UnknownStore(String),
    /// No block has this name, or several do.
    #[error("{0}")]
    UnknownBlock(String),
    /// The caller may not act for that service.
    #[error("{0}")]
    OtherService(String),
    /// The issuer says no.
    #[error("{reason}")]
    Denied {
        /// Why.
        reason: Denied,
        /// The primary of the epoch in force, when that has moved.
        endpoint: Option<EndpointRef>,
    },
    /// The disk did not take it: nothing is handed out that a restart would not know.
    #[error("it could not be written down, so it is not handed out: {0}")]
    Storage(String),
    /// Another change of the keys is under way.
    #[error("{0}")]
    Keys(String),
}

impl From<Denied> for TokenError {
    fn from(reason: Denied) -> Self {
        Self::Denied { reason, endpoint: None }
    }
}

/// The token service of a running sidecar.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A token of the highest tier that can be had now. On disk when it returns.
    ///
    /// # Errors
    /// See [`TokenError`]; nothing was handed out then.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most a token that nobody knows and that ends by itself.
    async fn issue(&self, asker: &Asker, request: TokenRequest) -> Result<TokenGrant, TokenError>;

    /// The temporary token, in advance, when there is one to be had, and what is expected of the store in any case.
    ///
    /// # Errors
    /// As [`Tokens::issue`].
    ///
    /// # Cancel safety
    /// As [`Tokens::issue`].
    async fn issue_predictive(
        &self,
        asker: &Asker,
        request: TokenRequest,
    ) -> Result<PredictiveGrant, TokenError>;

    /// The next token of the same lineage, of the tier that can be had now.
    ///
    /// # Errors
    /// As [`Tokens::issue`]; [`Denied::Moved`] when the primary has changed.
    ///
    /// # Cancel safety
    /// As [`Tokens::issue`].
    async fn refresh(
        &self,
        asker: &Asker,
        id: &str,
        request: RefreshRequest,
    ) -> Result<TokenGrant, TokenError>;

    /// Takes a token back, with all that came of it.
    ///
    /// # Errors
    /// [`TokenError::Storage`]: it is taken back here, and a restart may forget that.
    ///
    /// # Cancel safety
    /// It is taken back all the same.
    async fn revoke(&self, asker: &Asker, id: &str) -> Result<Revocation, TokenError>;

    /// What became of a token. Never waits.
    ///
    /// # Errors
    /// [`Denied::Unknown`].
    fn status(&self, asker: &Asker, id: &str) -> Result<TokenStatus, TokenError>;

    /// The living tokens. Never waits.
    ///
    /// # Errors
    /// [`TokenError::UnknownStore`].
    fn list(&self, asker: &Asker, filter: &TokenFilter) -> Result<Vec<TokenStatus>, TokenError>;

    /// What a verifier needs. Never waits.
    fn keys(&self) -> KeySet;

    /// Makes the next keys, which sign after they were published for a while.
    ///
    /// # Errors
    /// [`TokenError::Keys`] while a rotation is under way, [`TokenError::Storage`].
    ///
    /// # Cancel safety
    /// The rotation goes on or does not begin.
    async fn rotate(&self) -> Result<KeySet, TokenError>;

    /// Turns whenever [`Tokens::keys`] has something new.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;
}
