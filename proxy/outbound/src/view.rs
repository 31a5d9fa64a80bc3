//! The posture as one data thread sees it.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foretoken_protocol::{Batch, Carriage};
use foretoken_types::{Access, BootInstant, EndpointId, Epoch, Posture};
use tokio::sync::{Notify, watch};

use crate::clock::ThreadClock;
use crate::policy::{Policy, ReadFrom};
use crate::request::{Reader, Target};
use crate::store::{Rules, Tunables};

/// How long a mirror is left alone that did not answer, when the primary can do so: nobody waits for the control plane to
/// notice.
const SHUNNED: Duration = Duration::from_secs(1);

/// One store's posture and tunables, read with one atomic load each as long as they have not changed.
pub(crate) struct View {
    clock: Rc<ThreadClock>,
    endpoints: Vec<EndpointId>,
    /// Which of them stand in our region.
    near: Vec<bool>,
    posture: Watched<Posture>,
    primary: Cell<Option<usize>>,
    tunables: Watched<Tunables>,
    /// What the tunables ask for, so that nobody who asks for nothing pays for it.
    wanted: Cell<Wanted>,
    /// Until when each endpoint is not asked as a mirror that the primary could stand in for: it failed just now.
    shunned: Vec<Cell<Option<BootInstant>>>,
    pub(crate) rules: Rules,
    /// What is under way.
    pub(crate) in_flight: Rc<InFlight>,
}

struct Watched<T> {
    receiver: RefCell<watch::Receiver<Arc<T>>>,
    cached: RefCell<Arc<T>>,
}

impl<T> Watched<T> {
    fn new(mut receiver: watch::Receiver<Arc<T>>) -> Self {
        let cached = RefCell::new(Arc::clone(&receiver.borrow_and_update()));
        Self { receiver: RefCell::new(receiver), cached }
    }

    /// Whether a new value was taken over.
    fn refresh(&self) -> bool {
        // An error means that the sender is gone: the last value stays in force, and its lease ends by itself.
        if !self.receiver.borrow().has_changed().unwrap_or(false) {
            return false;
        }
        *self.cached.borrow_mut() = Arc::clone(&self.receiver.borrow_mut().borrow_and_update());
        true
    }
}

impl View {
    pub(crate) fn new(
        clock: Rc<ThreadClock>,
        endpoints: Vec<EndpointId>,
        near: Vec<bool>,
        posture: watch::Receiver<Arc<Posture>>,
        tunables: watch::Receiver<Arc<Tunables>>,
        rules: Rules,
    ) -> Self {
        let wanted = Cell::new(Wanted::by(&tunables.borrow()));
        let shunned = endpoints.iter().map(|_| Cell::default()).collect();
        let view = Self {
            clock,
            endpoints,
            near,
            posture: Watched::new(posture),
            primary: Cell::new(None),
            tunables: Watched::new(tunables),
            wanted,
            shunned,
            rules,
            in_flight: Rc::default(),
        };
        view.find_primary();
        view
    }

    fn find_primary(&self) {
        let index = self.posture.cached.borrow().primary.as_ref().and_then(|id| self.index(id));
        self.primary.set(index);
    }

    /// The number of an endpoint.
    pub(crate) fn index(&self, id: &EndpointId) -> Option<usize> {
        self.endpoints.iter().position(|known| known == id)
    }

    pub(crate) fn now(&self) -> BootInstant {
        self.clock.now()
    }

    /// See [`ThreadClock::just_now`].
    pub(crate) fn just_now(&self) -> BootInstant {
        self.clock.just_now()
    }

    /// The posture in force.
    pub(crate) fn posture(&self) -> Ref<'_, Arc<Posture>> {
        if self.posture.refresh() {
            self.find_primary();
        }
        self.posture.cached.borrow()
    }

    pub(crate) fn tunables(&self) -> Arc<Tunables> {
        self.refresh_tunables();
        Arc::clone(&self.tunables.cached.borrow())
    }

    fn refresh_tunables(&self) {
        if self.tunables.refresh() {
            self.wanted.set(Wanted::by(&self.tunables.cached.borrow()));
        }
    }

    /// Whether mirrors answer reads of some block while the primary can serve.
    pub(crate) fn spreads_reads(&self) -> bool {
        self.refresh_tunables();
        self.wanted.get().spread_reads
    }

    /// Whether some block's mirrors must have what a session has written.
    pub(crate) fn follows_own_writes(&self) -> bool {
        self.refresh_tunables();
        self.wanted.get().own_writes
    }

    /// A mirror did not answer.
    pub(crate) fn shun(&self, mirror: usize) {
        if let Some(until) = self.shunned.get(mirror) {
            until.set(Some(self.now() + SHUNNED));
        }
    }

    /// A receiver that has seen the present posture: its `changed` is the next one.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Posture>> {
        self.posture.receiver.borrow().clone()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.posture().epoch
    }

    /// Resolves when `epoch` is over, or nobody is left who could end it.
    pub(crate) async fn left(&self, epoch: Epoch) {
        let mut posture = self.watch();
        while self.epoch() == epoch && posture.changed().await.is_ok() {}
    }

    /// The primary and its epoch, if it takes such requests now.
    pub(crate) fn primary_for(&self, access: Access, now: BootInstant) -> Option<(usize, Epoch)> {
        let posture = self.posture();
        self.primary.get().filter(|_| posture.admits(access, now)).map(|primary| (primary, posture.epoch))
    }

    /// Whether the posture names this endpoint as the primary, whatever it lets through now.
    pub(crate) fn is_primary(&self, endpoint: usize) -> bool {
        drop(self.posture());
        self.primary.get() == Some(endpoint)
    }

    /// Whether it is the primary, and takes requests now.
    pub(crate) fn is_served_by(&self, endpoint: usize) -> bool {
        self.primary_for(Access::Read, self.now()).is_some_and(|(primary, _)| primary == endpoint)
    }

    /// Whether it is a mirror that may be asked.
    pub(crate) fn is_route(&self, endpoint: usize) -> bool {
        self.posture().mirrors.iter().any(|route| self.index(&route.endpoint) == Some(endpoint))
    }

    /// Where `batch` may go now; `None`: nowhere yet.
    pub(crate) fn admit(&self, batch: &Batch, reader: &Reader, now: BootInstant) -> Option<Target> {
        let may_be_stale = batch.access == Access::Read && !reader.pinned;
        if let Some((primary, epoch)) = self.primary_for(batch.access, now) {
            let mirror = (may_be_stale
                && batch.carriage == Carriage::Shared
                && batch.any_server
                && self.spreads_reads())
            .then(|| self.preferred(self.policy(batch), reader, primary, now))
            .flatten();
            return Some(mirror.map_or(Target::Primary(primary, epoch), Target::Mirror));
        }
        if !may_be_stale || !self.posture().admits_stale(now) {
            return None;
        }
        let limit = match batch.carriage {
            Carriage::Shared => {
                let policy = self.policy(batch);
                let mirror = self.mirrors(policy.stale_reads?, |mirror| has_own(policy, reader, mirror));
                return mirror.map(Target::Mirror);
            }
            // A client that comes now is to get at what may be read.
            Carriage::Setup => self.tunables().policies.stalest(),
            _ => None,
        };
        self.mirrors(limit?, |_| true).map(Target::Mirror)
    }

    /// The mirror that answers a read although the primary could.
    fn preferred(&self, policy: Policy, reader: &Reader, primary: usize, now: BootInstant) -> Option<usize> {
        let is_shunned =
            |mirror: usize| self.shunned.get(mirror).and_then(Cell::get).is_some_and(|until| now < until);
        let is_near = |endpoint: usize| self.near.get(endpoint).is_some_and(|near| *near);
        let wanted = match policy.read_from {
            _ if reader.again => return None,
            ReadFrom::Primary => return None,
            ReadFrom::Nearest if is_near(primary) => return None,
            read_from => move |mirror| read_from == ReadFrom::Mirror || is_near(mirror),
        };
        self.mirrors(policy.stale_reads?, |mirror| {
            wanted(mirror) && !is_shunned(mirror) && has_own(policy, reader, mirror)
        })
    }

    /// The best mirror that is at most `limit` behind and is `wanted`.
    fn mirrors(&self, limit: Duration, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let posture = self.posture();
        let fresh = posture.mirrors.iter().filter(|route| route.staleness <= limit);
        fresh.filter_map(|route| self.index(&route.endpoint)).find(|mirror| wanted(*mirror))
    }

    /// What all the blocks that `batch` touches let happen while the primary can't serve.
    pub(crate) fn policy(&self, batch: &Batch) -> Policy {
        self.tunables().policies.of(batch.blocks)
    }

    /// Whether what was admitted may still be sent: the place of the check is the place of use.
    pub(crate) fn still_admits(&self, target: Target, access: Access) -> bool {
        match target {
            Target::Primary(_, epoch) => {
                let now = self.now();
                let posture = self.posture();
                posture.epoch == epoch && posture.admits(access, now)
            }
            Target::Mirror(_) => {
                let now = self.now();
                let posture = self.posture();
                posture.admits_stale(now) || posture.admits(access, now)
            }
            Target::Open => false,
        }
    }

    /// Whether the reply to what was sent under `epoch` may be forwarded now.
    pub(crate) fn acknowledges(&self, epoch: Option<Epoch>) -> bool {
        !self.rules.drop_late
            || epoch.is_none_or(|epoch| {
                let now = self.now();
                self.posture().acknowledges(epoch, now)
            })
    }
}

/// What the tunables ask for.
#[derive(Clone, Copy)]
struct Wanted {
    spread_reads: bool,
    own_writes: bool,
}

impl Wanted {
    fn by(tunables: &Tunables) -> Self {
        let policies = &tunables.policies;
        Self { spread_reads: policies.spread_reads(), own_writes: policies.follow_own_writes() }
    }
}

/// Whether a mirror may answer, as far as the session's own writes go.
fn has_own(policy: Policy, reader: &Reader, mirror: usize) -> bool {
    !policy.own_writes || reader.own_writes.are_at(mirror)
}

/// Requests under way at the primary, blocking ones aside.
#[derive(Default)]
pub(crate) struct InFlight {
    reads: Cell<usize>,
    writes: Cell<usize>,
    changed: Notify,
}

/// Counts one batch while it lives.
pub(crate) struct InFlightGuard {
    count: Option<(Rc<InFlight>, Access)>,
}

impl InFlight {
    fn cell(&self, access: Access) -> &Cell<usize> {
        match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        }
    }

    pub(crate) fn enter(self: &Rc<Self>, batch: &Batch) -> InFlightGuard {
        if batch.carriage == Carriage::Blocking {
            return InFlightGuard { count: None };
        }
        let cell = self.cell(batch.access);
        cell.set(cell.get() + 1);
        InFlightGuard { count: Some((Rc::clone(self), batch.access)) }
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.get()
    }

    /// Resolves when nothing is under way that `all` (or else: writes only) asks for.
    pub(crate) async fn drained(&self, all: bool) {
        while self.writes.get() > 0 || (all && self.reads.get() > 0) {
            self.changed.notified().await;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some((in_flight, access)) = self.count.take() {
            let cell = in_flight.cell(access);
            cell.set(cell.get().saturating_sub(1));
            if cell.get() == 0 {
                in_flight.changed.notify_one();
            }
        }
    }
}
