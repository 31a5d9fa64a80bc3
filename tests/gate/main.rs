//! Gates in front of real servers: who passes, who does not, and what the sidecar notices of it (docs/gate.md).

mod bypass;
mod example;
mod lost;
mod support;
mod through;
mod tls;
mod tokens;
