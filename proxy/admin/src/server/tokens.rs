//! The routes of tokens, keys and events.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use utoipa::IntoParams;

use super::*;
use crate::events::Cut;
use crate::gate::{Asks, Reads};
use crate::model::{
    KeySet, PredictiveGrant, RefreshRequest, Revocation, TokenFilter, TokenGrant, TokenRequest, TokenStatus,
};

type Id = Result<Path<String>, PathRejection>;
type Content = Result<Bytes, BytesRejection>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// A token of the highest tier that can be had now: the tokenization call.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 201, body = TokenGrant),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, description = "the caller may not have that", body = Problem),
        (status = 404, description = "no such store or block", body = Problem),
        (status = 409, description = "nothing of what was asked for can be had now", body = Problem),
        (status = 429, description = "too many tokens live", body = Problem),
        (status = 503, description = "this sidecar gives no rights now", body = Problem),
        (status = 507, description = "the disk did not take it", body = Problem)
    )
)]
pub(super) async fn issue(
    State(server): State<Arc<Server>>,
    Asks(asker): Asks,
    body: Content,
) -> Result<Response, Problem> {
    let grant = server.tokens()?.issue(&asker, read::<TokenRequest>(body)?).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(grant)).into_response())
}

/// The temporary token in advance (PredictiveTokenRequest), and what is expected of the store.
#[utoipa::path(
    post,
    path = "/v1/tokens/predictive",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 200, description = "`token` is null while the store is not at risk", body = PredictiveGrant),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 503, body = Problem),
        (status = 507, body = Problem)
    )
)]
pub(super) async fn predictive(
    State(server): State<Arc<Server>>,
    Asks(asker): Asks,
    body: Content,
) -> Result<Response, Problem> {
    let grant = server.tokens()?.issue_predictive(&asker, read::<TokenRequest>(body)?).await?;
    Ok((NO_STORE, Json(grant)).into_response())
}

/// The living tokens, of a service, of a store, or all.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "tokens",
    params(TokenFilter),
    responses((status = 200, body = Vec<TokenStatus>), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn list(
    State(server): State<Arc<Server>>,
    Reads(asker): Reads,
    filter: Parameters<TokenFilter>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|rejection| Kind::BadRequest.because(rejection.body_text()))?;
    Ok((NO_STORE, Json(server.tokens()?.list(&asker, &filter)?)).into_response())
}

/// What became of a token (TokenStatusCheck).
#[utoipa::path(
    get,
    path = "/v1/tokens/{tokenId}",
    tag = "tokens",
    params(("tokenId" = String, Path, description = "32 hexadecimal digits")),
    responses((status = 200, body = TokenStatus), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn status(
    State(server): State<Arc<Server>>,
    Reads(asker): Reads,
    id: Id,
) -> Result<Response, Problem> {
    Ok((NO_STORE, Json(server.tokens()?.status(&asker, &text(id)?)?)).into_response())
}

/// The next token of the same lineage (TokenRefresh): refreshed, or upgraded when the store's state allows it.
#[utoipa::path(
    post,
    path = "/v1/tokens/{tokenId}/refresh",
    tag = "tokens",
    params(("tokenId" = String, Path, description = "32 hexadecimal digits")),
    request_body = RefreshRequest,
    responses(
        (status = 200, body = TokenGrant),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "EPOCH_MOVED: the primary has changed; use `endpoint`, and ask again with `acceptEpoch`", body = Problem),
        (status = 410, description = "expired or revoked", body = Problem),
        (status = 503, body = Problem),
        (status = 507, body = Problem)
    )
)]
pub(super) async fn refresh(
    State(server): State<Arc<Server>>,
    Asks(asker): Asks,
    id: Id,
    body: Content,
) -> Result<Response, Problem> {
    let request: RefreshRequest = read_or_default(body)?;
    let grant = server.tokens()?.refresh(&asker, &text(id)?, request).await?;
    Ok((NO_STORE, Json(grant)).into_response())
}

/// Takes a token back, with all that came of it by refreshing.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{tokenId}",
    tag = "tokens",
    params(("tokenId" = String, Path, description = "32 hexadecimal digits")),
    responses((status = 200, body = Revocation), (status = 401, body = Problem), (status = 404, body = Problem), (status = 507, body = Problem))
)]
pub(super) async fn revoke(
    State(server): State<Arc<Server>>,
    Asks(asker): Asks,
    id: Id,
) -> Result<Response, Problem> {
    Ok((NO_STORE, Json(server.tokens()?.revoke(&asker, &text(id)?).await?)).into_response())
}

/// What a verifier needs: public keys, tokens that were taken back, the epoch of each store.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, body = KeySet), (status = 401, body = Problem)))]
pub(super) async fn keys(State(server): State<Arc<Server>>, _: MayRead) -> Result<Response, Problem> {
    Ok((NO_STORE, Json(server.tokens()?.keys())).into_response())
}

/// Makes the next keys now; they sign when they were published for 30 s.
#[utoipa::path(
    post,
    path = "/v1/keys/rotate",
    tag = "keys",
    responses((status = 200, body = KeySet), (status = 401, body = Problem), (status = 409, body = Problem), (status = 507, body = Problem))
)]
pub(super) async fn rotate(State(server): State<Arc<Server>>, _: MayChange) -> Result<Response, Problem> {
    tracing::info!("rotation of the keys asked for");
    Ok((NO_STORE, Json(server.tokens()?.rotate().await?)).into_response())
}

/// Which events to send.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventFilter {
    /// Only those of this store.
    store: Option<String>,
}

/// Server-sent events: `keys`, `revoked` and `store`, each at first and when it changes, and a `heartbeat` every 500 ms.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "keys",
    params(EventFilter),
    responses(
        (status = 200, description = "`keys`: list of Key; `revoked`: list of Revoked; `store`: StoreEvent; `heartbeat`: Heartbeat", content_type = "text/event-stream", body = String),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 503, description = "too many streams", body = Problem)
    )
)]
pub(super) async fn events(
    State(server): State<Arc<Server>>,
    _: MayRead,
    filter: Parameters<EventFilter>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|rejection| Kind::BadRequest.because(rejection.body_text()))?;
    if let Some(store) = &filter.store
        && !server.stores.list().iter().any(|status| status.store.as_str() == store)
    {
        return Err(crate::SwitchoverError::UnknownStore(StoreId::from(store.as_str())).into());
    }
    let cut = request.extensions().get::<Cut>().cloned().unwrap_or_default();
    server.streams.open(Arc::clone(server.tokens()?), filter.store, cut)
}

fn text(id: Id) -> Result<String, Problem> {
    id.map(|Path(id)| id).map_err(|rejection| Kind::BadRequest.because(rejection.body_text()))
}
