//! Faults that only the demonstration and its tests can cause. No product build has them (feature `faults`).

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Faults that this process is open to, separated by commas.
const VARIABLE: &str = "FORETOKEN_FAULTS";
/// SIGUSR1 halts every control loop for good, while the data path goes on: as if the orchestrator were gone.
const HALT: &str = "halt-control-on-sigusr1";

/// Runs a control loop until it ends, or until it is halted: then nothing of it moves any more, until `stop` turns true.
pub(crate) async fn halting(control: impl Future<Output = ()>, mut stop: watch::Receiver<bool>) {
    let open = std::env::var(VARIABLE).is_ok_and(|faults| faults.split(',').any(|fault| fault == HALT));
    // Where SIGUSR1 can't be caught it ends the process, as ever.
    let caught = if open { signal(SignalKind::user_defined1()).ok() } else { None };
    let Some(mut halt) = caught else { return control.await };
    let mut control = std::pin::pin!(control);
    tokio::select! {
        () = &mut control => return,
        _ = halt.recv() => tracing::warn!("a fault that was asked for: the control loop is halted"),
    }
    // An error means that the sender is gone: ending as well.
    stop.wait_for(|stop| *stop).await.ok();
}
