//! The rules as extractors: a handler that takes one of these is reached only by who may.
//!
//! What is logged of a refusal is who came and why, and never the path: somebody may have put a token into it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Caller;
use crate::model::Problem;
use crate::server::Server;
use crate::tokens::Asker;

/// Extractor: the caller may read.
pub(crate) struct MayRead;

/// Extractor: the caller may change things. Stands before the body in a handler, so that no body is read for others.
pub(crate) struct MayChange;

/// Extractor: the caller may end the sidecar.
pub(crate) struct MayExit;

/// Extractor: who asks for a token. Stands before the body, as [`MayChange`].
pub(crate) struct Asks(pub(crate) Asker);

/// Extractor: who reads about tokens.
pub(crate) struct Reads(pub(crate) Asker);

fn caller(parts: &Parts) -> Caller {
    // Without a word on where it comes from, a request is treated as one from afar.
    parts.extensions.get::<Caller>().copied().unwrap_or(Caller::Remote)
}

/// Somebody wanted to change something and may not.
fn tell(server: &Server, caller: Caller, problem: &Problem) {
    if server.gate.told.is_due() {
        tracing::warn!(?caller, reason = %problem.detail, "change refused");
    } else {
        tracing::debug!(?caller, reason = %problem.detail, "change refused");
    }
}

impl FromRequestParts<Arc<Server>> for MayRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        server.gate.reader(caller(parts), &parts.headers).map(|_| Self)
    }
}

impl FromRequestParts<Arc<Server>> for Asks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        server.gate.asker(caller, &parts.headers).map(Self).inspect_err(|problem| {
            tracing::debug!(?caller, reason = %problem.detail, "no token for who asks");
        })
    }
}

impl FromRequestParts<Arc<Server>> for Reads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        server.gate.reader(caller(parts), &parts.headers).map(Self)
    }
}

impl FromRequestParts<Arc<Server>> for MayChange {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        let may = server.gate.change(caller, &parts.headers);
        may.map(|()| Self).inspect_err(|problem| tell(server, caller, problem))
    }
}

impl FromRequestParts<Arc<Server>> for MayExit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let caller = caller(parts);
        let may = server.gate.exit(caller, &parts.headers);
        may.map(|()| Self).inspect_err(|problem| tell(server, caller, problem))
    }
}
