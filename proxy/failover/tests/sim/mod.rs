//! A store, its sidecars and the network between them, in simulated time: what happens depends on the seed alone.
//!
//! Who includes this module has the library in scope under the name `failover`.
#![allow(dead_code, reason = "each of its users needs another part of it")]

mod network;
pub(crate) mod random;
pub(crate) mod redis;
pub(crate) mod sidecar;

use std::collections::BTreeMap;
use std::time::Duration;

use foretoken_types::{BootInstant, EndpointId, Epoch, Failure, InstanceId, Operation, Posture};

pub(crate) use self::network::Spoil;
use self::network::{Purpose, Request, Spoiler, TIMEOUT};
use self::random::Random;
use self::redis::{Cluster, Command, Life, Reply};
use self::sidecar::{DiskFault, Sidecar};
use super::failover::{Answer, Change, Effect, Event, Order, Params, Rejection, SaveFailure};

pub(crate) const MS: Duration = Duration::from_millis(1);
/// Between two looks at one endpoint.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A write that was acknowledged to a client.
#[derive(Clone, Debug)]
pub(crate) struct Ack {
    pub(crate) write: u64,
    pub(crate) sidecar: usize,
    pub(crate) epoch: Epoch,
    /// When it was acknowledged, by the simulation's clock.
    pub(crate) at: BootInstant,
    /// Who executed it, and the how-manieth primary that was.
    pub(crate) server: usize,
    pub(crate) term: u64,
}

/// A write that was acknowledged though it is no part of what a newer primary went on from.
#[derive(Clone, Debug)]
pub(crate) struct Break {
    pub(crate) ack: Ack,
    /// The newer one, and through whom it had acknowledged something.
    pub(crate) newer: EndpointId,
    pub(crate) through: usize,
}

/// What reaches a process.
#[derive(Debug)]
enum Input {
    Step(Event),
    Tick(u64),
    Save { operation: Operation, expected: Option<super::failover::Record>, record: super::failover::Record },
    Look(EndpointId),
    Looked(EndpointId, Purpose, Result<Reply, Failure>),
    Ordered(EndpointId, Operation, Result<Answer, Rejection>),
    Client(usize),
    Seen(usize, Posture),
    Written { thread: usize, write: u64, epoch: Epoch, server: usize, term: u64, result: Result<(), ()> },
}

#[derive(Debug)]
enum Item {
    Deliver(usize, u64, Input),
    Arrive(usize, Request),
    /// A pause of writes may have ended.
    Wake(usize),
    Beat,
}

/// The simulation.
pub(crate) struct Sim {
    pub(crate) now: BootInstant,
    pub(crate) cluster: Cluster,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) random: Random,
    pub(crate) spoilers: Vec<Spoiler>,
    pub(crate) acks: Vec<Ack>,
    /// The first one.
    pub(crate) broken: Option<Break>,
    /// What was done to processes and servers, and which roles were changed when; for who looks into a seed.
    pub(crate) log: Vec<(BootInstant, String)>,
    /// The newest term in which something was acknowledged, by which server and through which sidecar.
    newest: (u64, usize, usize),
    /// Time between the writes of one client; `None`: nobody writes.
    pub(crate) write_every: Option<Duration>,
    /// For how long a data thread sees no posture now and then, at most.
    pub(crate) posture_delay: Duration,
    /// How long a message takes, at least and at most.
    pub(crate) latency: (Duration, Duration),
    /// By when it is due, when it would have been due but for a pause of the process, and order of making.
    agenda: BTreeMap<(BootInstant, BootInstant, u64), Item>,
    sequence: u64,
    writes: u64,
    waiting: BTreeMap<usize, Vec<Request>>,
}

impl Sim {
    /// A store with these servers, the first of them the primary, and nobody in front of it yet.
    pub(crate) fn new(seed: u64, servers: &[&str]) -> Self {
        let mut sim = Self {
            now: BootInstant::default(),
            cluster: Cluster::new(servers),
            sidecars: Vec::new(),
            random: Random::new(seed),
            spoilers: Vec::new(),
            acks: Vec::new(),
            broken: None,
            log: Vec::new(),
            newest: (0, 0, 0),
            write_every: None,
            posture_delay: Duration::ZERO,
            latency: (MS / 5, MS / 5),
            agenda: BTreeMap::new(),
            sequence: 0,
            writes: 0,
            waiting: BTreeMap::new(),
        };
        sim.later(LOOK_EVERY * 4, Item::Beat);
        sim
    }

    /// The defaults for these servers, as the only way in.
    pub(crate) fn params(&self, instance: &str) -> Params {
        let endpoints = self.cluster.servers.iter().map(|server| server.id.clone()).collect();
        let mut params = Params::new("cache".into(), InstanceId::new(instance), endpoints, 2);
        params.writers = foretoken_types::Writers::ThisSidecar;
        params
    }

    /// Adds a sidecar, which is not started yet.
    pub(crate) fn add(&mut self, params: Params) -> usize {
        self.sidecars.push(Sidecar::new(params));
        self.sidecars.len() - 1
    }

    pub(crate) fn start(&mut self, sidecar: usize) {
        self.note(format!("start sidecar {sidecar}"));
        let at = &mut self.sidecars[sidecar];
        at.reset();
        (at.runs, at.paused_until) = (true, self.now);
        let record = at.disk.record.clone();
        let (endpoints, threads) = (at.params.endpoints.clone(), at.params.threads);
        self.deliver(sidecar, MS, Input::Step(Event::Loaded(record)));
        for endpoint in endpoints {
            self.deliver(sidecar, MS, Input::Look(endpoint));
        }
        for thread in 0..threads {
            self.deliver(sidecar, MS, Input::Client(thread));
        }
    }

    /// The process is killed.
    pub(crate) fn crash(&mut self, sidecar: usize) {
        self.note(format!("crash sidecar {sidecar}"));
        // Written, but nobody was told: what a crash after the write leaves behind.
        let at = &mut self.sidecars[sidecar];
        at.runs = false;
        at.incarnation += 1;
        let saving = self.agenda.values().find_map(|item| match item {
            Item::Deliver(of, incarnation, Input::Save { expected, record, .. })
                if *of == sidecar && *incarnation + 1 == at.incarnation =>
            {
                Some((expected.clone(), record.clone()))
            }
            _ => None,
        });
        if let Some((expected, record)) = saving
            && at.disk.record == expected
            && self.random.once_in(2)
        {
            at.disk.record = Some(record);
        }
    }

    pub(crate) fn pause(&mut self, sidecar: usize, how_long: Duration) {
        self.note(format!("pause sidecar {sidecar} for {} ms", how_long.as_millis()));
        self.sidecars[sidecar].paused_until = self.now + how_long;
    }

    pub(crate) fn kill(&mut self, id: &str) {
        self.note(format!("kill {id}"));
        let index = self.cluster.index(&id.into());
        self.cluster.servers[index].life = Life::Killed;
        for request in self.waiting.remove(&index).unwrap_or_default() {
            self.reply(index, &request, Err(Failure::Refused));
        }
    }

    /// Starts it again from its own files, with all that it had.
    pub(crate) fn restart(&mut self, id: &str) {
        let index = self.cluster.index(&id.into());
        if self.cluster.servers[index].life == Life::Killed {
            self.note(format!("restart {id}"));
            self.cluster.restart(index, usize::MAX);
        }
    }

    pub(crate) fn freeze(&mut self, id: &str) {
        let server = self.cluster.server(id);
        if server.life == Life::Up {
            server.life = Life::Frozen;
            self.note(format!("freeze {id}"));
        }
    }

    /// It goes on, and executes what its sockets hold.
    pub(crate) fn thaw(&mut self, id: &str) {
        let index = self.cluster.index(&id.into());
        if self.cluster.servers[index].life == Life::Frozen {
            self.note(format!("thaw {id}"));
            self.cluster.servers[index].life = Life::Up;
            self.later(MS / 10, Item::Wake(index));
        }
    }

    /// Somebody who bypasses the sidecars writes.
    pub(crate) fn write(&mut self, id: &str) -> u64 {
        self.writes += 1;
        self.command(id, &Command::Write(self.writes));
        self.writes
    }

    /// Somebody who bypasses the sidecars does this.
    pub(crate) fn command(&mut self, id: &str, command: &Command) -> Reply {
        let index = self.cluster.index(&id.into());
        self.cluster.execute(index, command, self.now)
    }

    /// The machine hears this.
    pub(crate) fn tell(&mut self, sidecar: usize, event: Event) {
        self.step(sidecar, event);
    }

    pub(crate) fn spoil(&mut self, endpoint: &str, which: fn(&Order) -> bool, how: Spoil, times: u32) {
        self.spoilers.push(Spoiler { endpoint: endpoint.into(), which, how, times });
    }

    pub(crate) fn run_for(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        while let Some(((at, ..), _)) = self.agenda.first_key_value()
            && *at <= end
        {
            self.turn();
        }
        self.now = end;
    }

    /// Runs until `done`, or for `at_most`. Whether it is done.
    pub(crate) fn run_until(&mut self, at_most: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            if done(self) {
                return true;
            }
            match self.agenda.first_key_value() {
                Some(((at, ..), _)) if *at <= end => self.turn(),
                _ => return false,
            }
        }
    }

    /// Whether `sidecar` lets writes through, to the server that it takes for the primary.
    pub(crate) fn serves(&self, sidecar: usize) -> bool {
        let at = &self.sidecars[sidecar];
        let now = at.local(self.now);
        at.runs && at.machine.posture().admits(foretoken_types::Access::Write, now)
    }

    pub(crate) fn reports(&self, sidecar: usize) -> Vec<&Change> {
        let effects = self.sidecars[sidecar].effects.iter();
        effects
            .filter_map(|(_, effect)| match effect {
                Effect::Report(change) => Some(change),
                _ => None,
            })
            .collect()
    }

    fn note(&mut self, what: String) {
        self.log.push((self.now, what));
    }

    /// What happened, a line each, up to the first break if there is one: the log, and what each machine wanted. Looks, claims
    /// and mere renewals of a lease are left out.
    pub(crate) fn story(&self) -> String {
        let mut lines: Vec<(BootInstant, String)> = self.log.clone();
        for (number, sidecar) in self.sidecars.iter().enumerate() {
            let mut last = String::new();
            for (at, effect) in &sidecar.effects {
                let line = match effect {
                    Effect::Publish(posture) => {
                        let hold = posture.hold.map(|hold| (hold.scope, hold.fence));
                        let (state, epoch, primary) = (posture.state, posture.epoch, &posture.primary);
                        let lease = posture.lease.is_some();
                        format!("publish {state} {epoch} {primary:?}, lease {lease}, hold {hold:?}")
                    }
                    Effect::Order { order: Order::Observe { .. } | Order::Claim { .. }, .. }
                    | Effect::Vouch(_) => continue,
                    Effect::Order { endpoint, order, .. } => format!("{endpoint}: {order:?}"),
                    Effect::Save { record, .. } => format!("save {record:?}"),
                    Effect::Report(change) => {
                        format!("report {:?} {:?}: {}", change.kind, change.outcome, change.detail)
                    }
                    Effect::PublishLoss { .. } => format!("{effect:?}"),
                };
                if line != last {
                    lines.push((sidecar.global(*at), format!("sidecar {number}: {line}")));
                    last = line;
                }
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let end = self.broken.as_ref().map_or(self.now, |broken| broken.ack.at);
        let told = lines.iter().take_while(|(at, _)| *at <= end);
        told.map(|(at, line)| format!("{:>11.3} ms {line}\n", at.as_nanos() as f64 / 1e6)).collect()
    }

    fn later(&mut self, after: Duration, item: Item) {
        self.sequence += 1;
        let due = self.now + after;
        self.agenda.insert((due, due, self.sequence), item);
    }

    fn deliver(&mut self, sidecar: usize, after: Duration, input: Input) {
        let incarnation = self.sidecars[sidecar].incarnation;
        self.later(after, Item::Deliver(sidecar, incarnation, input));
    }

    fn latency(&mut self) -> Duration {
        self.random.duration(self.latency.0, self.latency.1)
    }

    /// The next thing happens.
    fn turn(&mut self) {
        let Some(((at, meant, sequence), item)) = self.agenda.pop_first() else { return };
        self.now = self.now.max(at);
        match item {
            Item::Deliver(sidecar, incarnation, input) => {
                let process = &self.sidecars[sidecar];
                if !process.runs || process.incarnation != incarnation {
                    return;
                }
                let paused_until = process.paused_until;
                if self.now < paused_until {
                    // In the order in which it came.
                    self.agenda
                        .insert((paused_until, meant, sequence), Item::Deliver(sidecar, incarnation, input));
                    return;
                }
                self.take_in(sidecar, input);
            }
            Item::Arrive(server, request) => self.arrive(server, request),
            Item::Wake(server) => self.wake(server),
            Item::Beat => {
                for index in 0..self.cluster.servers.len() {
                    let server = &mut self.cluster.servers[index];
                    if server.of.is_none() && server.life == Life::Up {
                        server.apply(redis::Entry::Beat);
                    }
                }
                self.cluster.replicate(self.now);
                self.later(LOOK_EVERY * 40, Item::Beat);
            }
        }
    }

    fn take_in(&mut self, sidecar: usize, input: Input) {
        let local = self.sidecars[sidecar].local(self.now);
        match input {
            Input::Step(event) => self.step(sidecar, event),
            Input::Tick(number) => {
                if number == self.sidecars[sidecar].tick {
                    self.step(sidecar, Event::Tick);
                }
            }
            Input::Save { operation, expected, record } => {
                let disk = &mut self.sidecars[sidecar].disk;
                let result = if disk.record != expected {
                    Err(SaveFailure::Conflict(disk.record.clone()))
                } else if disk.fault == DiskFault::Full {
                    Err(SaveFailure::Failed("no space left on device".to_owned()))
                } else {
                    disk.record = Some(record);
                    match disk.fault {
                        DiskFault::Lies => Err(SaveFailure::Failed("input/output error".to_owned())),
                        _ => Ok(()),
                    }
                };
                self.step(sidecar, Event::Saved { operation, result });
            }
            Input::Look(endpoint) => self.look(sidecar, endpoint),
            Input::Looked(endpoint, purpose, result) => self.looked(sidecar, endpoint, &purpose, result),
            Input::Ordered(endpoint, operation, result) => {
                let queue = self.sidecars[sidecar].queues.get_mut(&endpoint);
                let Some(queue) = queue.filter(|queue| queue.under_way == Some(operation)) else { return };
                queue.under_way = None;
                self.step(sidecar, Event::Answered { operation, result });
                self.send_orders(sidecar, &endpoint);
            }
            Input::Client(thread) => {
                if let Some(every) = self.write_every {
                    self.client_writes(sidecar, thread, local);
                    let after = self.random.duration(every / 2, every * 3 / 2);
                    self.deliver(sidecar, after, Input::Client(thread));
                } else {
                    self.deliver(sidecar, LOOK_EVERY, Input::Client(thread));
                }
            }
            Input::Seen(thread, posture) => {
                let in_doubt = self.sidecars[sidecar].threads[thread].see(posture);
                self.obey(sidecar, thread, in_doubt);
            }
            Input::Written { thread, write, epoch, server, term, result } => {
                let at = &mut self.sidecars[sidecar].threads[thread];
                if at.in_flight.remove(&write).is_some() {
                    if result.is_ok() && at.posture.acknowledges(epoch, local) {
                        self.acknowledge(Ack { write, sidecar, epoch, at: self.now, server, term });
                    }
                    self.obey(sidecar, thread, 0);
                }
            }
        }
    }

    fn acknowledge(&mut self, ack: Ack) {
        let (term, newest, through) = self.newest;
        if ack.term >= term {
            self.newest = (ack.term, ack.server, ack.sidecar);
        } else if self.broken.is_none() && !self.cluster.servers[newest].has(ack.write) {
            let newer = self.cluster.servers[newest].id.clone();
            self.note(format!("BROKEN: {ack:?}, which {newer} has not"));
            self.broken = Some(Break { ack: ack.clone(), newer, through });
        }
        self.acks.push(ack);
    }

    fn obey(&mut self, sidecar: usize, thread: usize, in_doubt: u64) {
        if let Some(operation) = self.sidecars[sidecar].threads[thread].obeys() {
            let held = Event::Held { operation, thread, in_doubt };
            self.deliver(sidecar, MS / 20, Input::Step(held));
        }
    }

    fn client_writes(&mut self, sidecar: usize, thread: usize, local: BootInstant) {
        let at = &mut self.sidecars[sidecar].threads[thread];
        let admits = at.posture.admits(foretoken_types::Access::Write, local);
        let Some(primary) = at.posture.primary.clone().filter(|_| admits) else { return };
        self.writes += 1;
        let (write, epoch) = (self.writes, at.posture.epoch);
        at.in_flight.insert(write, epoch);
        let purpose = Purpose::Write { thread, write, epoch };
        self.request(sidecar, &primary, purpose, Command::Write(write));
    }

    fn look(&mut self, sidecar: usize, endpoint: EndpointId) {
        let process = &mut self.sidecars[sidecar];
        let asked = process.local(self.now);
        let may_probe = process.machine.may_probe_writes();
        let Some(watch) = process.watches.get_mut(&endpoint) else { return };
        watch.looks += 1;
        let was_primary =
            watch.found.as_ref().is_some_and(|found| found.role == foretoken_types::Role::Primary);
        let purpose = Purpose::Look { number: watch.looks, asked, probed: may_probe && was_primary };
        let lost = Input::Looked(endpoint.clone(), purpose.clone(), Err(Failure::Timeout));
        self.deliver(sidecar, TIMEOUT, lost);
        let probe = may_probe && was_primary;
        self.request(sidecar, &endpoint, purpose, Command::Observe(probe));
    }

    fn looked(
        &mut self,
        sidecar: usize,
        endpoint: EndpointId,
        purpose: &Purpose,
        result: Result<Reply, Failure>,
    ) {
        let local = self.sidecars[sidecar].local(self.now);
        let Purpose::Look { number, asked, probed } = *purpose else { return };
        let blocker = self.cluster.servers[self.cluster.index(&endpoint)].blocker.clone();
        let process = &mut self.sidecars[sidecar];
        let Some(watch) = process.watches.get_mut(&endpoint).filter(|watch| watch.looks == number) else {
            return;
        };
        // The other end of this look, its answer or its timeout, comes too late.
        watch.looks += 1;
        let result = match result {
            Ok(Reply::Observed(found)) => Ok(*found),
            Ok(_) => Err(Failure::Other),
            Err(failure) => Err(failure),
        };
        let mut events = process.looked(&endpoint, asked, probed, result, blocker, local);
        events.extend(process.judge(local));
        for event in events {
            self.step(sidecar, event);
        }
        self.deliver(sidecar, LOOK_EVERY, Input::Look(endpoint));
    }

    fn step(&mut self, sidecar: usize, event: Event) {
        let process = &mut self.sidecars[sidecar];
        let now = process.local(self.now);
        for effect in process.step(event, now) {
            self.perform(sidecar, effect);
        }
        let process = &mut self.sidecars[sidecar];
        process.tick += 1;
        let tick = process.tick;
        if let Some(due) = process.machine.next_deadline() {
            let after = self.now.until(process.global(due));
            self.deliver(sidecar, after, Input::Tick(tick));
        }
    }

    fn perform(&mut self, sidecar: usize, effect: Effect) {
        match effect {
            Effect::Publish(posture) => {
                for thread in 0..self.sidecars[sidecar].threads.len() {
                    let late = self.random.duration(Duration::ZERO, self.posture_delay);
                    let blind = self.random.once_in(4).then(|| self.now + late);
                    let at = &mut self.sidecars[sidecar].threads[thread];
                    // Never an older posture after a newer one.
                    at.blind_until = at.blind_until.max(blind.unwrap_or_default());
                    let after = self.now.until(at.blind_until);
                    self.deliver(sidecar, after, Input::Seen(thread, posture.clone()));
                }
            }
            Effect::Order { operation, endpoint, order } => {
                if let Some(queue) = self.sidecars[sidecar].queues.get_mut(&endpoint) {
                    queue.waiting.push_back((operation, order));
                }
                self.send_orders(sidecar, &endpoint);
            }
            Effect::Save { operation, expected, record } => {
                let after = self.latency() * 5;
                self.deliver(sidecar, after, Input::Save { operation, expected, record });
            }
            Effect::Vouch(_) | Effect::Report(_) | Effect::PublishLoss { .. } => {}
        }
    }
}
