//! Tells the data path when a mirror has what the primary has executed: the waiting half of synchronous writes (PROTOCOL 5.4).
//!
//! One barrier at a time answers everybody who asked before it began (group commit): the primary's position is read, then
//! the mirrors' until one of them has come as far. Positions are read on connections of this loop's own, so that nobody's
//! requests wait behind them.

use std::sync::Arc;
use std::time::Duration;

use foretoken_outbound::Ask;
use foretoken_protocol::{Control, Place, Refused};
use foretoken_types::{EndpointId, Posture};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

/// Asks that wait; more of them wait at the data path.
pub(crate) const DEPTH: usize = 1024;
/// How long mirrors are waited for in one round; then who asks looks again whether he still has to.
const ROUND_MOST: Duration = Duration::from_millis(250);
/// A mirror is asked that often at once, as it is usually there already.
const AT_ONCE: u32 = 4;
/// Then it is asked that often.
const AGAIN: Duration = Duration::from_millis(1);

/// The loop of one store.
pub(crate) struct Barrier {
    /// Connections to the endpoints.
    pub(crate) endpoints: Vec<(EndpointId, Box<dyn Control>)>,
    /// Who is primary, and which mirrors count.
    pub(crate) posture: watch::Receiver<Arc<Posture>>,
    /// Who waits.
    pub(crate) asks: mpsc::Receiver<Ask>,
}

impl Barrier {
    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.asks.recv_many(&mut waiting, DEPTH).await > 0 {
            let posture = Arc::clone(&self.posture.borrow_and_update());
            // Who asks for another epoch, and who has stopped waiting, needs no answer.
            waiting.retain(|ask| ask.epoch == posture.epoch && !ask.answer.is_closed());
            if waiting.is_empty() {
                continue;
            }
            let mirror = tokio::select! {
                mirror = round(&mut self.endpoints, &posture) => mirror,
                () = tokio::time::sleep(ROUND_MOST) => None,
            };
            let Some(mirror) = mirror else {
                waiting.clear();
                // A primary that refuses is not asked in a tight loop.
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            for ask in waiting.drain(..) {
                // He may have stopped waiting.
                ask.answer.send(mirror.clone()).ok();
            }
        }
    }
}

/// The first mirror that has come as far as the primary is now.
async fn round(endpoints: &mut [(EndpointId, Box<dyn Control>)], posture: &Posture) -> Option<EndpointId> {
    let (_, primary) = endpoints.iter_mut().find(|(id, _)| Some(id) == posture.primary.as_ref())?;
    let target = primary.position().await.ok()?;
    let is_mirror = |id: &EndpointId| posture.mirrors.iter().any(|route| route.endpoint == *id);
    let mut mirrors: FuturesUnordered<_> = endpoints
        .iter_mut()
        .filter(|(id, _)| is_mirror(id))
        .map(async |(id, mirror)| reaches(mirror.as_mut(), &target).await.map(|()| id.clone()))
        .collect();
    while let Some(reached) = mirrors.next().await {
        if let Ok(mirror) = reached {
            return Some(mirror);
        }
    }
    None
}

/// Resolves when the mirror has come as far as `target`. Positions of another history say nothing: a primary that was restarted
/// counts from 0.
async fn reaches(mirror: &mut dyn Control, target: &Place) -> Result<(), Refused> {
    let mut asked = 0;
    loop {
        let place = mirror.position().await?;
        if place.history == target.history && place.position >= target.position {
            return Ok(());
        }
        asked += 1;
        if asked >= AT_ONCE {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
