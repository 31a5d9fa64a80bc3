//! The tokens that our own connections present to gates (PROTOCOL 7.5).
//!
//! A pass is made when a connection is, of the posture as it is then: so it is of the epoch in force, and a connection of the
//! next epoch comes with a token of the next epoch. It lives as long as a lease and is bound to our certificate or, on
//! loopback without TLS, to the one connection.
//!
//! The keys are not those of the API, though both rings take turns by one rule. A gate knows the keys of passes only, so no
//! token that the API gives can pass for one, whatever it says and whoever asked for it. And they live in this process only:
//! a restart ends every pass, no connection waits for a disk, and control connections, which come first, need no token service.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretoken_admin::model::GateNews;
use foretoken_protocol_redis::gate::{NoPass, Pass};
use foretoken_token::{
    Access, Block, Claims, Fingerprint, Form, Keyring, PublishedKey, Rotation, ServiceId, Tier, TokenId,
    UnixMillis, compact,
};
use foretoken_types::{Clock, EndpointId, Epoch, Posture, StoreId};
use rand::TryRngCore as _;
use tokio::sync::watch;

/// The service in whose name a sidecar's own connections come. The only one that gates let in.
pub(crate) const SIDECAR: &str = "foretoken";

/// The wall clock, for tokens: third parties check them by it.
pub(crate) fn wall() -> UnixMillis {
    #[expect(
        clippy::disallowed_methods,
        reason = "tokens are checked by the wall clock; no right of ours rests on it"
    )]
    let now = SystemTime::now();
    UnixMillis(
        now.duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    )
}

/// What a token is bound to on a connection without TLS: its two ends. A token that was overheard is good on no other.
pub(crate) fn connection(sidecar: SocketAddr, gate: SocketAddr) -> Fingerprint {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Fingerprint::of(format!("tcp {} {}", plain(sidecar), plain(gate)).as_bytes())
}

/// Makes the passes of one store.
pub(crate) struct Passes {
    store: StoreId,
    ring: Mutex<Keyring>,
    /// The epoch on record at the start: in force until the control loop has looked at the servers, for which it needs passes.
    recorded: Epoch,
    ttl: Duration,
    /// How long a key signs.
    key_life: Duration,
    clock: Arc<dyn Clock>,
    /// Comes with the control loop, whose connections need passes themselves.
    posture: OnceLock<watch::Receiver<Arc<Posture>>>,
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Passes {
    /// `recorded`: the epoch on record; `ttl`: how long a pass lives; `key_life`: how long a key signs.
    pub(crate) fn new(
        store: StoreId,
        recorded: Epoch,
        ttl: Duration,
        key_life: Duration,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let ring = Mutex::new(Keyring::new(Rotation::default()));
        Arc::new(Self { store, ring, recorded, ttl, key_life, clock, posture: OnceLock::new() })
    }

    /// From now on the posture is what `posture` says.
    pub(crate) fn follow(&self, posture: watch::Receiver<Arc<Posture>>) {
        // Each store has one control loop, so it is set once.
        self.posture.set(posture).ok();
    }

    /// Passes for connections to one endpoint. `certificate` tells the one that we show there now, if it is reached over TLS.
    pub(crate) fn to(
        self: &Arc<Self>,
        endpoint: EndpointId,
        certificate: Shown,
        purpose: Purpose,
    ) -> EndpointPass {
        EndpointPass { passes: Arc::clone(self), endpoint, certificate, purpose }
    }

    fn posture(&self) -> Option<Arc<Posture>> {
        Some(Arc::clone(&self.posture.get()?.borrow()))
    }

    fn epoch(&self) -> Epoch {
        self.posture().map_or(self.recorded, |posture| posture.epoch.max(self.recorded))
    }

    /// The word to a gate: at once when the epoch is another one than `known`, after `wait` otherwise.
    pub(crate) async fn news(&self, known: Option<Epoch>, wait: Duration) -> GateNews {
        if let Some(mut posture) = self.posture.get().cloned() {
            let moved = async { while Some(self.epoch()) == known && posture.changed().await.is_ok() {} };
            // Time is up: the word is the same as before.
            tokio::time::timeout(wait, moved).await.ok();
        }
        let primary = self.posture().and_then(|posture| posture.primary.clone());
        let keys = self.public_keys(wall());
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        GateNews { store: self.store.clone(), epoch: self.epoch(), primary, ttl_ms, keys }
    }

    /// Makes sure that there is a key to sign with.
    pub(crate) fn prepare(&self) -> Result<(), foretoken_token::Error> {
        self.ring().take_turns(wall(), self.key_life).map(drop)
    }

    /// What gates verify passes with. They ask several times a second, and hear of the next key long before it signs.
    fn public_keys(&self, now: UnixMillis) -> Vec<PublishedKey> {
        let mut ring = self.ring();
        if let Err(error) = ring.take_turns(now, self.key_life) {
            tracing::warn!(store = %self.store, %error, "the keys of passes could not take turns");
        }
        ring.public().publish().into_iter().filter(|key| key.form == Form::Compact).collect()
    }

    fn ring(&self) -> MutexGuard<'_, Keyring> {
        // Each change is one call on the ring: a panic in between leaves it as it was before or after.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal(&self, claims: &Claims) -> Result<Vec<u8>, foretoken_token::Error> {
        let mut ring = self.ring();
        // A wall clock that was set back leaves no key that signs yet.
        ring.ensure(claims.issued_at)?;
        compact::seal(claims, ring.signing(Form::Compact, claims.issued_at)?)
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Traffic of clients.
    Data,
    /// Probes and changes of roles, which go on when nobody has the right to write.
    Control,
}

/// Tells the certificate that we show: it may be renewed at any time.
pub(crate) type Shown = Box<dyn Fn() -> Option<Fingerprint> + Send + Sync>;

/// Makes passes to one endpoint.
pub(crate) struct EndpointPass {
    passes: Arc<Passes>,
    endpoint: EndpointId,
    certificate: Shown,
    purpose: Purpose,
}

impl fmt::Debug for EndpointPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, purpose, .. } = self;
        f.debug_struct("EndpointPass")
            .field("endpoint", endpoint)
            .field("purpose", purpose)
            .finish_non_exhaustive()
    }
}

impl EndpointPass {
    /// Tier, rights and epoch of a pass that is made now.
    fn rights(&self) -> Result<(Tier, Access, Epoch), NoPass> {
        let epoch = self.passes.epoch();
        if self.purpose == Purpose::Control {
            return Ok((Tier::Valid, Access::READ | Access::WRITE | Access::ADMIN, epoch));
        }
        let why = |why: &str| NoPass(why.to_owned());
        let posture = self.passes.posture().ok_or_else(|| why("the store has not been looked at yet"))?;
        let now = self.passes.clock.now();
        if posture.primary.as_ref() == Some(&self.endpoint) {
            // A T3 is a lease that can be shown: without the one there is not the other.
            let leased = posture.acknowledges(epoch, now);
            return leased
                .then_some((Tier::Valid, Access::READ | Access::WRITE, epoch))
                .ok_or_else(|| why("there is no lease on the primary now"));
        }
        // While the primary serves, mirrors answer for whom the configuration says so, under the same lease.
        (posture.admits_stale(now) || posture.acknowledges(epoch, now))
            .then_some((Tier::Temporary, Access::READ, epoch))
            .ok_or_else(|| why("a mirror may not serve reads now"))
    }
}

impl Pass for EndpointPass {
    fn token(&self, plain: Option<(SocketAddr, SocketAddr)>) -> Result<Vec<u8>, NoPass> {
        let (tier, access, epoch) = self.rights()?;
        let holder = match plain {
            Some((ours, gate)) => connection(ours, gate),
            None => (self.certificate)()
                .ok_or_else(|| NoPass("there is no certificate that it could be bound to".to_owned()))?,
        };
        let mut id = [0; 16];
        rand::rngs::OsRng.try_fill_bytes(&mut id).map_err(|error| NoPass(error.to_string()))?;
        let now = wall();
        let claims = Claims {
            id: TokenId(id),
            service: ServiceId::from(SIDECAR),
            store: self.passes.store.clone(),
            block: Block::ALL,
            endpoint: tier.names_endpoint().then(|| self.endpoint.clone()),
            tier,
            access,
            epoch,
            generation: 1,
            issued_at: now,
            not_before: now,
            expires_at: now.after(self.passes.ttl),
            holder: Some(holder),
        };
        self.passes.seal(&claims).map_err(|error| NoPass(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
