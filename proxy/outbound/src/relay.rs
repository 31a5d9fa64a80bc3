//! Relay: the server speaks without being asked (subscriptions, `MONITOR`, client-side caching).
//!
//! The upstream connection is the client's own, with all that it has left there. What comes over it is taken only while the
//! lease lives, and a write is acknowledged only then; requests are admitted, held and made durable by the same rules as in the
//! stack, which is for requests with one answer each. When the epoch moves, or the server is lost, the protocol's [`Relay`] says
//! what another server must be asked for, and the client goes on with that one. It is cut when it holds something that can't be
//! moved, or a write of its is in doubt.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use foretoken_protocol::{Batch, LET_GO_GRACE, Passed, Protocol, Relay, Session, Step};
use foretoken_stack::Gate;
use foretoken_types::{Access, BootInstant, Fault};
use futures_util::future::LocalBoxFuture;

use crate::durable::Asker;
use crate::gate::Admission;
use crate::request::{Client, Request};
use crate::session::{Downstream, Over, request};
use crate::store::Store;
use crate::view::InFlightGuard;

mod server;

use server::{Begun, Server};

/// Requests without an answer; a client that sends more waits.
const UNDER_WAY_MOST: usize = 1024;

/// Serves a client from its first relayed request until it leaves.
pub(crate) async fn serve<P: Protocol>(
    store: &Rc<Store<P>>,
    client: &Rc<Client<P>>,
    down: &mut Downstream,
    first: Batch,
    long: bool,
) -> Result<(), Over> {
    let since = store.view.now();
    let mut server = match server::begin(store, client, &first).await {
        Ok(Begun::Server(server)) => server,
        Ok(Begun::Answer(answer)) => {
            down.forward(&store.view, None, answer).await?;
            return Err(Over);
        }
        Err(fault) => {
            refuse(store, client, down, &first, fault).await?;
            return Err(Over);
        }
    };
    let relay = store.protocol.relay(&client.session.borrow()).ok_or(Over)?;
    let mut relaying = Relaying {
        store,
        client,
        relay,
        under_way: VecDeque::new(),
        oldest_since: since,
        let_go: false,
        held: Some(Held::admitted(first, since, long)),
        skips: false,
        unmatched: false,
    };
    while relaying.run(down, &mut server).await? == Ended::Moved {
        server = relaying.renew(server).await?;
    }
    Ok(())
}

/// One client of a relay.
struct Relaying<'a, P: Protocol> {
    store: &'a Rc<Store<P>>,
    client: &'a Rc<Client<P>>,
    relay: P::Relay,
    /// Requests without an answer, oldest first.
    under_way: VecDeque<UnderWay>,
    /// Since when the oldest of them is that.
    oldest_since: BootInstant,
    /// The oldest of them was let go: it has changed nothing, and goes to another server.
    let_go: bool,
    /// A request that waits until it is admitted.
    held: Option<Held>,
    /// The long request that is coming was refused: the rest of it goes nowhere.
    skips: bool,
    /// A write was sent whose answer nobody would recognise.
    unmatched: bool,
}

struct UnderWay {
    access: Access,
    /// It may wait at the server.
    blocks: bool,
    /// A drain waits for its answer.
    counted: Option<InFlightGuard>,
}

struct Held {
    batch: Batch,
    since: BootInstant,
    /// It is only the beginning of a request.
    long: bool,
    wait: LocalBoxFuture<'static, Result<(), Fault>>,
}

impl Held {
    /// It is sent at the next chance.
    fn admitted(batch: Batch, since: BootInstant, long: bool) -> Self {
        Self { batch, since, long, wait: Box::pin(std::future::ready(Ok(()))) }
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    /// The client has said goodbye.
    Left,
    /// The epoch has moved, or the server is lost.
    Moved,
}

/// What happens next.
enum Turn {
    Lost,
    Waited(Result<(), Fault>),
    Other,
}

impl<P: Protocol> Relaying<'_, P> {
    /// Relays until there is an end to it.
    async fn run(&mut self, down: &mut Downstream, server: &mut Server) -> Result<Ended, Over> {
        let view = &self.store.view;
        let mut posture = view.watch();
        let mut draining = self.store.draining.clone();
        loop {
            if view.epoch() != server.epoch {
                return Ok(Ended::Moved);
            }
            if self.unmatched && view.posture().hold.is_some_and(|hold| hold.keeps(Access::Write)) {
                // A drain can't wait for what it was not told of.
                return Err(Over);
            }
            // While nothing may be forwarded, nothing is read.
            let open = view.acknowledges(Some(server.epoch));
            if open && !server.input.is_empty() {
                self.forward(down, server).await?;
            }
            // Behind that, since answers make room, and before any wait: a client may have nothing more to say.
            if self.pass_on(down, server).await? {
                return Ok(Ended::Left);
            }
            let asks = self.held.is_none() && self.under_way.len() < UNDER_WAY_MOST;
            let held = self.held.as_mut();
            let turn = tokio::select! {
                changed = posture.changed() => { changed.map_err(|_| Over)?; Turn::Other }
                _ = draining.wait_for(|draining| *draining) => return Err(Over),
                read = server.read(), if open => if read { Turn::Other } else { Turn::Lost },
                more = poll_fn(|cx| down.poll_read(cx)), if asks => if more? { Turn::Other } else { return Err(Over) },
                waited = waited(held) => Turn::Waited(waited),
            };
            match turn {
                Turn::Lost => return Ok(Ended::Moved),
                Turn::Waited(Err(fault)) => self.give_up_held(down, fault).await?,
                Turn::Waited(Ok(())) | Turn::Other => {}
            }
        }
    }

    /// Sends the requests on that have been read and may be sent now. `true`: the client has said goodbye.
    async fn pass_on(&mut self, down: &mut Downstream, server: &mut Server) -> Result<bool, Over> {
        while self.under_way.len() < UNDER_WAY_MOST {
            let (batch, since, long) = match self.held.take() {
                Some(held) => (held.batch, held.since, held.long),
                None => {
                    let step = self.client.session.borrow_mut().step(&mut down.input);
                    match step {
                        Step::Starved => return Ok(false),
                        Step::Batch(batch) => (batch, self.store.view.now(), false),
                        Step::Long(batch) => (batch, self.store.view.now(), true),
                        Step::Piece { bytes, last } => {
                            if !self.skips {
                                server.send(&self.store.view, &bytes).await?;
                            }
                            self.skips &= !last;
                            continue;
                        }
                        Step::Answer { reply, close } => {
                            self.store.tally.answered_here(1);
                            down.forward(&self.store.view, None, reply).await?;
                            if close {
                                return Ok(true);
                            }
                            continue;
                        }
                    }
                }
            };
            if let Some(wait) = must_wait(self.store, self.client, &batch, since) {
                self.held = Some(Held { batch, since, long, wait });
                return Ok(false);
            }
            if !self.store.view.still_admits(server.target(), batch.access) {
                // Admitted, but not here.
                self.held = Some(Held::admitted(batch, since, long));
                return Ok(false);
            }
            self.send(server, &batch).await?;
        }
        Ok(false)
    }

    /// Sends a request that is admitted.
    async fn send(&mut self, server: &mut Server, batch: &Batch) -> Result<(), Over> {
        let blocks = self.relay.sent(batch);
        if self.relay.is_matched() {
            if self.under_way.is_empty() {
                self.oldest_since = self.store.view.now();
            }
            let counted = (!blocks).then(|| self.store.view.in_flight.enter(batch));
            self.under_way.push_back(UnderWay { access: batch.access, blocks, counted });
        } else {
            // The answers to what is under way won't be recognised either.
            let before = std::mem::take(&mut self.under_way);
            let wrote = |before: &UnderWay| before.access == Access::Write;
            self.unmatched |= batch.access == Access::Write || before.iter().any(wrote);
            self.store.tally.answered_here(batch.requests + u32::try_from(before.len()).unwrap_or(u32::MAX));
        }
        server.send(&self.store.view, &batch.frames).await
    }

    /// Forwards what the server has said. It was said before now, with the right to it; a write needs that until it is told, because
    /// what was written may not be at the next primary.
    async fn forward(&mut self, down: &mut Downstream, server: &mut Server) -> Result<(), Over> {
        let passed = self.relay.received(&mut server.input).map_err(|_| Over)?;
        let Passed { bytes, answered, partly, let_go } = passed;
        let answered = (answered as usize).min(self.under_way.len());
        let told = self.under_way.iter().take(answered + usize::from(partly));
        // Of what nobody recognises, each may be the answer to a write.
        let wrote = self.unmatched || told.into_iter().any(|asked| asked.access == Access::Write);
        if wrote {
            let asker = Asker::new(Rc::clone(&self.store.view), self.store.asks.clone());
            asker.confirmed(server.epoch).await.map_err(|_| Over)?;
        }
        // The server is done with them: no drain waits for a client that is slow to take its answers.
        self.under_way.iter_mut().take(answered).for_each(|asked| asked.counted = None);
        let right = wrote.then_some(server.epoch);
        down.forward(&self.store.view, right, bytes).await?;
        self.under_way.drain(..answered);
        if answered > 0 {
            self.oldest_since = self.store.view.now();
        }
        self.let_go = let_go;
        self.store.tally.answered_here(u32::try_from(answered).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Lets the server whose epoch is over say that it keeps the oldest request waiting no more. Nothing else that it says counts.
    async fn wait_for_let_go(&mut self, server: &mut Server) {
        let waits = |oldest: &UnderWay| oldest.blocks && oldest.access == Access::Write;
        while !self.let_go && self.under_way.front().is_some_and(waits) {
            // It may have been read already.
            match self.relay.received(&mut server.input) {
                Ok(Passed { answered: 0, let_go, .. }) => self.let_go = let_go,
                _ => return,
            }
            if !self.let_go && !server.read().await {
                return;
            }
        }
    }

    /// The request that waits has waited for too long, or may not wait.
    async fn give_up_held(&mut self, down: &mut Downstream, fault: Fault) -> Result<(), Over> {
        match self.held.take() {
            // In its place among the replies only when it is the next.
            Some(held) if self.under_way.is_empty() => {
                self.skips = held.long;
                refuse(self.store, self.client, down, &held.batch, fault).await
            }
            held => {
                self.held = held;
                Err(Over)
            }
        }
    }

    /// Goes on with another server, or with the same one in another epoch.
    async fn renew(&mut self, mut old: Server) -> Result<Server, Over> {
        // Whether it has or not is seen below.
        tokio::time::timeout(LET_GO_GRACE, self.wait_for_let_go(&mut old)).await.ok();
        let mut asked = self.under_way.iter().skip(usize::from(self.let_go));
        if asked.any(|request| request.access == Access::Write) || !self.relay.is_matched() {
            return Err(Over);
        }
        let mut server = server::another(self.store, self.client, old.epoch).await.map_err(|_| Over)?;
        let now = self.store.view.now();
        let frames = self.relay.renew(server.epoch, now.since(self.oldest_since)).ok_or(Over)?;
        (self.oldest_since, self.let_go) = (now, false);
        server.send(&self.store.view, &frames).await?;
        self.store.tally.relay_renewed();
        Ok(server)
    }
}

impl<P: Protocol> Drop for Relaying<'_, P> {
    /// Nobody will ever hear how these ended.
    fn drop(&mut self) {
        let let_go = usize::from(self.let_go).min(self.under_way.len());
        self.store.tally.not_executed_here(u32::try_from(let_go).unwrap_or(u32::MAX));
        for request in self.under_way.iter().skip(let_go) {
            self.store.tally.unheard(request.access, 1);
        }
        if let Some(held) = &self.held {
            self.store.tally.not_executed_here(held.batch.requests);
        }
    }
}

/// How long, by the rules of the stack, and how many bytes of them.
fn must_wait<P: Protocol>(
    store: &Store<P>,
    client: &Rc<Client<P>>,
    batch: &Batch,
    since: BootInstant,
) -> Option<LocalBoxFuture<'static, Result<(), Fault>>> {
    let admission = Admission::new(Rc::clone(&store.view), Rc::clone(&store.held));
    let request = request(store, client, batch.clone(), None);
    admission.wait(&Request { waiting: Some(since), ..request })
}

/// Says in the store's own words that a request was not executed.
async fn refuse<P: Protocol>(
    store: &Store<P>,
    client: &Client<P>,
    down: &mut Downstream,
    batch: &Batch,
    fault: Fault,
) -> Result<(), Over> {
    let view = &store.view;
    let refusal = client.session.borrow_mut().refuse(batch, fault, view.epoch());
    store.tally.fault(fault.kind);
    store.tally.not_executed_here(batch.requests);
    down.forward(view, None, refusal.words.ok_or(Over)?).await
}

/// The end of a request's wait; never, if none waits.
async fn waited(held: Option<&mut Held>) -> Result<(), Fault> {
    match held {
        Some(held) => held.wait.as_mut().await,
        None => std::future::pending().await,
    }
}
