//! One store on one data thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foretoken_protocol::Protocol;
use foretoken_transport::Connector;
use foretoken_types::{Clock, EndpointId, Posture, Report, StoreId};
use tokio::sync::{mpsc, watch};

use crate::clock::ThreadClock;
use crate::durable::Ask;
use crate::gate::Held;
use crate::lookout::Lookout;
use crate::policy::Policies;
use crate::pool::Pool;
use crate::tally::StoreTally;
use crate::view::View;

/// What may be changed while the proxy runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// What each data block lets happen while the primary can't serve.
    pub policies: Policies,
    /// W: how long a request waits at most, tries again included.
    pub hold_max: Duration,
    /// Q, the share of one thread: how many bytes of requests wait at most.
    pub hold_bytes: usize,
}

/// One server of the store.
#[derive(Clone, Debug)]
pub struct EndpointParams {
    /// Its name.
    pub id: EndpointId,
    /// How to reach it.
    pub connector: Connector,
    /// Whether it stands in this sidecar's region.
    pub near: bool,
    /// Tells who answers on a new connection.
    pub lookout: Lookout,
}

/// Everything that the data path needs to know of one store.
#[derive(Clone)]
pub struct StoreParams<P> {
    /// Its name.
    pub store: StoreId,
    /// Its protocol.
    pub protocol: P,
    /// Its servers.
    pub endpoints: Vec<EndpointParams>,
    /// What to do now.
    pub posture: watch::Receiver<Arc<Posture>>,
    /// What may be changed while the proxy runs.
    pub tunables: watch::Receiver<Arc<Tunables>>,
    /// What happened.
    pub reports: mpsc::Sender<Report>,
    /// Whom to ask whether a mirror has a write.
    pub asks: mpsc::Sender<Ask>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Which safety rules hold: all, but in the builds that prove that the history checker notices a broken one.
    #[cfg(feature = "unsafe-rules")]
    pub rules: Rules,
}

/// Safety rules. All of them hold, but in the test-only build that can switch them off.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Replies that come after their epoch or lease has ended are dropped.
    pub drop_late: bool,
    /// A hold is confirmed only when nothing is under way any more.
    pub drain: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { drop_late: true, drain: true }
    }
}

impl<P> StoreParams<P> {
    #[cfg(feature = "unsafe-rules")]
    const fn rules(&self) -> Rules {
        self.rules
    }

    #[cfg(not(feature = "unsafe-rules"))]
    #[expect(clippy::unused_self, reason = "the other build reads it")]
    fn rules(&self) -> Rules {
        Rules::default()
    }
}

/// One store on one data thread: what its sessions share.
pub(crate) struct Store<P: Protocol> {
    pub(crate) protocol: P,
    pub(crate) view: Rc<View>,
    pub(crate) held: Rc<Held>,
    pub(crate) pool: Rc<Pool<P>>,
    pub(crate) tally: Rc<StoreTally>,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Set once when the proxy shuts down.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) sessions: Cell<usize>,
}

impl<P: Protocol + Clone> Store<P> {
    pub(crate) fn new(params: &StoreParams<P>, draining: watch::Receiver<bool>) -> Rc<Self> {
        let ids: Vec<EndpointId> = params.endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
        let near = params.endpoints.iter().map(|endpoint| endpoint.near).collect();
        let clock = ThreadClock::new(Arc::clone(&params.clock));
        let tally = StoreTally::new(&params.store, &ids, &clock);
        let view = Rc::new(View::new(
            clock,
            ids,
            near,
            params.posture.clone(),
            params.tunables.clone(),
            params.rules(),
        ));
        let pool = Pool::new(params.protocol.clone(), &params.endpoints, Rc::clone(&view), &tally);
        Rc::new(Self {
            protocol: params.protocol.clone(),
            view,
            held: Rc::default(),
            pool,
            tally,
            asks: params.asks.clone(),
            draining,
            sessions: Cell::new(0),
        })
    }
}
