//! Hold: requests wait until they are admitted, in bounds.

use std::cell::Cell;
use std::rc::Rc;

use foretoken_protocol::Protocol;
use foretoken_stack::Gate;
use foretoken_types::{Access, Fault, FaultKind};
use futures_util::future::LocalBoxFuture;

use crate::request::Request;
use crate::view::View;

/// Lets requests wait that the posture does not admit.
#[derive(Clone)]
pub(crate) struct Admission {
    view: Rc<View>,
    held: Rc<Held>,
}

/// What waits on this thread.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Cell<usize>,
    requests: Cell<u64>,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }
}

struct HeldGuard {
    held: Rc<Held>,
    bytes: usize,
    requests: u64,
}

impl HeldGuard {
    fn new(held: &Rc<Held>, bytes: usize, requests: u64) -> Self {
        held.bytes.set(held.bytes.get() + bytes);
        held.requests.set(held.requests.get() + requests);
        Self { held: Rc::clone(held), bytes, requests }
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        self.held.bytes.set(self.held.bytes.get() - self.bytes);
        self.held.requests.set(self.held.requests.get() - self.requests);
    }
}

impl Admission {
    pub(crate) const fn new(view: Rc<View>, held: Rc<Held>) -> Self {
        Self { view, held }
    }
}

impl<P: Protocol> Gate<Request<P>> for Admission {
    type Error = Fault;
    type Wait = LocalBoxFuture<'static, Result<(), Fault>>;

    fn wait(&self, request: &Request<P>) -> Option<Self::Wait> {
        // One that goes again has waited since the last look.
        let now = if request.waiting.is_some() { self.view.now() } else { self.view.just_now() };
        let reader = request.reader();
        if self.view.admit(&request.batch, &reader, now).is_some() {
            return None;
        }
        if request.batch.access == Access::Write && !self.view.policy(&request.batch).queue_writes {
            return Some(Box::pin(async { Err(Fault::safe(FaultKind::HoldRefused)) }));
        }
        let tunables = self.view.tunables();
        let bytes = request.batch.frames.len();
        if self.held.bytes.get() + bytes > tunables.hold_bytes {
            return Some(Box::pin(async { Err(Fault::safe(FaultKind::HoldFull)) }));
        }
        let guard = HeldGuard::new(&self.held, bytes, u64::from(request.batch.requests));
        let view = Rc::clone(&self.view);
        let batch = request.batch.clone();
        let left = tunables.hold_max.saturating_sub(now.since(request.waiting.unwrap_or(now)));
        Some(Box::pin(async move {
            let _guard = guard;
            let mut posture = view.watch();
            let admitted = async {
                while view.admit(&batch, &reader, view.now()).is_none() {
                    if posture.changed().await.is_err() {
                        // The control plane is gone, and with it whoever could admit anything.
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::time::timeout(left, admitted).await.map_err(|_| Fault::safe(FaultKind::HoldExpired))
        }))
    }
}
