//! The token service: who asks gets what the state of the store allows, and nothing leaves before it is on disk.
//!
//! It decides nothing itself: `foretoken_token` does, on what the control loops published last. Here are the clocks, the disk
//! and the wire. The sidecar's own connections to a gate have tokens of another kind, which need no disk: `passes.rs`.

mod answer;
mod ask;
mod rights;
mod store;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foretoken_admin::model::{
    KeySet, PredictiveGrant, RefreshRequest, Revocation, TokenFilter, TokenForm, TokenGrant, TokenRequest,
    TokenStatus,
};
use foretoken_admin::{Asker, TokenError, Tokens};
use foretoken_registry::{Keep, Registry};
use foretoken_token::{
    Claims, Denied, Error, Form, Issuer, Keyring, Lives, Now, Rotation, ServiceId, TokenId, UnixMillis,
    compact, paseto,
};
use foretoken_types::{Clock, Epoch, StoreId};
use tokio::sync::watch;

pub(crate) use self::rights::Services;
pub(crate) use self::store::Watched;
use self::writer::{Row, Writer};

/// Ended tokens are forgotten, and keys take turns, this often at the latest.
const UPKEEP: Duration = Duration::from_secs(1);
/// Name of the keys in the registry.
const KEYS: &str = "keys";
/// Name of the number of this start there: the generation that its tokens carry.
const GENERATION: &str = "generation";

/// What the service begins with.
pub(crate) struct Params {
    pub(crate) stores: Vec<Watched>,
    pub(crate) services: Services,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Milliseconds since 1970.
    pub(crate) wall: fn() -> u64,
    /// How long a key signs.
    pub(crate) key_life: Duration,
}

/// The token service.
pub(crate) struct Service {
    stores: Vec<Watched>,
    clock: Arc<dyn Clock>,
    wall: fn() -> u64,
    key_life: Duration,
    generation: u64,
    state: Mutex<State>,
    /// One change of the keys at a time.
    changing_keys: tokio::sync::Mutex<()>,
    writer: Writer,
    changed: watch::Sender<u64>,
}

struct State {
    /// What the configuration gives; stands here, so that no token is given while it changes.
    services: Services,
    keys: Keyring,
    /// One for each store, in their order.
    issuers: Vec<Issuer>,
}

/// A token that was given, and what is known of its store.
struct Given {
    claims: Arc<Claims>,
    token: String,
    store: usize,
    form: Form,
}

impl Service {
    /// Reads keys and tokens, makes keys when there are none, and begins a generation. Waits for the disk.
    ///
    /// # Errors
    /// The registry can't be used, or the keys in it are damaged.
    pub(crate) fn start(params: Params) -> Result<Arc<Self>, crate::Error> {
        let Params { stores, services, registry, clock, wall, key_life } = params;
        let now = Now { boot: clock.now(), wall: UnixMillis(wall()) };
        let mut kept = registry.kept(KEYS)?.into_iter();
        let mut keys = match kept.find(|(name, _)| name == KEYS) {
            Some((_, bytes)) => Keyring::from_bytes(&bytes, Rotation::default())?,
            None => Keyring::new(Rotation::default()),
        };
        let before = registry.kept(GENERATION)?.into_iter().find(|(name, _)| name == GENERATION);
        let before = before.and_then(|(_, bytes)| String::from_utf8(bytes).ok()?.parse::<u64>().ok());
        let generation = before.unwrap_or(0).saturating_add(1);
        let mut changes = vec![Keep::this(GENERATION, generation.to_string().into_bytes())];
        if keys.ensure(now.wall)? {
            changes.push(Keep::this(KEYS, keys.to_bytes()?.to_vec()));
        }
        registry.keep(&changes)?;
        let mut ends = Vec::new();
        let mut issuers = Vec::new();
        for store in &stores {
            let lives = Lives { lease: store.lease, ..Lives::default() };
            let mut issuer = Issuer::new(lives);
            for prefix in [row_of(&store.id, "token", ""), row_of(&store.id, "revoked", "")] {
                for (name, bytes) in registry.kept(&prefix)? {
                    match serde_json::from_slice(&bytes) {
                        Ok(saved) => {
                            let alive = issuer.import(saved, now)?;
                            tracing::debug!(store = %store.id, row = %name, alive, "read a token");
                        }
                        // One row that can't be read is one token that has ended, and no reason not to start.
                        Err(error) => {
                            tracing::warn!(store = %store.id, row = %name, %error, "a token on disk can't be read, and has ended");
                        }
                    }
                    ends.push((now.wall.after(lives.longest() * 2), name));
                }
            }
            issuers.push(issuer);
        }
        let mut state = State { services, keys, issuers };
        // The configuration may have changed while nobody ran.
        let rows = state.take_back(stores.iter().map(|store| &store.id), now);
        if !rows.is_empty() {
            registry.keep(&rows.iter().map(|row| row.keep.clone()).collect::<Vec<_>>())?;
        }
        ends.extend(rows.into_iter().filter_map(|row| Some((row.until?, row.keep.name))));
        let (changed, _) = watch::channel(0);
        Ok(Arc::new(Self {
            stores,
            clock,
            wall,
            key_life,
            generation,
            state: Mutex::new(state),
            changing_keys: tokio::sync::Mutex::new(()),
            writer: Writer::start(registry, ends),
            changed,
        }))
    }

    /// Follows the control loops, forgets what has ended and lets keys take turns, until `stop` turns true.
    ///
    /// # Cancel safety
    /// Dropping it stops that and nothing else.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let following = (0..self.stores.len()).map(|number| {
            let service = Arc::clone(&self);
            async move { service.stores[number].follow(&*service.clock, &service.changed).await }
        });
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.keep_up().await;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = upkeep => {}
            _ = async { futures_util::future::join_all(following).await; std::future::pending::<()>().await } => {}
        }
    }

    fn now(&self) -> Now {
        Now { boot: self.clock.now(), wall: UnixMillis((self.wall)()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on one engine: a panic in between leaves it as it was before or after.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, number: usize) -> foretoken_token::StoreView {
        self.stores[number].view(self.generation)
    }

    fn turned(&self) {
        self.changed.send_modify(|turn| *turn = turn.wrapping_add(1));
    }

    async fn keep_up(&self) {
        let now = self.now();
        let mut revoked = 0;
        let due;
        {
            let mut state = self.state();
            for issuer in &mut state.issuers {
                let before = issuer.revocations().iter().count();
                issuer.sweep(now);
                revoked += before - issuer.revocations().iter().count();
            }
            due = state.keys.is_due(now.wall, self.key_life);
        }
        if revoked > 0 {
            self.turned();
        }
        self.writer.sweep(now.wall);
        if due
            && let Err(error) =
                self.change_keys(|keys, now| keys.take_turns(now, self.key_life).map(drop)).await
        {
            tracing::warn!(%error, "the keys could not take turns");
        }
    }

    /// Changes the keys, on disk before anybody sees them.
    async fn change_keys(
        &self,
        change: impl FnOnce(&mut Keyring, UnixMillis) -> Result<(), Error>,
    ) -> Result<(), TokenError> {
        let _one = self.changing_keys.lock().await;
        let words = |error: Error| TokenError::Keys(error.to_string());
        let now = self.now().wall;
        let bytes = self.state().keys.to_bytes().map_err(words)?;
        let mut next = Keyring::from_bytes(&bytes, Rotation::default()).map_err(words)?;
        change(&mut next, now).map_err(words)?;
        let row = Row { keep: Keep::this(KEYS, next.to_bytes().map_err(words)?.to_vec()), until: None };
        self.writer.write(vec![row]).await.map_err(TokenError::Storage)?;
        self.state().keys = next;
        self.turned();
        Ok(())
    }

    /// Gives a token by `give`, signs it, and waits until it is on disk.
    async fn hand_out(
        &self,
        store: usize,
        form: Form,
        now: Now,
        give: impl FnOnce(&mut Issuer) -> Result<Option<Arc<Claims>>, Denied>,
    ) -> Result<Option<Given>, TokenError> {
        let (given, row) = {
            let mut state = self.state();
            let State { services, keys, issuers } = &mut *state;
            let Some(claims) = give(&mut issuers[store])? else { return Ok(None) };
            // The configuration may have changed since the request was understood.
            let missing = claims.access.without(services.may(&claims));
            if !missing.is_empty() {
                issuers[store].withdraw(claims.id);
                return Err(Denied::NotPermitted { missing }.into());
            }
            let token = match form {
                Form::Paseto => keys.signing(form, now.wall).and_then(|key| paseto::seal(&claims, key)),
                Form::Compact => keys
                    .signing(form, now.wall)
                    .and_then(|key| compact::seal(&claims, key))
                    .map(|token| compact::to_text(&token)),
            };
            let token = token.map_err(|error| {
                issuers[store].withdraw(claims.id);
                Denied::Keys(error)
            })?;
            let saved = issuers[store].export_token(claims.id);
            let name = row_of(&self.stores[store].id, "token", &claims.id.to_string());
            let row = saved.and_then(|saved| serde_json::to_vec(&saved).ok());
            let row = row.map(|bytes| Row { keep: Keep::this(name, bytes), until: Some(claims.expires_at) });
            (Given { claims, token, store, form }, row)
        };
        if let Some(row) = row
            && let Err(why) = self.writer.write(vec![row]).await
        {
            self.state().issuers[store].withdraw(given.claims.id);
            tracing::error!(store = %self.stores[store].id, error = %why, "a token could not be written down");
            return Err(TokenError::Storage(why));
        }
        crate::metrics::token_given(&self.stores[store].id, given.claims.tier);
        Ok(Some(given))
    }

    /// The store of a token that is known.
    fn store_of(&self, id: TokenId) -> Option<usize> {
        self.state().issuers.iter().position(|issuer| issuer.store_of(id).is_some())
    }

    /// The token `id`, if `asker` may know of it.
    fn look(&self, asker: &Asker, id: TokenId) -> Result<(usize, foretoken_token::Status), TokenError> {
        let store = self.store_of(id).ok_or(Denied::Unknown)?;
        let epoch = self.stores[store].epoch();
        let status = self.state().issuers[store].status(id, epoch, self.now()).ok_or(Denied::Unknown)?;
        match asker {
            // Whose it is is not told either.
            Asker::Service { name, .. } if *name != status.service.as_str() => Err(Denied::Unknown.into()),
            _ => Ok((store, status)),
        }
    }

    fn moved(&self, store: usize, error: TokenError) -> TokenError {
        match error {
            TokenError::Denied { reason: Denied::Moved { new_epoch, endpoint }, .. } => {
                let named = endpoint.as_ref().map(|name| self.stores[store].endpoint(name));
                TokenError::Denied { reason: Denied::Moved { new_epoch, endpoint }, endpoint: named }
            }
            error => error,
        }
    }
}

fn row_of(store: &StoreId, kind: &str, id: &str) -> String {
    format!("{kind}/{store}/{id}")
}

fn parse_id(id: &str) -> Result<TokenId, TokenError> {
    id.parse().map_err(|_| {
        TokenError::Malformed(
            "a token id is 32 lower-case hexadecimal digits: the tokenId of an answer".to_owned(),
        )
    })
}

#[async_trait]
impl Tokens for Service {
    async fn issue(&self, asker: &Asker, request: TokenRequest) -> Result<TokenGrant, TokenError> {
        let now = self.now();
        let asked = self.understand(asker, request)?;
        let view = self.view(asked.store);
        let given = self
            .hand_out(asked.store, asked.request.form, now, |issuer| {
                issuer.issue(&asked.caller, &asked.request, &view, now).map(Some)
            })
            .await?;
        let given = given.ok_or(Denied::Unknown)?;
        Ok(self.grant(given, &view))
    }

    async fn issue_predictive(
        &self,
        asker: &Asker,
        request: TokenRequest,
    ) -> Result<PredictiveGrant, TokenError> {
        let now = self.now();
        let mut asked = self.understand(asker, request)?;
        // It reads, and lets writes wait: the rest of what was asked for is for other tiers.
        let temporary = foretoken_token::Tier::Temporary.may();
        if !(asked.request.access & temporary).is_empty() {
            asked.request.access = asked.request.access & temporary;
        }
        let view = self.view(asked.store);
        let given = self
            .hand_out(asked.store, asked.request.form, now, |issuer| {
                issuer.issue_predictive(&asked.caller, &asked.request, &view, now)
            })
            .await?;
        Ok(self.predicted(&asked, given, &view))
    }

    async fn refresh(
        &self,
        asker: &Asker,
        id: &str,
        request: RefreshRequest,
    ) -> Result<TokenGrant, TokenError> {
        let id = parse_id(id)?;
        let now = self.now();
        let (store, status) = self.look(asker, id)?;
        let holder = self.holder(asker, request.holder.as_deref())?;
        let caller = self.caller(asker, status.service.as_str(), holder)?;
        let view = self.view(store);
        let accepted = request.accept_epoch.map(Epoch);
        let form = self.state().issuers[store].form_of(id).ok_or(Denied::Unknown)?;
        let given = self
            .hand_out(store, form, now, |issuer| issuer.refresh(id, &caller, accepted, &view, now).map(Some))
            .await
            .map_err(|error| self.moved(store, error))?;
        let given = given.ok_or(Denied::Unknown)?;
        Ok(self.grant(given, &view))
    }

    async fn revoke(&self, asker: &Asker, id: &str) -> Result<Revocation, TokenError> {
        let id = parse_id(id)?;
        let now = self.now();
        let known = match self.look(asker, id) {
            Ok((store, _)) => vec![store],
            // It may be of a time before a restart: then it is of any store.
            Err(_) if *asker == Asker::Operator => (0..self.stores.len()).collect(),
            Err(error) => return Err(error),
        };
        let mut revoked = 0;
        let mut rows = Vec::new();
        {
            let mut state = self.state();
            for store in known {
                let issuer = &mut state.issuers[store];
                let mut family: Vec<_> = issuer.family(id).into_iter().map(|(id, _)| id).collect();
                revoked += issuer.revoke(id, now);
                if family.is_empty() {
                    family.push(id);
                }
                rows.extend(rights::revocations(issuer, &self.stores[store].id, family));
            }
        }
        self.turned();
        tracing::info!(token = %id, revoked, "token revoked");
        self.writer.write(rows).await.map_err(TokenError::Storage)?;
        Ok(Revocation { token_id: id.to_string(), revoked })
    }

    fn status(&self, asker: &Asker, id: &str) -> Result<TokenStatus, TokenError> {
        let (store, status) = self.look(asker, parse_id(id)?)?;
        Ok(self.told(store, &status))
    }

    fn list(&self, asker: &Asker, filter: &TokenFilter) -> Result<Vec<TokenStatus>, TokenError> {
        let service = match asker {
            Asker::Service { name, .. } => {
                if filter.service_id.as_ref().is_some_and(|asked| asked != name) {
                    return Ok(Vec::new());
                }
                Some(name.clone())
            }
            Asker::Operator | Asker::Reader => filter.service_id.clone(),
        };
        let service = service.map(ServiceId::new);
        let wanted = filter.store.as_deref().map(|name| self.store_named(name)).transpose()?;
        let now = self.now();
        let mut all = Vec::new();
        for (number, store) in self.stores.iter().enumerate() {
            if wanted.is_none_or(|wanted| wanted == number) {
                let found =
                    self.state().issuers[number].list(service.as_ref(), &store.id, store.epoch(), now);
                all.extend(found.iter().map(|status| self.told(number, status)));
            }
        }
        Ok(all)
    }

    fn keys(&self) -> KeySet {
        self.key_set()
    }

    async fn rotate(&self) -> Result<KeySet, TokenError> {
        self.change_keys(|keys, now| {
            // Both or none: `next` is thrown away on an error.
            Form::BOTH.into_iter().try_for_each(|form| keys.rotate(form, now).map(drop))
        })
        .await?;
        Ok(self.key_set())
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn unix_ms(&self) -> u64 {
        (self.wall)()
    }
}

/// A form by its name on the wire.
const fn form(form: TokenForm) -> Form {
    match form {
        TokenForm::Paseto => Form::Paseto,
        TokenForm::Compact => Form::Compact,
    }
}

#[cfg(test)]
mod tests;
