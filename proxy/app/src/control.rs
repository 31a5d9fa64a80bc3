//! The control loop of one store: events in, effects out.
//!
//! The only room that knows all engines. One task per store owns them: watchers tell what the endpoints say, data threads
//! report what they did, `health` and `mirror` fold both, `failover` decides, and this loop performs what it decided:
//! it publishes the posture, sends orders to endpoints, writes the registry. Nothing here waits for an endpoint or for the
//! disk: what takes time runs in a task of its own and comes back as a signal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::model::{StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_failover::Settings;
use foretoken_health::DetectParams;
use foretoken_outbound::{Ask, Lookout, lookout};
use foretoken_protocol::{Control, Dial};
use foretoken_registry::Registry;
use foretoken_types::{Clock, EndpointId, Posture, Region, Report, StoreId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

mod barrier;
mod engine;
mod foresee;
mod journal;
mod judge;
mod orders;
pub(crate) mod record;
mod recorder;
mod sighting;
mod signal;
mod status;
mod trouble;
mod warnings;
mod watch_endpoint;
mod watch_host;

pub(crate) use foresee::{Chosen, ForesightParams, Judges};
pub(crate) use recorder::RecordParams;
pub(crate) use watch_endpoint::HostSource;

/// Signals on their way to a store's loop; a watcher waits when it is full.
const SIGNALS_DEPTH: usize = 256;
/// Orders to switch over that wait; there is one operator.
const COMMANDS_DEPTH: usize = 8;

/// Makes a control connection.
pub(crate) type MakeControl = Box<dyn Fn() -> Box<dyn Control> + Send + Sync>;

/// One endpoint of a store.
pub(crate) struct EndpointSpec {
    /// Its name.
    pub(crate) id: EndpointId,
    /// Where it stands.
    pub(crate) region: Option<Region>,
    /// Its address, for people.
    pub(crate) address: String,
    /// How the other endpoints reach it.
    pub(crate) dial: Dial,
    /// Makes a control connection to it.
    pub(crate) control: MakeControl,
    /// Where the figures of its machine come from.
    pub(crate) host: HostSource,
}

/// What can change while the loop runs.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Settings of the state machine.
    pub(crate) settings: Settings,
    /// Thresholds of the detector.
    pub(crate) detect: DetectParams,
    /// How often an endpoint is looked at.
    pub(crate) probe_interval: Duration,
    /// Lags up to which a mirror may serve stale reads of some block, the least first.
    pub(crate) read_lags: Vec<Duration>,
    /// Looking ahead.
    pub(crate) foresight: ForesightParams,
}

/// What the loop of one store needs to know.
pub(crate) struct StoreParams {
    /// The store.
    pub(crate) store: StoreId,
    /// Where clients find it, for people.
    pub(crate) listen: Vec<String>,
    /// Settings of the state machine.
    pub(crate) machine: foretoken_failover::Params,
    /// What may change.
    pub(crate) live: watch::Receiver<Live>,
    /// Where this sidecar stands.
    pub(crate) region: Option<Region>,
    /// Where to record; `None`: nowhere.
    pub(crate) record: Option<RecordParams>,
    /// The endpoints, the configured primary first.
    pub(crate) endpoints: Vec<EndpointSpec>,
    /// Where the journal of risks is written.
    pub(crate) journal: PathBuf,
}

/// An order to switch over.
pub(crate) struct Command {
    /// What is asked.
    pub(crate) request: SwitchoverRequest,
    /// Where the report goes.
    pub(crate) answer: oneshot::Sender<SwitchoverReport>,
}

/// The loop of one store, seen from outside.
pub(crate) struct StoreHandle {
    /// Whether a mirror has a write.
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Who answers on a new connection to each endpoint.
    pub(crate) lookouts: Vec<Lookout>,
    /// What the data plane obeys.
    pub(crate) posture: watch::Receiver<Arc<Posture>>,
    /// What `status` shows.
    pub(crate) status: watch::Receiver<Arc<StoreStatus>>,
    /// Orders.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Ends when `stop` turns true.
    pub(crate) task: JoinHandle<()>,
}

/// Starts the loop of one store on the present runtime. It ends when `stop` turns true.
#[must_use]
pub(crate) fn spawn(
    params: StoreParams,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
) -> StoreHandle {
    let (posture_out, posture) = watch::channel(Arc::new(Posture::closed(params.store.clone())));
    let (status_out, status) = watch::channel(Arc::new(StoreStatus::unknown(params.store.clone())));
    let (asks, asks_in) = mpsc::channel(barrier::DEPTH);
    let connections = params.endpoints.iter().map(|spec| (spec.id.clone(), (spec.control)())).collect();
    // Ends when nobody can ask any more.
    tokio::spawn(barrier::Barrier { endpoints: connections, posture: posture.clone(), asks: asks_in }.run());
    let (commands, commands_in) = mpsc::channel(COMMANDS_DEPTH);
    let (signals, signals_in) = mpsc::channel(SIGNALS_DEPTH);
    #[cfg(feature = "faults")]
    let stopped = stop.clone();
    let inputs = engine::Inputs { signals: signals_in, reports, commands: commands_in, stop };
    let (sights, lookouts) = params.endpoints.iter().map(|_| lookout()).unzip();
    let outputs = engine::Outputs { posture: posture_out, status: status_out, sights };
    let engine = engine::Engine::new(params, registry, clock, signals, outputs);
    let control = engine.run(inputs);
    #[cfg(feature = "faults")]
    let control = crate::faults::halting(control, stopped);
    let task = tokio::spawn(control);
    StoreHandle { asks, lookouts, posture, status, commands, task }
}
