//! What the configuration gives to whom, and what becomes of tokens when that changes.

use foretoken_token::{Access, Block, Caller, Claims, Fingerprint, Grant, Issuer, Now, ServiceId, TokenId};
use foretoken_types::StoreId;

use super::writer::Row;
use super::{Keep, Service, State, TokenError, row_of};

/// The services of the configuration and what each may have; empty: any service may have everything.
#[derive(Debug, Default)]
pub(crate) struct Services(pub(crate) Vec<(String, Vec<Grant>)>);

impl Services {
    /// `service` as one that asks for a token; `None`: the configuration does not know it.
    pub(super) fn caller(
        &self,
        service: &str,
        holder: Option<Fingerprint>,
        stores: impl Iterator<Item = StoreId>,
    ) -> Option<Caller> {
        let grants = if self.0.is_empty() {
            stores.map(|store| Grant { store, block: Block::ALL, access: Access::ALL }).collect()
        } else {
            self.0.iter().find(|(name, _)| name == service)?.1.clone()
        };
        Some(Caller { service: ServiceId::new(service), grants, holder })
    }

    /// What the service of a token may do with all of its block.
    pub(super) fn may(&self, claims: &Claims) -> Access {
        let store = std::iter::once(claims.store.clone());
        let caller = self.caller(claims.service.as_str(), None, store);
        caller.map_or(Access::NONE, |caller| caller.may(&claims.store, &claims.block))
    }
}

impl Service {
    /// From now on `services` is what the configuration gives. Says how many tokens gave more than that and were taken
    /// back.
    ///
    /// # Errors
    /// [`TokenError::Storage`]: they are taken back, and a restart has to find that out anew from its configuration.
    ///
    /// # Cancel safety
    /// As with that error.
    pub(crate) async fn permit(&self, services: Services) -> Result<usize, TokenError> {
        let now = self.now();
        let rows = {
            let mut state = self.state();
            state.services = services;
            state.take_back(self.stores.iter().map(|store| &store.id), now)
        };
        let revoked = rows.len();
        if revoked > 0 {
            self.turned();
            tracing::info!(revoked, "tokens revoked: the configuration does not give their rights any more");
        }
        self.writer.write(rows).await.map_err(TokenError::Storage)?;
        Ok(revoked)
    }
}

impl State {
    /// Takes back the tokens that give more than their services may have. Returns the rows that a restart has to find.
    pub(super) fn take_back<'a>(&mut self, stores: impl Iterator<Item = &'a StoreId>, now: Now) -> Vec<Row> {
        let Self { issuers, services, .. } = self;
        let mut rows = Vec::new();
        for (issuer, store) in issuers.iter_mut().zip(stores) {
            let revoked = issuer.revoke_beyond(|claims| services.may(claims), now);
            rows.extend(revocations(issuer, store, revoked));
        }
        rows
    }
}

/// The rows in which it stands that these tokens were taken back.
pub(super) fn revocations(
    issuer: &Issuer,
    store: &StoreId,
    ids: impl IntoIterator<Item = TokenId>,
) -> Vec<Row> {
    let row = |id: TokenId| {
        let (saved, until) = issuer.export_revocation(id)?;
        let name = row_of(store, "revoked", &id.to_string());
        let bytes = serde_json::to_vec(&saved).ok()?;
        Some(Row { keep: Keep::this(name, bytes), until: Some(until) })
    };
    ids.into_iter().filter_map(row).collect()
}
