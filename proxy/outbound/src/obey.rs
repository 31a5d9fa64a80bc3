//! A data thread obeys the posture: it drains for a hold, fences for a failover, and says when it has.

use std::rc::Rc;

use foretoken_protocol::{Protocol, Retire};
use foretoken_types::{Epoch, Hold, HoldScope, Operation, Report, StoreId};
use tokio::sync::mpsc;

use crate::store::Store;

/// Follows the posture of one store until the control plane is gone.
pub(crate) async fn follow<P: Protocol>(
    store: Rc<Store<P>>,
    id: StoreId,
    thread: usize,
    reports: mpsc::Sender<Report>,
) {
    let mut posture = store.view.watch();
    let mut answered = Operation::default();
    let mut fenced = Operation::default();
    let mut epoch = store.view.epoch();
    loop {
        let (now, hold) = {
            let posture = store.view.posture();
            (posture.epoch, posture.hold)
        };
        if now != epoch && store.view.rules.drop_late {
            store.pool.retire_before(now, Retire::Planned);
        }
        epoch = now;
        match hold {
            Some(hold) if hold.operation != answered => {
                let in_doubt = if hold.fence && fenced != hold.operation {
                    fenced = hold.operation;
                    let outstanding = store.view.in_flight.writes() as u64;
                    // Connections of the present epoch too: the primary that they lead to is given up.
                    if store.view.rules.drop_late {
                        store.pool.retire_before(Epoch(epoch.0.saturating_add(1)), Retire::Fence);
                    }
                    outstanding
                } else {
                    0
                };
                if drained(&store, hold, &mut posture).await {
                    answered = hold.operation;
                    let held =
                        Report::Held { store: id.clone(), thread, operation: hold.operation, in_doubt };
                    if reports.send(held).await.is_err() {
                        return;
                    }
                }
            }
            _ => {
                if posture.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until nothing is under way that `hold` keeps. `false`: the posture changed first.
async fn drained<P: Protocol>(
    store: &Store<P>,
    hold: Hold,
    posture: &mut tokio::sync::watch::Receiver<std::sync::Arc<foretoken_types::Posture>>,
) -> bool {
    if hold.fence || !store.view.rules.drain {
        // Every outstanding request has failed, and Authorize lets none of their replies through without a lease.
        return true;
    }
    tokio::select! {
        biased;
        () = store.view.in_flight.drained(hold.scope == HoldScope::All) => true,
        _ = posture.changed() => false,
    }
}
