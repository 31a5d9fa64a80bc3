//! The admin listener: is it alive, what does it see, move that role, and give me a token.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /startup`, `/live`, `/ready` | 200 or 503, with [`model::Readiness`] |
//! | `GET /metrics` | Prometheus text format 0.0.4 |
//! | `GET /v1/stores` | a list of [`model::StoreStatus`] |
//! | `GET /v1/stores/{store}` | one of them |
//! | `POST /v1/stores/{store}/switchover` | [`model::SwitchoverRequest`] in, [`model::SwitchoverReport`] out |
//! | `GET /v1/gates/{store}?epoch=E&wait=MS` | [`model::GateNews`], at once when the epoch is not E, else after MS milliseconds |
//! | `POST /v1/tokens` | [`model::TokenRequest`] in, [`model::TokenGrant`] out: the highest tier that can be had now |
//! | `POST /v1/tokens/predictive` | the same in, [`model::PredictiveGrant`] out: the temporary token in advance |
//! | `GET /v1/tokens?serviceId=&store=` | a list of [`model::TokenStatus`] |
//! | `GET /v1/tokens/{tokenId}` | one of them |
//! | `POST /v1/tokens/{tokenId}/refresh` | [`model::RefreshRequest`] in, [`model::TokenGrant`] out, or 409 and the new epoch |
//! | `DELETE /v1/tokens/{tokenId}` | [`model::Revocation`] |
//! | `GET /v1/keys` | [`model::KeySet`]: what a verifier needs, in one piece |
//! | `POST /v1/keys/rotate` | the same, with the next keys in it |
//! | `GET /v1/events` | the same as a stream of server-sent events, with a heartbeat every 500 ms |
//! | `GET /v1/openapi.json` | all of this, as OpenAPI 3.1 |
//! | `POST /v1/exit` | 202 with [`model::Readiness`]: the sidecar drains and ends, as after SIGTERM |
//!
//! Errors are problem documents (RFC 9457, [`model::Problem`]). Who may do what: the table in `gate.rs`.
//!
//! What this crate is *not* for: deciding anything. It asks a [`Stores`], which the control loop implements, and a [`Tokens`];
//! it never sees the data path:
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use foretoken_admin::{Listeners, Params, Secret, Stores, Tokens, serve};
//! # async fn example(
//! #     state_dir: &Path,
//! #     stores: Arc<dyn Stores>,
//! #     tokens: Option<Arc<dyn Tokens>>,
//! #     metrics: foretoken_admin::MetricsPage,
//! #     shutdown: impl Future<Output = ()>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let unix = tokio::net::UnixListener::bind(state_dir.join("admin.sock"))?; // and mode 0600
//! let secret = Secret::load_or_create(&state_dir.join("admin.secret"))?;
//! let listeners = Listeners { unix: Some(unix), ..Listeners::default() };
//! let params = Params { secret: Some(secret), ..Params::default() };
//! serve(listeners, params, stores, tokens, metrics, shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! It promises bounds: 64 connections a listener, 16 KiB a body, 5 s for a request's head, 30 s for an answer, 32 streams
//! of events. Who asks is decided before the body is read.
#![warn(missing_docs)]

mod events;
mod gate;
pub mod model;
mod problem;
mod recorder;
mod secret;
mod serve;
mod server;
mod stores;
mod tokens;

pub use gate::{Doors, ServiceDoor};
pub use recorder::{MetricsPage, MetricsRecorder};
pub use secret::{Secret, SecretError};
pub use serve::{CONNECTIONS_MAX, Listeners, Params, serve};
pub use stores::{Stores, SwitchoverError};
pub use tokens::{Asker, TokenError, Tokens};
