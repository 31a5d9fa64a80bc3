//! One store, as its control loop shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foretoken_admin::model::{AuthorityRole, EndpointRef, StoreEvent, StoreStatus};
use foretoken_token::{Block, Leadership, Situation, StoreView};
use foretoken_types::{BootInstant, Clock, Durability, EndpointId, Epoch, Posture, StoreId};
use tokio::sync::watch;

use crate::control::Live;

/// A store and the values that its control loop publishes.
pub(crate) struct Watched {
    pub(crate) id: StoreId,
    pub(crate) posture: watch::Receiver<Arc<Posture>>,
    pub(crate) status: watch::Receiver<Arc<StoreStatus>>,
    pub(crate) live: watch::Receiver<Live>,
    /// TTL_w.
    pub(crate) lease: Duration,
    /// Names of its blocks.
    pub(crate) blocks: Vec<(String, Block)>,
    /// When its control loop was heard last, in nanoseconds: rights end when it falls silent.
    pub(crate) heard: AtomicU64,
}

impl Watched {
    /// Notes each word of the control loop, and turns `changed` when it is news. Ends with the loop.
    pub(super) async fn follow(&self, clock: &dyn Clock, changed: &watch::Sender<u64>) {
        let (mut posture, mut status) = (self.posture.clone(), self.status.clone());
        let mut told = None;
        loop {
            let heard = tokio::select! {
                heard = posture.changed() => heard,
                heard = status.changed() => heard,
            };
            if heard.is_err() {
                return;
            }
            posture.mark_unchanged();
            status.mark_unchanged();
            self.heard.store(clock.now().as_nanos(), Ordering::Relaxed);
            let event = self.event(clock.now());
            if told.as_ref() != Some(&event) {
                told = Some(event);
                changed.send_modify(|turn| *turn = turn.wrapping_add(1));
            }
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.posture.borrow().epoch
    }

    /// Until when this sidecar leads, if it does: a loop that is not heard for the length of a lease gives no more rights.
    fn leads_until(&self) -> Option<BootInstant> {
        let owns = self.status.borrow().authority.role == AuthorityRole::Owner;
        owns.then(|| BootInstant::from_nanos(self.heard.load(Ordering::Relaxed)) + self.lease)
    }

    fn situation(&self) -> Situation {
        let posture = self.posture.borrow();
        let status = self.status.borrow();
        // What was shown in an epoch before proves nothing for this one.
        Situation { state: posture.state, validated: status.validated && status.epoch == posture.epoch }
    }

    pub(super) fn view(&self, generation: u64) -> StoreView {
        let situation = self.situation();
        let leadership = self.leads_until().map(|until| Leadership { generation, until });
        let posture = self.posture.borrow();
        StoreView {
            store: self.id.clone(),
            situation,
            epoch: posture.epoch,
            primary: posture.primary.clone(),
            leadership,
        }
    }

    /// An endpoint, with its address.
    pub(super) fn endpoint(&self, name: &EndpointId) -> EndpointRef {
        let status = self.status.borrow();
        let address = status.endpoints.iter().find(|endpoint| endpoint.name == *name);
        EndpointRef { name: name.to_string(), address: address.map(|endpoint| endpoint.address.clone()) }
    }

    pub(super) fn event(&self, now: BootInstant) -> StoreEvent {
        let situation = self.situation();
        let posture = Arc::clone(&self.posture.borrow());
        StoreEvent {
            store: self.id.to_string(),
            epoch: posture.epoch.0,
            state: posture.state.to_string(),
            primary: posture.primary.as_ref().map(|name| self.endpoint(name)),
            mode: match posture.durability {
                Durability::Asynchronous => "asynchronous",
                Durability::Synchronous => "synchronous",
            }
            .to_owned(),
            tier: situation.tier().to_string(),
            temporary: situation.gives_temporary(),
            leads: self.leads_until().is_some_and(|until| now < until),
            risk: self.status.borrow().risk.as_ref().and_then(|risk| risk.within),
        }
    }

    /// A block by its name.
    pub(super) fn block(&self, name: &str) -> Option<Block> {
        if name == "*" {
            return Some(Block::ALL);
        }
        self.blocks.iter().find(|(known, _)| known == name).map(|(_, block)| block.clone())
    }

    /// The name of a block; its prefix when the configuration has lost it.
    pub(super) fn name_of(&self, block: &Block) -> String {
        let known = self.blocks.iter().find(|(_, known)| known == block);
        known.map_or_else(|| block.to_string(), |(name, _)| name.clone())
    }
}
