//! Gates in front of real servers: who passes, who does not, and what the sidecar notices of it (docs/gate.md).

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/http.rs"]
mod http;

mod bypass;
mod example;
mod foreign;
mod lost;
mod support;
mod through;
mod tls;
mod tokens;
