//! The listeners, their bounds and the routes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use foretoken_types::{Epoch, StoreId};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::gate::{Gate, MayChange, MayExit, MayRead};
use crate::model::{GateNews, Problem, Readiness, StoreStatus, SwitchoverReport, SwitchoverRequest};
use crate::problem::{Kind, sort};
use crate::stores::Stores;

/// The longest body that is read. A switchover request has under 100 bytes.
pub(crate) const BODY_MAX: usize = 16 * 1024;
/// How long an answer may take: longer than any switchover (hold, drain and a fence wait are below 10 s together).
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The longest that a gate's question waits for news. Far above any lease, far below [`REQUEST_MAX`].
const NEWS_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the routes need.
pub(crate) struct Server {
    pub(crate) stores: Arc<dyn Stores>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) gate: Gate,
}

/// The routes.
pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/startup", get(startup))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/stores", get(list))
        .route("/v1/stores/{store}", get(show))
        .route("/v1/stores/{store}/switchover", post(switchover))
        .route("/v1/gates/{store}", get(gate_news))
        .route("/v1/exit", post(exit))
        .fallback(async |request: Request| {
            Kind::NotFound.because(format!("there is no {}; see /v1/stores", request.uri().path()))
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

async fn startup(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.started, readiness)
}

async fn live(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.live, readiness)
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    let readiness = server.stores.ready();
    verdict(readiness.ready, readiness)
}

async fn metrics(State(server): State<Arc<Server>>, _: MayRead) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], server.metrics.render())
        .into_response()
}

async fn list(State(server): State<Arc<Server>>, _: MayRead) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(server.stores.list())).into_response()
}

async fn show(
    State(server): State<Arc<Server>>,
    _: MayRead,
    store: Result<Path<StoreId>, PathRejection>,
) -> Result<Json<StoreStatus>, Problem> {
    let store = name(store)?;
    let found = server.stores.list().into_iter().find(|status| status.store == store);
    found.map(Json).ok_or_else(|| crate::SwitchoverError::UnknownStore(store).into())
}

async fn switchover(
    State(server): State<Arc<Server>>,
    _: MayChange,
    store: Result<Path<StoreId>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SwitchoverReport>, Problem> {
    let store = name(store)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge.because(format!("at most {BODY_MAX} bytes are read")),
        _ => Kind::BadRequest.because(rejection.body_text()),
    })?;
    let request = if body.trim_ascii().is_empty() {
        SwitchoverRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Kind::BadRequest.because(error.to_string()))?
    };
    tracing::info!(%store, to = ?request.to, dry_run = request.dry_run, "switchover asked for");
    let report = server.stores.switchover(&store, request).await?;
    sort(report).map(Json)
}

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

async fn exit(State(server): State<Arc<Server>>, _: MayExit) -> Response {
    tracing::info!("exit asked for");
    server.stores.exit();
    (StatusCode::ACCEPTED, [(header::CACHE_CONTROL, "no-store")], Json(server.stores.ready())).into_response()
}

fn name(store: Result<Path<StoreId>, PathRejection>) -> Result<StoreId, Problem> {
    store.map(|Path(store)| store).map_err(|rejection| Kind::BadRequest.because(rejection.body_text()))
}
