//! The admin listener: is it alive, what does it see, and move that role.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /startup`, `/live`, `/ready` | 200 or 503, with [`model::Readiness`] |
//! | `GET /metrics` | Prometheus text format 0.0.4 |
//! | `GET /v1/stores` | a list of [`model::StoreStatus`] |
//! | `GET /v1/stores/{store}` | one of them |
//! | `POST /v1/stores/{store}/switchover` | [`model::SwitchoverRequest`] in, [`model::SwitchoverReport`] out |
//! | `GET /v1/gates/{store}?epoch=E&wait=MS` | [`model::GateNews`], at once when the epoch is not E, else after MS milliseconds |
//! | `POST /v1/exit` | 202 with [`model::Readiness`]: the sidecar drains and ends, as after SIGTERM |
//!
//! Errors are problem documents (RFC 9457, [`model::Problem`]). Who may do what: the table in `gate.rs`.
//!
//! What this crate is *not* for: deciding anything. It asks a [`Stores`], which the control loop implements, and it never
//! sees the data path:
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use foretoken_admin::{Listeners, Params, Secret, Stores, serve};
//! # async fn example(
//! #     state_dir: &Path,
//! #     stores: Arc<dyn Stores>,
//! #     prometheus: metrics_exporter_prometheus::PrometheusHandle,
//! #     shutdown: impl Future<Output = ()>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let unix = tokio::net::UnixListener::bind(state_dir.join("admin.sock"))?; // and mode 0600
//! let secret = Secret::load_or_create(&state_dir.join("admin.secret"))?;
//! let listeners = Listeners { unix: Some(unix), ..Listeners::default() };
//! let params = Params { secret: Some(secret), open: false };
//! serve(listeners, params, stores, prometheus, shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! It promises bounds: 64 connections a listener, 16 KiB a body, 5 s for a request's head, 30 s for an answer.
#![warn(missing_docs)]

mod gate;
pub mod model;
mod problem;
mod secret;
mod serve;
mod server;
mod stores;

pub use secret::{Secret, SecretError};
pub use serve::{Listeners, Params, serve};
pub use stores::{Stores, SwitchoverError};
