//! The control connection to one Redis: observe it, change its role.

mod client;
mod info;
mod keys;
mod owner;
mod preflight;
mod probe;
mod promote;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use foretoken_protocol::{Claim, Control, Dial, Place, Preflight, Refused};
use foretoken_transport::Connector;
use foretoken_types::{Capacity, EndpointId, Epoch, Failure, Home, InstanceId, Observation, StoreId};
use tokio::time::timeout;
use zeroize::Zeroizing;

use client::Client;
use keys::Keys;

/// Who we are to the server.
#[derive(Clone)]
pub struct Credentials {
    /// ACL user; `None` is the default user.
    pub user: Option<String>,
    /// Password; wiped from memory when dropped.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("password", &"***").finish()
    }
}

/// What a [`RedisControl`] is made from.
#[derive(Clone, Debug)]
pub struct ControlParams {
    /// The store that the endpoint belongs to: its name is in the keys that we write.
    pub store: StoreId,
    /// How to reach the endpoint.
    pub connector: Connector,
    /// Sent with each new connection, and used for the replication link at a demotion.
    pub credentials: Option<Credentials>,
    /// Every call ends within this time, connecting included.
    pub timeout: Duration,
    /// The store's endpoints as they reach each other, to name the server that a mirror copies.
    pub endpoints: Vec<Dial>,
    /// Which of them this one is.
    pub this: EndpointId,
}

/// [`Control`] for Redis 7 and its descendants, over RESP2.
#[derive(Debug)]
pub struct RedisControl {
    client: Client,
    memory: probe::Memory,
    keys: Keys,
    timeout: Duration,
    endpoints: Vec<Dial>,
    this: EndpointId,
}

impl RedisControl {
    /// A control connection that is made with the first call.
    #[must_use]
    pub fn new(params: ControlParams) -> Self {
        Self {
            client: Client::new(params.connector, params.credentials),
            memory: probe::Memory::default(),
            keys: Keys::of(&params.store),
            timeout: params.timeout,
            endpoints: params.endpoints,
            this: params.this,
        }
    }
}

/// Ends `work` at `limit`. What it was dropped from is a connection, which goes with it.
async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Refused::new(Failure::Timeout, format!("no answer within {limit:?} when asked to {what}")))
    })
}

#[async_trait]
impl Control for RedisControl {
    async fn observe(&mut self, probe_writes: bool) -> Result<Observation, Refused> {
        let Self { client, memory, keys, endpoints, .. } = self;
        let look = probe::observe(client, memory, keys, endpoints, probe_writes);
        within(self.timeout, "report its state", look).await
    }

    async fn reach(&mut self) -> Result<(), Refused> {
        self.client.reach(self.timeout).await
    }

    async fn capacity(&mut self) -> Result<Capacity, Refused> {
        within(self.timeout, "report its capacity", probe::capacity(&mut self.client)).await
    }

    async fn home(&mut self) -> Result<Home, Refused> {
        within(self.timeout, "say where it lives", probe::home(&mut self.client)).await
    }

    async fn position(&mut self) -> Result<Place, Refused> {
        within(self.timeout, "report its position", probe::position(&mut self.client)).await
    }

    async fn pause_writes(&mut self, at_most: Duration) -> Result<(), Refused> {
        within(self.timeout, "pause writes", promote::pause_writes(&mut self.client, at_most)).await
    }

    async fn resume_writes(&mut self) -> Result<(), Refused> {
        within(self.timeout, "resume writes", promote::resume_writes(&mut self.client)).await
    }

    async fn demote(&mut self, of: &Dial) -> Result<(), Refused> {
        within(self.timeout, "become a mirror", promote::demote(&mut self.client, of)).await
    }

    async fn fence(&mut self, of: &Dial, patience: Duration) -> Result<Option<Place>, Refused> {
        within(patience.max(self.timeout), "become a mirror", promote::fence(&mut self.client, of)).await
    }

    async fn promote(&mut self) -> Result<(), Refused> {
        within(self.timeout, "become a primary", promote::promote(&mut self.client)).await
    }

    async fn disconnect_clients(&mut self) -> Result<u64, Refused> {
        within(self.timeout, "disconnect clients", promote::disconnect_clients(&mut self.client)).await
    }

    async fn mark(&mut self, epoch: Epoch) -> Result<(), Refused> {
        within(self.timeout, "take the marker", owner::mark(&mut self.client, &self.keys, epoch)).await
    }

    async fn claim(&mut self, instance: &InstanceId, life: Duration) -> Result<Claim, Refused> {
        let claim = owner::claim(&mut self.client, &self.keys, instance, life);
        within(self.timeout, "take the owner record", claim).await
    }

    async fn release(&mut self, instance: &InstanceId) -> Result<(), Refused> {
        let release = owner::release(&mut self.client, &self.keys, instance);
        within(self.timeout, "drop the owner record", release).await
    }

    async fn register_follower(&mut self, instance: &InstanceId, life: Duration) -> Result<(), Refused> {
        let register = owner::register_follower(&mut self.client, &self.keys, instance, life);
        within(self.timeout, "register a follower", register).await
    }

    async fn preflight(&mut self) -> Result<Preflight, Refused> {
        let Self { client, endpoints, this, .. } = self;
        let check = preflight::preflight(client, &self.keys, endpoints, this);
        within(self.timeout, "be looked over", check).await
    }
}
