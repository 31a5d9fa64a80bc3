//! Carries out orders at one endpoint, one after the other, on a connection that no probe can keep busy.

use std::time::Duration;

use foretoken_failover::{Answer, Claimed, Order, Rejection};
use foretoken_protocol::{Claim, Control, Dial, Refused};
use foretoken_types::{EndpointId, Failure, InstanceId, Operation};
use tokio::sync::mpsc;

use super::signal::Signal;

/// Orders that wait for one endpoint; the machine has only a few under way.
pub(super) const DEPTH: usize = 64;

/// How long a lost primary is waited for. It may stand still, and obeys first thing when it goes on; other orders to it wait
/// for as long, which are of no use before.
const FENCE_PATIENCE: Duration = Duration::from_secs(60);

/// An order and its name.
pub(super) struct Ordered {
    pub(super) operation: Operation,
    pub(super) order: Order,
}

/// What the executor of one endpoint is given.
pub(super) struct Executor {
    pub(super) control: Box<dyn Control>,
    pub(super) instance: InstanceId,
    pub(super) dials: Vec<Dial>,
    pub(super) signals: mpsc::Sender<Signal>,
}

impl Executor {
    /// Works until no more orders can come.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Ordered>) {
        while let Some(Ordered { operation, order }) = orders.recv().await {
            let result = self.carry_out(order).await.map_err(rejection);
            if self.signals.send(Signal::Answered { operation, result }).await.is_err() {
                return;
            }
        }
    }

    fn dial(&self, endpoint: &EndpointId) -> Result<Dial, Refused> {
        self.dials
            .iter()
            .find(|dial| dial.endpoint == *endpoint)
            .cloned()
            .ok_or_else(|| Refused::new(Failure::Other, format!("endpoint {endpoint} is not configured")))
    }

    async fn carry_out(&mut self, order: Order) -> Result<Answer, Refused> {
        let control = &mut self.control;
        Ok(match order {
            Order::Observe { probe } => Answer::Observed(Box::new(control.observe(probe).await?)),
            Order::Position => Answer::Position(control.position().await?.position),
            Order::PauseWrites { at_most } => {
                control.pause_writes(at_most).await?;
                Answer::Done
            }
            Order::ResumeWrites => {
                control.resume_writes().await?;
                Answer::Done
            }
            Order::Fence { of } => {
                let dial = self.dial(&of)?;
                let had = self.control.fence(&dial, FENCE_PATIENCE).await?;
                Answer::Fenced { had: had.map(|place| (place.history, place.position)) }
            }
            Order::Demote { of } => {
                let dial = self.dial(&of)?;
                self.control.demote(&dial).await?;
                Answer::Done
            }
            Order::Promote => {
                control.promote().await?;
                Answer::Done
            }
            Order::DisconnectClients => {
                control.disconnect_clients().await?;
                Answer::Done
            }
            Order::Mark(epoch) => {
                control.mark(epoch).await?;
                Answer::Done
            }
            Order::Claim { life } => Answer::Claimed(match control.claim(&self.instance, life).await? {
                Claim::Held => Claimed::Held,
                Claim::HeldBy(other) => Claimed::HeldBy(other),
            }),
            Order::RegisterFollower { life } => {
                control.register_follower(&self.instance, life).await?;
                Answer::Done
            }
        })
    }
}

/// What the machine is told of a failure.
pub(super) fn rejection(refused: Refused) -> Rejection {
    Rejection { failure: refused.failure, detail: refused.detail }
}
