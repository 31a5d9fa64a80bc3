//! The listeners, their bounds and the routes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use foretoken_types::{Epoch, StoreId};
use serde::de::DeserializeOwned;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Streams;
use crate::gate::{Gate, MayChange, MayExit, MayRead};
use crate::model::{
    EpochMoved, GateNews, Heartbeat, Key, Problem, Readiness, Revoked, StoreEvent, StoreStatus,
    SwitchoverReport, SwitchoverRequest,
};
use crate::problem::{Kind, sort, withhold};
use crate::recorder::MetricsPage;
use crate::stores::Stores;
use crate::tokens::Tokens;

mod tokens;

/// The longest body that is read. A switchover request has under 100 bytes.
pub(crate) const BODY_MAX: usize = 16 * 1024;
/// How long an answer may take: longer than any switchover (hold, drain and a fence wait are below 10 s together).
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The longest that a gate's question waits for news. Far above any lease, far below [`REQUEST_MAX`].
const NEWS_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the routes need.
pub(crate) struct Server {
    pub(crate) stores: Arc<dyn Stores>,
    /// None at a gate, which has none to give.
    pub(crate) tokens: Option<Arc<dyn Tokens>>,
    pub(crate) metrics: MetricsPage,
    pub(crate) gate: Gate,
    pub(crate) streams: Streams,
}

impl Server {
    fn tokens(&self) -> Result<&Arc<dyn Tokens>, Problem> {
        self.tokens.as_ref().ok_or_else(|| Kind::NotFound.because("a gate gives no tokens: ask its sidecar"))
    }
}

/// The routes. Each is described where it is handled, and what is described is what is served.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let (routes, document) = routes().split_for_parts();
    // A document that the compiler has built always writes.
    let document = Bytes::from(document.to_json().unwrap_or_default());
    let openapi = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) });
    routes
        .route("/v1/openapi.json", openapi)
        .fallback(async |request: Request| {
            Kind::NotFound.because(format!("there is no {}; see /v1/openapi.json", request.uri().path()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            Kind::MethodNotAllowed.because(format!(
                "{} does not take {}",
                request.uri().path(),
                request.method()
            ))
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        // Outermost: the time to read the body counts.
        .layer(middleware::from_fn(in_time))
        .with_state(server)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Foretoken",
        description = "Health, stores, switchovers and tokens of one sidecar. Errors are problem documents (RFC 9457).",
        license(name = "Apache-2.0")
    ),
    components(schemas(Problem, EpochMoved, StoreEvent, Key, Revoked, Heartbeat))
)]
struct Document;

pub(crate) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(startup))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(switchover))
        .routes(routes!(gate_news))
        .routes(routes!(exit))
        .routes(routes!(tokens::issue, tokens::list))
        .routes(routes!(tokens::predictive))
        .routes(routes!(tokens::status, tokens::revoke))
        .routes(routes!(tokens::refresh))
        .routes(routes!(tokens::keys))
        .routes(routes!(tokens::rotate))
        .routes(routes!(tokens::events))
}

async fn in_time(request: Request<Body>, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Kind::TimedOut
            .because("what was begun goes on: look at /v1/stores for its outcome")
            .into_response(),
    }
}

fn verdict(passed: bool, readiness: Readiness) -> Response {
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response()
}

/// Whether every listener is open and every store was looked at.
#[utoipa::path(
    get,
    path = "/startup",
    tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "not yet, or no more", body = Readiness))
)]
async fn startup(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.started, readiness)
}

/// Whether the control loop turns.
#[utoipa::path(
    get,
    path = "/live",
    tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "not yet, or no more", body = Readiness))
)]
async fn live(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.live, readiness)
}

/// Whether every store serves traffic.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "not yet, or no more", body = Readiness))
)]
async fn ready(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.ready, readiness)
}

/// The metrics, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String), (status = 401, body = Problem)))]
async fn metrics(State(server): State<Arc<Server>>, _: MayRead) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], server.metrics.render())
        .into_response()
}

/// Every store.
#[utoipa::path(
    get,
    path = "/v1/stores",
    tag = "stores",
    responses((status = 200, body = Vec<StoreStatus>), (status = 401, body = Problem))
)]
async fn list(State(server): State<Arc<Server>>, _: MayRead) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(server.stores.list())).into_response()
}

/// One store.
#[utoipa::path(
    get,
    path = "/v1/stores/{store}",
    tag = "stores",
    params(("store" = String, Path, description = "its name in the configuration")),
    responses((status = 200, body = StoreStatus), (status = 404, body = Problem))
)]
async fn show(
    State(server): State<Arc<Server>>,
    _: MayRead,
    store: Result<Path<StoreId>, PathRejection>,
) -> Result<Json<StoreStatus>, Problem> {
    let store = name(store)?;
    let found = server.stores.list().into_iter().find(|status| status.store == store);
    found.map(Json).ok_or_else(|| crate::SwitchoverError::UnknownStore(store).into())
}

/// Moves the primary role of a store, or only checks whether it could be moved.
#[utoipa::path(
    post,
    path = "/v1/stores/{store}/switchover",
    tag = "stores",
    params(("store" = String, Path, description = "its name in the configuration")),
    request_body = SwitchoverRequest,
    responses(
        (status = 200, body = SwitchoverReport),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "refused, taken back, or another one is under way", body = Problem)
    )
)]
async fn switchover(
    State(server): State<Arc<Server>>,
    _: MayChange,
    store: Result<Path<StoreId>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SwitchoverReport>, Problem> {
    let store = name(store)?;
    let request: SwitchoverRequest = read_or_default(body)?;
    let to = request.to.as_ref().map(|to| withhold(to.as_str()));
    tracing::info!(store = withhold(store.as_str()), ?to, dry_run = request.dry_run, "switchover asked for");
    let report = server.stores.switchover(&store, request).await?;
    sort(report).map(Json)
}

/// The word of the sidecar to a gate: at once when the epoch is not `epoch`, else after `wait` milliseconds.
#[utoipa::path(
    get,
    path = "/v1/gates/{store}",
    tag = "keys",
    params(
        ("store" = String, Path, description = "its name in the configuration"),
        ("epoch" = Option<u64>, Query, description = "the epoch that the gate knows"),
        ("wait" = Option<u64>, Query, description = "how long the answer may wait for another one, in milliseconds")
    ),
    responses((status = 200, body = GateNews), (status = 401, body = Problem), (status = 404, body = Problem))
)]
async fn gate_news(
    State(server): State<Arc<Server>>,
    _: MayRead,
    store: Result<Path<StoreId>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let store = name(store)?;
    let (mut known, mut wait) = (None, Duration::ZERO);
    for (key, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        let number = || {
            let wrong = |_| Kind::BadRequest.because(format!("{key} is a number, as in epoch=7&wait=600"));
            value.parse::<u64>().map_err(wrong)
        };
        match key {
            "epoch" => known = Some(Epoch(number()?)),
            "wait" => wait = Duration::from_millis(number()?).min(NEWS_WAIT_MAX),
            _ => {}
        }
    }
    let news: GateNews = server.stores.gate_news(&store, known, wait).await.ok_or_else(|| {
        Kind::UnknownStore
            .because(format!("there is no store \"{store}\" with gate = true at one of its endpoints"))
    })?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(news)).into_response())
}

/// Drains and ends the sidecar.
#[utoipa::path(post, path = "/v1/exit", tag = "health", responses((status = 202, body = Readiness), (status = 401, body = Problem)))]
async fn exit(State(server): State<Arc<Server>>, _: MayExit) -> Response {
    tracing::info!("exit asked for");
    server.stores.exit();
    (StatusCode::ACCEPTED, [(header::CACHE_CONTROL, "no-store")], Json(server.stores.ready())).into_response()
}

fn name(store: Result<Path<StoreId>, PathRejection>) -> Result<StoreId, Problem> {
    store.map(|Path(store)| store).map_err(|rejection| Kind::BadRequest.because(rejection.body_text()))
}

/// The body as JSON.
fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = whole(body)?;
    serde_json::from_slice(&body).map_err(|error| Kind::BadRequest.because(error.to_string()))
}

/// The same; an empty body says nothing.
fn read_or_default<T: DeserializeOwned + Default>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = whole(body)?;
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| Kind::BadRequest.because(error.to_string()))
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge.because(format!("at most {BODY_MAX} bytes are read")),
        _ => Kind::BadRequest.because(rejection.body_text()),
    })
}
