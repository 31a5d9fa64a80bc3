//! Servers that replicate, restart, freeze and pause as Redis does, as far as the machine can see it.
//!
//! An entry of the change stream is one byte of it, so a position is a number of entries and lost data can be counted.

use std::collections::BTreeMap;
use std::time::Duration;

use foretoken_types::{
    BootInstant, EndpointId, Epoch, InstanceId, Link, Observation, OwnerClaim, Persistence, Position, Role,
};

/// Whether a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Up,
    /// Nobody listens.
    Killed,
    /// SIGSTOP: it takes connections and answers nothing.
    Frozen,
}

/// A change of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Write(u64),
    Flush,
    Marker(Epoch),
    Owner(InstanceId, BootInstant),
    Follower(InstanceId, BootInstant),
    /// What a primary adds to its stream now and then (PING).
    Beat,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Write(u64),
    Flush,
    Mark(Epoch),
    Claim(InstanceId, Duration),
    Register(InstanceId, Duration),
    Pause(Duration),
    Resume,
    Demote(EndpointId),
    Fence(EndpointId),
    Promote,
    Disconnect,
    /// And whether it takes writes.
    Observe(bool),
    Position,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Done,
    /// `-READONLY`: it is a mirror.
    ReadOnly,
    HeldBy(InstanceId),
    Observed(Box<Observation>),
    Position(Position),
    /// What it had as a primary.
    Fenced(Option<(String, Position)>),
    /// Nothing yet: writes are paused.
    Waits,
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) id: EndpointId,
    pub(crate) life: Life,
    /// What it copies; `None`: it is a primary.
    pub(crate) of: Option<EndpointId>,
    pub(crate) run: u64,
    pub(crate) history: String,
    pub(crate) previous: Option<(String, Position)>,
    pub(crate) entries: Vec<Entry>,
    /// Position before the first entry.
    pub(crate) base: u64,
    pub(crate) paused_until: BootInstant,
    pub(crate) persistence: Persistence,
    /// Nothing comes over its replication link, though it is up.
    pub(crate) stalled: bool,
    /// It takes writes when it is a primary.
    pub(crate) writable: bool,
    pub(crate) blocker: Option<String>,
    pub(crate) managed_by: Option<String>,
    /// No machine's configuration names it.
    pub(crate) stranger: bool,
    /// How often it became a primary, counted over all servers.
    pub(crate) term: u64,
    silent_since: BootInstant,
    marker: Option<Epoch>,
    owner: Option<(InstanceId, BootInstant)>,
    followers: BTreeMap<InstanceId, BootInstant>,
    keys: u64,
}

impl Server {
    fn new(id: EndpointId, term: u64) -> Self {
        let history = format!("{id}-1");
        Self {
            id,
            life: Life::Up,
            of: None,
            run: 1,
            history,
            previous: None,
            entries: Vec::new(),
            base: 0,
            paused_until: BootInstant::default(),
            persistence: Persistence::Log,
            stalled: false,
            writable: true,
            blocker: None,
            managed_by: None,
            stranger: false,
            term,
            silent_since: BootInstant::default(),
            marker: None,
            owner: None,
            followers: BTreeMap::new(),
            keys: 0,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position(self.base + self.entries.len() as u64)
    }

    pub(crate) const fn marker(&self) -> Option<Epoch> {
        self.marker
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys + u64::from(self.marker.is_some()) + u64::from(self.owner.is_some())
    }

    pub(crate) fn has(&self, write: u64) -> bool {
        // The newest first: what is asked for was written a moment ago.
        self.entries.iter().rev().any(|entry| *entry == Entry::Write(write))
    }

    pub(crate) fn writes(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Write(write) => Some(*write),
            _ => None,
        })
    }

    pub(crate) fn apply(&mut self, entry: Entry) {
        match &entry {
            Entry::Write(_) => self.keys += 1,
            Entry::Flush => {
                (self.keys, self.marker, self.owner) = (0, None, None);
                self.followers.clear();
            }
            Entry::Marker(epoch) => self.marker = Some(*epoch),
            Entry::Owner(instance, until) => self.owner = Some((instance.clone(), *until)),
            Entry::Follower(instance, until) => {
                self.followers.insert(instance.clone(), *until);
            }
            Entry::Beat => {}
        }
        self.entries.push(entry);
    }

    /// Replaces all data.
    fn load(&mut self, entries: &[Entry]) {
        (self.keys, self.marker, self.owner) = (0, None, None);
        self.followers.clear();
        self.entries.clear();
        for entry in entries {
            self.apply(entry.clone());
        }
    }
}

/// All servers of a store.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    histories: u64,
    terms: u64,
}

impl Cluster {
    /// The first is a primary, the others are its mirrors.
    pub(crate) fn new(ids: &[&str]) -> Self {
        let mut servers: Vec<Server> = ids.iter().map(|id| Server::new((*id).into(), 1)).collect();
        let primary = servers[0].id.clone();
        for mirror in servers.iter_mut().skip(1) {
            mirror.of = Some(primary.clone());
        }
        let mut cluster = Self { servers, histories: 1, terms: 1 };
        cluster.replicate(BootInstant::default());
        cluster
    }

    pub(crate) fn index(&self, id: &EndpointId) -> usize {
        self.servers.iter().position(|server| server.id == *id).expect("the machine only knows our servers")
    }

    pub(crate) fn server(&mut self, id: &str) -> &mut Server {
        let index = self.index(&id.into());
        &mut self.servers[index]
    }

    fn next_history(&mut self, id: &EndpointId) -> String {
        self.histories += 1;
        format!("{id}-{}", self.histories)
    }

    /// The primary at the end of the chain that begins at `index`, if every link of it is alive.
    fn source(&self, index: usize) -> Option<usize> {
        let mut at = index;
        for _ in 0..self.servers.len() {
            let Some(of) = &self.servers[at].of else { return Some(at) };
            at = self.index(of);
            if self.servers[at].life != Life::Up {
                return None;
            }
        }
        None
    }

    /// Lets every mirror catch up with what it copies.
    pub(crate) fn replicate(&mut self, now: BootInstant) {
        for index in 0..self.servers.len() {
            let mirror = &self.servers[index];
            if mirror.of.is_none() || mirror.life != Life::Up || mirror.stalled {
                continue;
            }
            let Some(source) = self.source(index) else { continue };
            let source = self.servers[source].clone_head();
            let mirror = &self.servers[index];
            let same = mirror.history == source.history && mirror.position() <= source.position;
            let before = source
                .previous
                .as_ref()
                .is_some_and(|(history, until)| *history == mirror.history && mirror.position() <= *until);
            if same || before {
                let from = usize::try_from(mirror.position().0 - source.base).unwrap_or(0);
                let missing = self.entries_of(&source.id, from);
                let mirror = &mut self.servers[index];
                if before && !same {
                    mirror.previous = Some((mirror.history.clone(), mirror.position()));
                    mirror.history = source.history;
                }
                for entry in missing {
                    mirror.apply(entry);
                }
            } else {
                let all = self.entries_of(&source.id, 0);
                let mirror = &mut self.servers[index];
                (mirror.history, mirror.previous, mirror.base) = (source.history, None, source.base);
                mirror.load(&all);
            }
            self.servers[index].silent_since = now;
        }
    }

    fn entries_of(&self, id: &EndpointId, from: usize) -> Vec<Entry> {
        self.servers[self.index(id)].entries[from..].to_vec()
    }

    /// Executes a command at a server that runs.
    pub(crate) fn execute(&mut self, index: usize, command: &Command, now: BootInstant) -> Reply {
        self.replicate(now);
        let (id, history) = (self.servers[index].id.clone(), self.servers[index].history.clone());
        let server = &mut self.servers[index];
        let probes = matches!(command, Command::Observe(true)) && server.of.is_none();
        let writes = matches!(
            command,
            Command::Write(_)
                | Command::Flush
                | Command::Mark(_)
                | Command::Claim(..)
                | Command::Register(..)
        );
        if writes && (server.of.is_some() || !server.writable) {
            return Reply::ReadOnly;
        }
        if (writes || probes) && now < server.paused_until {
            return Reply::Waits;
        }
        match command {
            Command::Write(write) => server.apply(Entry::Write(*write)),
            Command::Flush => server.apply(Entry::Flush),
            Command::Mark(epoch) => server.apply(Entry::Marker(*epoch)),
            Command::Claim(instance, life) => {
                if let Some((holder, until)) = &server.owner
                    && holder != instance
                    && now < *until
                {
                    return Reply::HeldBy(holder.clone());
                }
                server.apply(Entry::Owner(instance.clone(), now + *life));
            }
            Command::Register(instance, life) => {
                server.apply(Entry::Follower(instance.clone(), now + *life));
            }
            Command::Pause(at_most) => server.paused_until = now + *at_most,
            Command::Resume => server.paused_until = now,
            Command::Demote(of) => {
                server.of = Some(of.clone());
            }
            Command::Fence(of) => {
                let had = server.of.is_none().then(|| (history, server.position()));
                server.of = Some(of.clone());
                self.replicate(now);
                return Reply::Fenced(had);
            }
            Command::Promote => {
                if server.of.take().is_some() {
                    let position = server.position();
                    server.previous = Some((history, position));
                    self.terms += 1;
                    let term = self.terms;
                    let history = self.next_history(&id);
                    let server = &mut self.servers[index];
                    (server.history, server.term) = (history, term);
                }
            }
            Command::Disconnect => {}
            Command::Observe(probe) => {
                let mut found = self.observe(index, now);
                found.writable &= probe;
                return Reply::Observed(Box::new(found));
            }
            Command::Position => return Reply::Position(server.position()),
        }
        self.replicate(now);
        Reply::Done
    }

    /// What a look finds.
    pub(crate) fn observe(&self, index: usize, now: BootInstant) -> Observation {
        let server = &self.servers[index];
        let role = match &server.of {
            None => Role::Primary,
            Some(of) => {
                let link = match self.servers[self.index(of)].life {
                    Life::Killed => Link::Down,
                    // A frozen server keeps its connections (PROTOCOL 10).
                    Life::Frozen => Link::Up { silent_for: now.since(server.silent_since) },
                    Life::Up if self.source(index).is_none() => Link::Down,
                    Life::Up => Link::Up { silent_for: Duration::ZERO },
                };
                let of = (!self.servers[self.index(of)].stranger).then(|| of.clone());
                Role::Mirror { of, link }
            }
        };
        let living = |until: &BootInstant| now < *until;
        Observation {
            role,
            run_id: format!("{}/{}", server.id, server.run),
            history: server.history.clone(),
            previous_history: server.previous.clone(),
            position: server.position(),
            writable: server.of.is_none() && server.writable,
            refuses_writes: (server.of.is_none() && !server.writable).then(|| "OOM".to_owned()),
            loading: false,
            persistence: server.persistence,
            keys: server.keys(),
            replicas: 0,
            marker: server.marker,
            owner: server
                .owner
                .as_ref()
                .filter(|(_, until)| living(until))
                .map(|(instance, _)| OwnerClaim { instance: instance.clone() }),
            followers: u32::try_from(server.followers.values().filter(|until| living(until)).count())
                .unwrap_or(u32::MAX),
            managed_by: server.managed_by.clone(),
        }
    }

    /// Starts a killed server again, as what it was, from its own files. `keep`: how many entries it finds there.
    pub(crate) fn restart(&mut self, index: usize, keep: usize) {
        let id = self.servers[index].id.clone();
        // A log does not hold the name of its history, and an offset begins at zero.
        let history = self.next_history(&id);
        let server = &mut self.servers[index];
        let kept: Vec<Entry> = server.entries.iter().take(keep).cloned().collect();
        server.load(&kept);
        server.life = Life::Up;
        server.run += 1;
        (server.history, server.previous, server.base) = (history, None, 0);
        server.paused_until = BootInstant::default();
        server.stalled = false;
    }
}

/// What replication needs of a source, without its data.
struct Head {
    id: EndpointId,
    history: String,
    previous: Option<(String, Position)>,
    position: Position,
    base: u64,
}

impl Server {
    fn clone_head(&self) -> Head {
        Head {
            id: self.id.clone(),
            history: self.history.clone(),
            previous: self.previous.clone(),
            position: self.position(),
            base: self.base,
        }
    }
}
