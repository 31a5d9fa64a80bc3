//! Errors as documents (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use foretoken_token::Denied;

use crate::model::{EpochMoved, Problem, SwitchoverOutcome, SwitchoverReport};
use crate::stores::SwitchoverError;
use crate::tokens::TokenError;

/// The kinds of problem. A kind has one status and one title for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    UnknownStore,
    UnknownEndpoint,
    TooLarge,
    Busy,
    NotInCharge,
    SwitchoverRefused,
    SwitchoverAborted,
    Draining,
    Failed,
    TimedOut,
    UnknownBlock,
    OtherService,
    UnknownToken,
    NotPermitted,
    NotLeader,
    NothingNow,
    TokenEnded,
    EpochMoved,
    TooManyTokens,
    NotStored,
    Crowded,
    Keys,
}

impl Kind {
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => {
                ("urn:foretoken:bad-request", StatusCode::BAD_REQUEST, "the request can't be understood")
            }
            Self::Unauthorized => {
                ("urn:foretoken:unauthorized", StatusCode::UNAUTHORIZED, "the bearer secret is needed")
            }
            Self::Forbidden => ("urn:foretoken:forbidden", StatusCode::FORBIDDEN, "not allowed"),
            Self::NotFound => ("urn:foretoken:not-found", StatusCode::NOT_FOUND, "nothing is there"),
            Self::MethodNotAllowed => (
                "urn:foretoken:method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "another method is needed",
            ),
            Self::UnknownStore => ("urn:foretoken:unknown-store", StatusCode::NOT_FOUND, "no such store"),
            Self::UnknownEndpoint => {
                ("urn:foretoken:unknown-endpoint", StatusCode::UNPROCESSABLE_ENTITY, "no such endpoint")
            }
            Self::TooLarge => {
                ("urn:foretoken:too-large", StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
            }
            Self::Busy => ("urn:foretoken:busy", StatusCode::CONFLICT, "another change is under way"),
            Self::NotInCharge => {
                ("urn:foretoken:not-in-charge", StatusCode::CONFLICT, "this sidecar is not in charge")
            }
            Self::SwitchoverRefused => {
                ("urn:foretoken:switchover-refused", StatusCode::CONFLICT, "the switchover was not begun")
            }
            Self::SwitchoverAborted => {
                ("urn:foretoken:switchover-aborted", StatusCode::CONFLICT, "the switchover was taken back")
            }
            Self::Draining => {
                ("urn:foretoken:draining", StatusCode::SERVICE_UNAVAILABLE, "the sidecar is shutting down")
            }
            Self::Failed => {
                ("urn:foretoken:failed", StatusCode::INTERNAL_SERVER_ERROR, "the outcome is not known")
            }
            Self::TimedOut => {
                ("urn:foretoken:timed-out", StatusCode::GATEWAY_TIMEOUT, "there was no answer in time")
            }
            Self::UnknownBlock => {
                ("urn:foretoken:unknown-block", StatusCode::NOT_FOUND, "no such data block")
            }
            Self::OtherService => {
                ("urn:foretoken:other-service", StatusCode::FORBIDDEN, "not allowed to act for that service")
            }
            Self::UnknownToken => ("urn:foretoken:unknown-token", StatusCode::NOT_FOUND, "no such token"),
            Self::NotPermitted => {
                ("urn:foretoken:not-permitted", StatusCode::FORBIDDEN, "the service may not have that")
            }
            Self::NotLeader => (
                "urn:foretoken:not-leader",
                StatusCode::SERVICE_UNAVAILABLE,
                "this sidecar gives no rights now",
            ),
            Self::NothingNow => {
                ("urn:foretoken:nothing-now", StatusCode::CONFLICT, "there is no such token to be had now")
            }
            Self::TokenEnded => ("urn:foretoken:token-ended", StatusCode::GONE, "the token has ended"),
            Self::EpochMoved => ("urn:foretoken:epoch-moved", StatusCode::CONFLICT, "EPOCH_MOVED"),
            Self::TooManyTokens => {
                ("urn:foretoken:too-many-tokens", StatusCode::TOO_MANY_REQUESTS, "too many tokens live")
            }
            Self::NotStored => (
                "urn:foretoken:not-stored",
                StatusCode::INSUFFICIENT_STORAGE,
                "the disk did not take what must be on it",
            ),
            Self::Crowded => {
                ("urn:foretoken:crowded", StatusCode::SERVICE_UNAVAILABLE, "too many streams are open")
            }
            Self::Keys => ("urn:foretoken:keys", StatusCode::CONFLICT, "the keys can't be changed now"),
        }
    }

    /// The document for one occurrence.
    pub(crate) fn because(self, detail: impl Into<String>) -> Problem {
        let (kind, status, title) = self.parts();
        Problem {
            kind: kind.into(),
            title: title.into(),
            status: status.as_u16(),
            detail: withhold(&detail.into()),
            report: None,
            moved: None,
        }
    }
}

/// The longest word of a request that an answer repeats: as long as any name, and shorter than any token.
const WORD_MAX: usize = 128;

/// The same words, but for those that are too long to be of ours: somebody may have put a token into the wrong place, and
/// answers are written to logs. What a log line of ours repeats of a request goes through this as well.
pub(crate) fn withhold(detail: &str) -> String {
    let shown = |word: &str| {
        let end = word.char_indices().nth(16).map_or(word.len(), |(end, _)| end);
        if word.len() > WORD_MAX { format!("{}…", &word[..end]) } else { word.to_owned() }
    };
    detail.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let words = error.to_string();
        let kind = match error {
            TokenError::Malformed(_) => Kind::BadRequest,
            TokenError::UnknownStore(_) => Kind::UnknownStore,
            TokenError::UnknownBlock(_) => Kind::UnknownBlock,
            TokenError::OtherService(_) => Kind::OtherService,
            TokenError::Storage(_) => Kind::NotStored,
            TokenError::Keys(_) => Kind::Keys,
            TokenError::Denied { reason: Denied::Moved { new_epoch, .. }, endpoint } => {
                let moved = Some(EpochMoved { new_epoch: new_epoch.0, endpoint });
                return Self { moved, ..Kind::EpochMoved.because(words) };
            }
            TokenError::Denied { reason, .. } => match reason {
                Denied::NotLeader => Kind::NotLeader,
                Denied::NotPermitted { .. } => Kind::NotPermitted,
                Denied::NothingNow { .. } | Denied::NoPrimary | Denied::ProvisionalOver => Kind::NothingNow,
                Denied::NoHolder | Denied::Claims(_) => Kind::BadRequest,
                Denied::Unknown => Kind::UnknownToken,
                Denied::Expired | Denied::Revoked => Kind::TokenEnded,
                Denied::Full { .. } => Kind::TooManyTokens,
                Denied::Keys(_) | Denied::Moved { .. } => Kind::Failed,
            },
        };
        kind.because(words)
    }
}

impl From<SwitchoverError> for Problem {
    fn from(error: SwitchoverError) -> Self {
        let kind = match &error {
            SwitchoverError::UnknownStore(_) => Kind::UnknownStore,
            SwitchoverError::UnknownEndpoint { .. } => Kind::UnknownEndpoint,
            SwitchoverError::Busy(_) => Kind::Busy,
            SwitchoverError::NotInCharge { .. } => Kind::NotInCharge,
            SwitchoverError::Draining => Kind::Draining,
            SwitchoverError::Failed(_) => Kind::Failed,
        };
        kind.because(error.to_string())
    }
}

/// A switchover that did not happen is a problem which carries its report; one that did is the report alone.
pub(crate) fn sort(report: SwitchoverReport) -> Result<SwitchoverReport, Problem> {
    let kind = match report.outcome {
        SwitchoverOutcome::Done => return Ok(report),
        SwitchoverOutcome::Refused => Kind::SwitchoverRefused,
        SwitchoverOutcome::Aborted => Kind::SwitchoverAborted,
    };
    Err(Problem { report: Some(Box::new(report.clone())), ..kind.because(report.detail) })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_name_is_not_repeated() {
        let (name, token) = ("x".repeat(WORD_MAX), format!("v4.public.{}", "é".repeat(200)));
        let words = format!("there is no {name}, and no\"{token}\"");
        let shown = Kind::BadRequest.because(words).detail;
        assert_eq!(shown, format!("there is no {}… and no\"v4.public.ééé…", "x".repeat(16)));
        let words = format!("there is no {name} here");
        assert_eq!(Kind::BadRequest.because(words.clone()).detail, words);
    }
}
