//! Messages to servers and back: what waits, what times out, what is spoilt.

use std::time::Duration;

use foretoken_types::{EndpointId, Epoch, Failure, Operation};

use super::super::failover::{Answer, Claimed, Order, Rejection};
use super::redis::{Command, Life, Reply};
use super::{BootInstant, Input, Item, MS, Sim};

/// How long looks and orders wait for their answers.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// How long a lost primary has to obey.
const FENCE_PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of an order that somebody has a quarrel with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// The server says no.
    Refuse,
    /// It never gets there.
    Lose,
    /// It is executed, and the answer is lost.
    LoseAnswer,
}

/// Orders that go wrong.
pub(crate) struct Spoiler {
    pub(crate) endpoint: EndpointId,
    pub(crate) which: fn(&Order) -> bool,
    pub(crate) how: Spoil,
    pub(crate) times: u32,
}

/// For what a server is asked something.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Look { number: u64, asked: BootInstant, probed: bool },
    Order(Operation),
    Write { thread: usize, write: u64, epoch: Epoch },
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) sidecar: usize,
    pub(super) incarnation: u64,
    pub(super) purpose: Purpose,
    pub(super) command: Command,
}

impl Sim {
    /// Sends the next order to `endpoint`, if none is under way.
    pub(super) fn send_orders(&mut self, sidecar: usize, endpoint: &EndpointId) {
        let process = &mut self.sidecars[sidecar];
        let instance = process.params.instance.clone();
        let Some(queue) = process.queues.get_mut(endpoint).filter(|queue| queue.under_way.is_none()) else {
            return;
        };
        let Some((operation, order)) = queue.waiting.pop_front() else { return };
        queue.under_way = Some(operation);
        let spoiler = self
            .spoilers
            .iter_mut()
            .find(|spoiler| spoiler.times > 0 && spoiler.endpoint == *endpoint && (spoiler.which)(&order));
        let spoil = spoiler.map(|spoiler| {
            spoiler.times -= 1;
            spoiler.how
        });
        let rejected = |failure, detail: &str| Err(Rejection { failure, detail: detail.to_owned() });
        let lost =
            Input::Ordered(endpoint.clone(), operation, rejected(Failure::Timeout, "no answer in time"));
        let purpose = match spoil {
            Some(Spoil::Refuse) => {
                let refused = rejected(Failure::Other, "ERR not now");
                let after = self.latency() * 2;
                self.deliver(sidecar, after, Input::Ordered(endpoint.clone(), operation, refused));
                return;
            }
            Some(Spoil::Lose) => {
                self.deliver(sidecar, TIMEOUT, lost);
                return;
            }
            Some(Spoil::LoseAnswer) => Purpose::Nothing,
            None => Purpose::Order(operation),
        };
        let patience = if matches!(order, Order::Fence { .. }) { FENCE_PATIENCE } else { TIMEOUT };
        self.deliver(sidecar, patience, lost);
        let command = match order {
            Order::Observe { probe } => Command::Observe(probe),
            Order::Position => Command::Position,
            Order::PauseWrites { at_most } => Command::Pause(at_most),
            Order::ResumeWrites => Command::Resume,
            Order::Demote { of } => Command::Demote(of),
            Order::Fence { of } => Command::Fence(of),
            Order::Promote => Command::Promote,
            Order::DisconnectClients => Command::Disconnect,
            Order::Mark(epoch) => Command::Mark(epoch),
            Order::Claim { life } => Command::Claim(instance, life),
            Order::RegisterFollower { life } => Command::Register(instance, life),
        };
        self.request(sidecar, endpoint, purpose, command);
    }

    pub(super) fn request(
        &mut self,
        sidecar: usize,
        endpoint: &EndpointId,
        purpose: Purpose,
        command: Command,
    ) {
        let incarnation = self.sidecars[sidecar].incarnation;
        let server = self.cluster.index(endpoint);
        let after = self.latency();
        self.later(after, Item::Arrive(server, Request { sidecar, incarnation, purpose, command }));
    }

    pub(super) fn arrive(&mut self, server: usize, request: Request) {
        match self.cluster.servers[server].life {
            Life::Killed => self.reply(server, &request, Err(Failure::Refused)),
            Life::Frozen => self.waiting.entry(server).or_default().push(request),
            Life::Up => {
                if matches!(request.command, Command::Promote | Command::Demote(_) | Command::Fence(_)) {
                    let id = &self.cluster.servers[server].id;
                    self.note(format!("{id} executes {:?} of sidecar {}", request.command, request.sidecar));
                }
                let reply = self.cluster.execute(server, &request.command, self.now);
                let wakes =
                    matches!(request.command, Command::Resume | Command::Demote(_) | Command::Fence(_));
                if matches!(reply, Reply::Waits) {
                    let after = self.now.until(self.cluster.servers[server].paused_until);
                    self.waiting.entry(server).or_default().push(request);
                    self.later(after, Item::Wake(server));
                } else {
                    self.reply(server, &request, Ok(reply));
                }
                if wakes {
                    self.later(MS / 20, Item::Wake(server));
                }
            }
        }
    }

    pub(super) fn wake(&mut self, server: usize) {
        for request in self.waiting.remove(&server).unwrap_or_default() {
            self.arrive(server, request);
        }
    }

    pub(super) fn reply(&mut self, server: usize, request: &Request, result: Result<Reply, Failure>) {
        let term = self.cluster.servers[server].term;
        let endpoint = self.cluster.servers[server].id.clone();
        let input = match request.purpose {
            Purpose::Look { .. } => Input::Looked(endpoint, request.purpose.clone(), result),
            Purpose::Order(operation) => {
                let result = match result {
                    Ok(Reply::Observed(found)) => Ok(Answer::Observed(found)),
                    Ok(Reply::Position(position)) => Ok(Answer::Position(position)),
                    Ok(Reply::Fenced(had)) => Ok(Answer::Fenced { had }),
                    Ok(Reply::HeldBy(other)) => Ok(Answer::Claimed(Claimed::HeldBy(other))),
                    Ok(Reply::Done) if matches!(request.command, Command::Claim(..)) => {
                        Ok(Answer::Claimed(Claimed::Held))
                    }
                    Ok(Reply::Done) => Ok(Answer::Done),
                    Ok(Reply::ReadOnly | Reply::Waits) => Err(Rejection {
                        failure: Failure::NotServing,
                        detail: "READONLY You can't write against a read only replica.".to_owned(),
                    }),
                    Err(failure) => Err(Rejection { failure, detail: format!("{failure:?}") }),
                };
                Input::Ordered(endpoint, operation, result)
            }
            Purpose::Write { thread, write, epoch } => {
                let result = if matches!(result, Ok(Reply::Done)) { Ok(()) } else { Err(()) };
                Input::Written { thread, write, epoch, server, term, result }
            }
            Purpose::Nothing => return,
        };
        let after = self.latency();
        self.later(after, Item::Deliver(request.sidecar, request.incarnation, input));
    }
}
