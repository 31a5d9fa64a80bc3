//! What the client has asked the server to tell it, as far as the server has confirmed it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::frame;
use crate::classify::{Kind, Relayed, Topic};
use crate::session::ends_transaction;
use crate::wire::args;

/// Bytes of names that are kept; a client with more subscriptions can't be moved.
const NAMES_BYTES: usize = 1024 * 1024;
/// What is said here is meant for the connection whose number another one has given (`CLIENT TRACKING` with `REDIRECT`, in RESP2).
const INVALIDATIONS: &[u8] = b"__redis__:invalidate";
/// `CLIENT TRACKING ON` may be said again with more prefixes.
const TRACKING_MOST: usize = 16;

/// What a new connection must be asked for.
#[derive(Debug, Default)]
pub(super) struct Standing {
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    shards: BTreeSet<Bytes>,
    /// Bytes of all names.
    bytes: usize,
    /// The requests that switched client-side caching on.
    tracking: Vec<Bytes>,
    wants_monitor: bool,
    monitors: bool,
    /// Keys are watched.
    watched: bool,
    /// A transaction is open.
    queues: bool,
    /// The command behind `CLIENT CACHING` has not come.
    caching: bool,
    /// There was more than is kept.
    overflown: bool,
}

impl Standing {
    /// Of a connection that holds watched keys, or nothing.
    pub(super) fn new(watched: bool) -> Self {
        Self { watched, ..Self::default() }
    }

    /// The server has answered a request.
    pub(super) fn answered(&mut self, kind: Kind, frame: &Bytes, answer: &[u8]) {
        let refused = answer.first() == Some(&b'-');
        self.caching = kind == Kind::Relay(Relayed::Caching) && !refused;
        match kind {
            kind if ends_transaction(kind, answer) => (self.watched, self.queues) = (false, false),
            _ if refused || self.queues => {}
            Kind::Multi => self.queues = true,
            Kind::Watch => self.watched = true,
            Kind::Unwatch => self.watched = false,
            Kind::Relay(Relayed::Monitor) => (self.wants_monitor, self.monitors) = (true, true),
            Kind::Relay(Relayed::Tracking) => {
                let on = args(frame).nth(2).is_some_and(|arg| arg.eq_ignore_ascii_case(b"ON"));
                if !on {
                    self.tracking.clear();
                } else if self.tracking.len() <= TRACKING_MOST && !self.tracking.contains(frame) {
                    self.tracking.push(frame.clone());
                }
            }
            _ => {}
        }
    }

    /// The server has begun or ended a subscription.
    pub(super) fn confirm(&mut self, change: Relayed, name: Option<&[u8]>) {
        let Some(name) = name else { return };
        match change {
            Relayed::Subscribe(topic) if self.bytes + name.len() > NAMES_BYTES => {
                self.overflown |= !self.set(topic).contains(name);
            }
            Relayed::Subscribe(topic) => {
                let new = self.set(topic).insert(Bytes::copy_from_slice(name));
                self.bytes += if new { name.len() } else { 0 };
            }
            Relayed::Unsubscribe(topic) => {
                let known = self.set(topic).remove(name);
                self.bytes -= if known { name.len() } else { 0 };
            }
            _ => {}
        }
    }

    fn set(&mut self, topic: Topic) -> &mut BTreeSet<Bytes> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }

    /// How many subscriptions of a kind there are.
    pub(super) fn count(&self, topic: Topic) -> usize {
        match topic {
            Topic::Channel => self.channels.len(),
            Topic::Pattern => self.patterns.len(),
            Topic::Shard => self.shards.len(),
        }
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.overflown || !(self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty())
    }

    pub(super) fn monitors(&self) -> bool {
        self.monitors
    }

    pub(super) fn tracks(&self) -> bool {
        !self.tracking.is_empty()
    }

    /// Whether what is sent now is queued.
    pub(super) fn queues(&self) -> bool {
        self.queues
    }

    pub(super) fn hears(&self, channel: &[u8]) -> bool {
        self.channels.contains(channel)
    }

    /// Whether another connection can be brought into the same state.
    pub(super) fn can_move(&self) -> bool {
        let redirected = self.hears(INVALIDATIONS);
        !redirected
            && !self.watched
            && !self.queues
            && !self.caching
            && !self.overflown
            && self.tracking.len() <= TRACKING_MOST
    }

    /// What brings another connection into the same state.
    pub(super) fn requests(&self) -> Vec<Bytes> {
        let subscribe = |name: &'static [u8], names: &BTreeSet<Bytes>| {
            let all: Vec<&[u8]> = std::iter::once(name).chain(names.iter().map(|name| &name[..])).collect();
            (!names.is_empty()).then(|| frame::request(&all))
        };
        let monitor = self.wants_monitor.then(|| frame::request(&[b"MONITOR"]));
        self.tracking
            .iter()
            .cloned()
            .chain(subscribe(b"SUBSCRIBE", &self.channels))
            .chain(subscribe(b"PSUBSCRIBE", &self.patterns))
            .chain(subscribe(b"SSUBSCRIBE", &self.shards))
            .chain(monitor)
            .collect()
    }

    /// The connection that confirmed all this is gone.
    pub(super) fn unsettle(&mut self) {
        self.monitors = false;
    }
}
