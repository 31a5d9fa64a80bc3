//! Retry: what certainly was not executed may go again, and so may a read.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use foretoken_protocol::{Carriage, Protocol};
use foretoken_types::{Access, Fault, FaultKind, Resend};
use tower::retry::Policy;

use crate::request::{Request, Response, Target};
use crate::view::View;

/// Between two tries without a new posture.
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_MOST: Duration = Duration::from_millis(100);

/// Retries within the time that a request may be held (`hold_max`), counted from the first fault.
#[derive(Clone)]
pub(crate) struct Again {
    view: Rc<View>,
    backoff: Duration,
}

impl Again {
    pub(crate) const fn new(view: Rc<View>) -> Self {
        Self { view, backoff: BACKOFF_FIRST }
    }
}

/// Whether a request that ended with `fault` may be sent again.
pub(crate) fn may_resend(fault: Fault, access: Access, carriage: Carriage) -> bool {
    let hopeless = matches!(
        fault.kind,
        FaultKind::HoldExpired
            | FaultKind::HoldFull
            | FaultKind::HoldRefused
            | FaultKind::Draining
            | FaultKind::Pinned
            | FaultKind::Malformed
    );
    match fault.resend {
        _ if hopeless => false,
        Resend::Safe => true,
        // What the session takes over from a reply is told it whoever is the primary, so that it does not come here.
        Resend::Unknown => {
            access == Access::Read
                && matches!(carriage, Carriage::Shared | Carriage::Blocking | Carriage::Dedicated)
        }
    }
}

impl<P: Protocol> Policy<Request<P>, Response, Fault> for Again {
    type Future = Pin<Box<dyn Future<Output = ()>>>;

    fn retry(
        &mut self,
        request: &mut Request<P>,
        result: &mut Result<Response, Fault>,
    ) -> Option<Self::Future> {
        let fault = *result.as_ref().err()?;
        let now = self.view.now();
        // The time at a server is not waited here.
        let at_server = request.client.blocked_since.take().map_or(Duration::ZERO, |sent| now.since(sent));
        let waiting = request.waiting.map_or(now, |since| since + at_server);
        request.waiting = Some(waiting);
        let left = self.view.tunables().hold_max.saturating_sub(now.since(waiting));
        if left.is_zero() || !may_resend(fault, request.batch.access, request.batch.carriage) {
            return None;
        }
        request.target = Target::Open;
        let wait = self.backoff.min(left);
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
        let mut posture = self.view.watch();
        Some(Box::pin(async move {
            // Whatever comes first; a closed channel only means that the time has to be waited out.
            tokio::select! {
                Ok(()) = posture.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }))
    }

    fn clone_request(&mut self, request: &Request<P>) -> Option<Request<P>> {
        // The body of a long request comes by only once.
        request.body.is_none().then(|| request.clone())
    }
}
