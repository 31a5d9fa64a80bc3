//! Counters of one data thread. The hot path adds to plain cells; ten times a second they are taken, sent up as samples
//! and added to the exported metrics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use foretoken_protocol::Meter;
use foretoken_stack::{Ended, Observe};
use foretoken_types::{
    Access, BootInstant, EndpointId, ErrorClass, Fault, FaultKind, LatencyBuckets, Sample, StoreId,
};

use crate::clock::ThreadClock;
use crate::metrics::{EndpointHandles, StoreHandles};
use crate::request::{Request, Response};

/// Counts of one store.
pub(crate) struct StoreTally {
    pub(crate) endpoints: Vec<Rc<EndpointTally>>,
    clock: Rc<ThreadClock>,
    done: Cell<u64>,
    in_doubt: Cell<u64>,
    not_executed: Cell<u64>,
    relays_renewed: Cell<u64>,
    faults: RefCell<[u64; FaultKind::ALL.len()]>,
    duration: RefCell<LatencyBuckets>,
    handles: StoreHandles,
}

impl StoreTally {
    pub(crate) fn new(store: &StoreId, endpoints: &[EndpointId], clock: &Rc<ThreadClock>) -> Rc<Self> {
        Rc::new(Self {
            endpoints: endpoints.iter().map(|id| EndpointTally::new(store, id, clock)).collect(),
            clock: Rc::clone(clock),
            done: Cell::default(),
            in_doubt: Cell::default(),
            not_executed: Cell::default(),
            relays_renewed: Cell::default(),
            faults: RefCell::default(),
            duration: RefCell::default(),
            handles: StoreHandles::new(store),
        })
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        if let Some(at) = FaultKind::ALL.iter().position(|known| *known == kind) {
            self.faults.borrow_mut()[at] += 1;
        }
    }

    /// Requests that were answered without the stack.
    pub(crate) fn answered_here(&self, requests: u32) {
        add(&self.done, requests);
    }

    /// Requests that were refused without the stack.
    pub(crate) fn not_executed_here(&self, requests: u32) {
        add(&self.not_executed, requests);
    }

    /// The client went away while its request was under way: nobody will ever hear how a write ended.
    pub(crate) fn unheard(&self, access: Access, requests: u32) {
        add(if access == Access::Write { &self.in_doubt } else { &self.not_executed }, requests);
    }

    /// A relay goes on with another server.
    pub(crate) fn relay_renewed(&self) {
        add(&self.relays_renewed, 1);
    }

    /// Exports what was counted since the last call.
    pub(crate) fn export(&self, sessions: usize, held_requests: u64, held_bytes: usize) {
        self.handles.outcomes(self.done.take(), self.in_doubt.take(), self.not_executed.take());
        self.handles.faults(&self.faults.take());
        self.handles.relays_renewed(self.relays_renewed.take());
        self.handles.durations(&self.duration.take());
        self.handles.gauges(sessions, held_requests, held_bytes);
    }
}

fn add(cell: &Cell<u64>, count: u32) {
    cell.set(cell.get() + u64::from(count));
}

/// The request sensor: what the application felt, the time held included.
#[derive(Clone)]
pub(crate) struct Felt(pub(crate) Rc<StoreTally>);

pub(crate) struct FeltStart {
    tally: Rc<StoreTally>,
    since: BootInstant,
    requests: u32,
    access: Access,
    told: bool,
}

impl<P: foretoken_protocol::Protocol> Observe<Request<P>> for Felt {
    type Started = FeltStart;

    fn started(&self, request: &Request<P>) -> FeltStart {
        FeltStart {
            tally: Rc::clone(&self.0),
            since: request.since,
            requests: if request.batch.quiet { 0 } else { request.batch.requests },
            access: request.batch.access,
            told: false,
        }
    }
}

impl Ended<Result<Response, Fault>> for FeltStart {
    fn ended(mut self, output: &Result<Response, Fault>) {
        self.told = true;
        // What is taken apart comes by again.
        if self.requests == 0 || output.as_ref().is_ok_and(|response| response.apart.is_some()) {
            return;
        }
        let (in_doubt, not_executed) =
            output.as_ref().map_or((0, self.requests), |r| (r.in_doubt, r.not_executed));
        add(&self.tally.in_doubt, in_doubt);
        add(&self.tally.not_executed, not_executed);
        add(&self.tally.done, self.requests.saturating_sub(in_doubt.saturating_add(not_executed)));
        // The layer below has just asked whether it may be acknowledged.
        let took = self.tally.clock.just_now().since(self.since);
        self.tally.duration.borrow_mut().record(took, self.requests);
    }
}

impl Drop for FeltStart {
    fn drop(&mut self) {
        if !self.told {
            self.tally.unheard(self.access, self.requests);
        }
    }
}

/// Counts of one endpoint: the endpoint sensor. It sits in the connection itself, the only place that sees the first byte
/// of each reply and the replies that come too late.
pub(crate) struct EndpointTally {
    clock: Rc<ThreadClock>,
    sample: RefCell<Sample>,
    in_flight: Cell<u64>,
    /// When requests were sent that are not settled, oldest first; consecutive ones of one instant share an entry.
    outstanding: RefCell<VecDeque<(BootInstant, u64)>>,
    handles: EndpointHandles,
}

/// Entries of [`EndpointTally::outstanding`]; above it, requests join the youngest entry (their age is then overstated by no more
/// than the age of that entry).
const OUTSTANDING_MOST: usize = 4096;

impl EndpointTally {
    fn new(store: &StoreId, endpoint: &EndpointId, clock: &Rc<ThreadClock>) -> Rc<Self> {
        Rc::new(Self {
            clock: Rc::clone(clock),
            sample: RefCell::new(Sample::empty(store.clone(), endpoint.clone())),
            in_flight: Cell::default(),
            outstanding: RefCell::default(),
            handles: EndpointHandles::new(store, endpoint),
        })
    }

    pub(crate) fn connect_failed(&self) {
        self.sample.borrow_mut().connect_failures += 1;
    }

    /// What happened since the last call; `None` when nothing did and nothing is outstanding.
    pub(crate) fn take(&self) -> Option<Sample> {
        let in_flight = self.in_flight.get();
        let oldest = self.outstanding.borrow().front().map(|(sent, _)| self.clock.now().since(*sent));
        let mut sample = self.sample.borrow_mut();
        sample.in_flight = in_flight;
        sample.oldest_unanswered = oldest;
        let empty = Sample::empty(sample.store.clone(), sample.endpoint.clone());
        self.handles.export(&sample);
        if *sample == empty {
            return None;
        }
        Some(std::mem::replace(&mut *sample, empty))
    }
}

impl Meter for EndpointTally {
    fn answered(&self, count: u32, latency: Duration) {
        let mut sample = self.sample.borrow_mut();
        sample.answered += u64::from(count);
        sample.latency.record(latency, count);
    }

    fn error(&self, class: ErrorClass) {
        if let Some(at) = ErrorClass::ALL.iter().position(|known| *known == class) {
            self.sample.borrow_mut().errors[at] += 1;
        }
    }

    fn reset(&self) {
        self.sample.borrow_mut().resets += 1;
    }

    fn timed_out(&self, count: u32) {
        self.sample.borrow_mut().timeouts += u64::from(count);
    }

    fn late(&self, count: u32) {
        self.sample.borrow_mut().late_replies += u64::from(count);
    }

    fn now(&self) -> BootInstant {
        self.clock.now()
    }

    fn just_now(&self) -> BootInstant {
        self.clock.just_now()
    }

    fn sent(&self, count: u32, at: BootInstant) {
        let count = u64::from(count);
        self.in_flight.set(self.in_flight.get() + count);
        let mut outstanding = self.outstanding.borrow_mut();
        let full = outstanding.len() >= OUTSTANDING_MOST;
        match outstanding.back_mut() {
            Some((sent, waiting)) if full || *sent == at => *waiting += count,
            _ => outstanding.push_back((at, count)),
        }
    }

    fn settled(&self, count: u32, sent: BootInstant) {
        let mut count = u64::from(count);
        self.in_flight.set(self.in_flight.get().saturating_sub(count));
        let mut outstanding = self.outstanding.borrow_mut();
        // Nearly always the front; elsewhere only when one of several connections is slower than the others.
        let mut at =
            outstanding.partition_point(|(other, _)| *other < sent).min(outstanding.len().saturating_sub(1));
        while count > 0 {
            let Some(entry) = outstanding.get_mut(at) else { break };
            let taken = count.min(entry.1);
            entry.1 -= taken;
            count -= taken;
            if at == 0 {
                break;
            }
            at -= 1;
        }
        while outstanding.front().is_some_and(|(_, waiting)| *waiting == 0) {
            outstanding.pop_front();
        }
    }
}
