//! Upstream connections of one store on one thread: shared ones by endpoint and session key, and a register of all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use foretoken_protocol::{Meter, Protocol, Retire, Upstream};
use foretoken_types::{Epoch, Fault, FaultKind, Side};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::request::Key;
use crate::store::EndpointParams;
use crate::tally::{EndpointTally, StoreTally};
use crate::view::View;

/// Most session keys with a shared connection of their own; sessions beyond that get a connection each.
const SHARED_KEYS_MOST: usize = 256;

/// How long a new connection to the primary waits for a look at it, unless connecting may take longer.
const LOOK_MOST: Duration = Duration::from_secs(1);
/// How long one to a mirror does.
const UNSEEN_MOST: Duration = Duration::from_millis(300);

/// By endpoint number, epoch and session key.
type SharedOnes<P> = HashMap<(usize, Epoch, Key<P>), Entry<<P as Protocol>::Upstream>>;
type Connecting<U> = Shared<LocalBoxFuture<'static, Result<U, Fault>>>;

enum Entry<U> {
    Open(U),
    Connecting(Connecting<U>),
}

struct Endpoint {
    params: EndpointParams,
    tally: Rc<EndpointTally>,
}

pub(crate) struct Pool<P: Protocol> {
    protocol: Rc<P>,
    endpoints: Vec<Endpoint>,
    view: Rc<View>,
    shared: RefCell<SharedOnes<P>>,
    /// Every connection that may still be open, so that a fence reaches all of them.
    register: RefCell<Register<P::Upstream>>,
}

/// Closes a connection that nobody will use, because who wanted it has left or may not have it.
struct Unused<'a, U: Upstream>(Option<&'a U>);

impl<U: Upstream> Drop for Unused<'_, U> {
    fn drop(&mut self) {
        if let Some(upstream) = self.0 {
            upstream.close();
        }
    }
}

struct Register<U> {
    upstreams: Vec<(Epoch, U)>,
    sweep_at: usize,
}

/// A connection, or the wait for one.
pub(crate) enum Found<U: Clone> {
    Open(U),
    Connecting(Connecting<U>),
    /// No room for another shared connection.
    Full,
}

impl<P: Protocol> Pool<P> {
    pub(crate) fn new(
        protocol: P,
        endpoints: &[EndpointParams],
        view: Rc<View>,
        tally: &StoreTally,
    ) -> Rc<Self> {
        let endpoints = endpoints
            .iter()
            .zip(&tally.endpoints)
            .map(|(params, tally)| Endpoint { params: params.clone(), tally: Rc::clone(tally) })
            .collect();
        Rc::new(Self {
            protocol: Rc::new(protocol),
            endpoints,
            view,
            shared: RefCell::default(),
            register: RefCell::new(Register { upstreams: Vec::new(), sweep_at: 64 }),
        })
    }

    /// The shared connection of `key` to an endpoint, made if there is none.
    pub(crate) fn shared(self: &Rc<Self>, endpoint: usize, key: &Key<P>) -> Found<P::Upstream> {
        let epoch = self.view.epoch();
        let at = (endpoint, epoch, key.clone());
        let mut shared = self.shared.borrow_mut();
        match shared.get(&at) {
            Some(Entry::Open(upstream)) if upstream.is_open() && upstream.is_shareable() => {
                return Found::Open(upstream.clone());
            }
            Some(Entry::Open(upstream)) => upstream.close(),
            Some(Entry::Connecting(connecting)) => return Found::Connecting(connecting.clone()),
            None if shared.len() >= SHARED_KEYS_MOST => {
                shared.retain(|_, entry| matches!(entry, Entry::Open(u) if u.is_open()));
                if shared.len() >= SHARED_KEYS_MOST {
                    return Found::Full;
                }
            }
            None => {}
        }
        let pool = Rc::clone(self);
        let entry = at.clone();
        let connecting = async move {
            let result = pool.connect(endpoint, &entry.2, true).await;
            let mut shared = pool.shared.borrow_mut();
            match &result {
                Ok(upstream) if pool.view.epoch() == epoch => {
                    shared.insert(entry, Entry::Open(upstream.clone()));
                }
                _ => {
                    shared.remove(&entry);
                }
            }
            result
        }
        .boxed_local()
        .shared();
        // A task of its own drives it, so that it does not depend on the session that happened to ask first. It ends within
        // the limits of connecting and of the look.
        tokio::task::spawn_local(connecting.clone().map(drop));
        shared.insert(at, Entry::Connecting(connecting.clone()));
        Found::Connecting(connecting)
    }

    /// Offers a session's own connection that is in the state `key` for sharing.
    pub(crate) fn offer(&self, endpoint: usize, epoch: Epoch, key: &Key<P>, upstream: P::Upstream) {
        let mut shared = self.shared.borrow_mut();
        let at = (endpoint, epoch, key.clone());
        let wanted = epoch == self.view.epoch() && upstream.is_open() && shared.len() < SHARED_KEYS_MOST;
        if wanted && !shared.contains_key(&at) {
            upstream.share();
            shared.insert(at, Entry::Open(upstream));
        } else {
            upstream.close();
        }
    }

    /// A new connection; `shared` tells whether several sessions will use it.
    pub(crate) async fn connect(
        &self,
        endpoint: usize,
        key: &Key<P>,
        shared: bool,
    ) -> Result<P::Upstream, Fault> {
        let epoch = self.view.epoch();
        let Endpoint { params, tally } = &self.endpoints[endpoint];
        let meter: Rc<dyn Meter> = Rc::<EndpointTally>::clone(tally);
        match self.protocol.connect(&params.connector, key, shared, meter).await {
            Ok(upstream) if self.view.epoch() == epoch => {
                self.register.borrow_mut().add(epoch, upstream.clone());
                let mut unused = Unused(Some(&upstream));
                self.looked_at(endpoint, epoch).await.inspect_err(|fault| {
                    if fault.kind == FaultKind::Connect {
                        tally.connect_failed();
                    }
                })?;
                unused.0 = None;
                drop(unused);
                Ok(upstream)
            }
            Ok(upstream) => {
                upstream.close();
                Err(Fault::safe(FaultKind::EpochMoved))
            }
            Err(fault) => {
                // What fails here says nothing of the server.
                if fault.kind.side() == Side::Upstream {
                    tally.connect_failed();
                }
                Err(fault)
            }
        }
    }

    /// Waits for a look at the endpoint that begins from now on, and that finds what the posture of `epoch` takes it for.
    async fn looked_at(&self, endpoint: usize, epoch: Epoch) -> Result<(), Fault> {
        let EndpointParams { lookout, connector, .. } = &self.endpoints[endpoint].params;
        let as_primary = self.view.is_primary(endpoint);
        let stands = || {
            let role =
                if as_primary { self.view.is_served_by(endpoint) } else { self.view.is_route(endpoint) };
            role && self.view.epoch() == epoch
        };
        let mut posture = self.view.watch();
        let mut confirmed = pin!(lookout.confirmed_since(self.view.now()));
        let mut limit =
            pin!(tokio::time::sleep(if as_primary { connector.limit.max(LOOK_MOST) } else { UNSEEN_MOST }));
        loop {
            if !stands() {
                return Err(Fault::safe(FaultKind::EpochMoved));
            }
            tokio::select! {
                biased;
                // A control plane that is gone says nothing any more; the last posture stays in force until its lease ends.
                Ok(()) = posture.changed() => {}
                () = &mut confirmed => break,
                () = &mut limit => {
                    if as_primary {
                        return Err(Fault::safe(FaultKind::Connect));
                    }
                    // What mirrors tell may be stale, and is wanted most when nobody is left who could look.
                    break;
                }
            }
        }
        if stands() { Ok(()) } else { Err(Fault::safe(FaultKind::EpochMoved)) }
    }

    /// Ends the connections of every epoch before `epoch`.
    pub(crate) fn retire_before(&self, epoch: Epoch, how: Retire) {
        self.shared.borrow_mut().retain(|(_, of, _), _| *of >= epoch);
        self.register.borrow_mut().upstreams.retain(|(of, upstream)| {
            if *of < epoch {
                upstream.retire(how);
            }
            *of >= epoch && upstream.is_open()
        });
    }
}

impl<U: Upstream> Register<U> {
    fn add(&mut self, epoch: Epoch, upstream: U) {
        if self.upstreams.len() >= self.sweep_at {
            self.upstreams.retain(|(_, upstream)| upstream.is_open());
            self.sweep_at = (self.upstreams.len() * 2).max(64);
        }
        self.upstreams.push((epoch, upstream));
    }
}
