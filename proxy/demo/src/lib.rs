//! The acts of `foretoken demo`: workload, history checker, report. Tests use the same servers, clients and checker.
#![warn(missing_docs)]

mod acts;
pub mod alone;
pub mod checker;
pub mod exhaustion;
pub mod foretold;
pub mod history;
mod live;
mod page;
mod record;
mod report;
pub mod servers;
pub mod sidecar;
mod stage;
pub mod workload;

use std::path::{Path, PathBuf};

use rand::RngCore as _;

/// What keeps the demonstration from going on. A promise that is not kept is none of these: it is in the table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The report can't be written.
    #[error("the report {} can't be written: {source}; say where with --report", path.display())]
    Report {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A server or a file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A client of the store.
    #[error("a redis client failed: {0}")]
    Redis(#[from] redis::RedisError),
    /// The sidecar does not do as it should.
    #[error("{0}")]
    Sidecar(String),
    /// The sidecar's API.
    #[error("{0}")]
    Api(#[from] foretoken_app::client::ClientError),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; everything that was started has been ended")]
    Interrupted,
}

/// Where the report goes when nobody says where.
pub const REPORT: &str = "foretoken-demo.html";

/// Runs all acts, prints the table and writes `report`, one HTML file. `true`: every promise was kept.
///
/// # Errors
///
/// A server or the sidecar could not be started, or did not come as far as the promises; or the report can't be written,
/// which is found out before anything is started.
pub fn run(seed: Option<u64>, report: &Path) -> Result<bool, Error> {
    let seed = seed.unwrap_or_else(|| rand::rng().next_u64() % 1_000_000);
    let program: PathBuf = std::env::current_exe()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            result = acts::all(&program, seed, report) => result,
            _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        }
    })
}
