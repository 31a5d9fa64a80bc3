//! From claims to answers.

use std::time::Duration;

use foretoken_admin::model::{Key, KeySet, PredictiveGrant, Revoked, TokenForm, TokenGrant, TokenStatus};
use foretoken_token::{Access, Form, SKEW, Status, StoreView};

use super::ask::Asked;
use super::{Given, Service};

/// A token is refreshed when a third of its life is over.
const REFRESH_SHARE: u32 = 3;

fn words(access: Access) -> Vec<String> {
    access.words().map(str::to_owned).collect()
}

fn seconds(duration: Duration) -> f64 {
    // To the millisecond: beyond that the numbers would only be long.
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Service {
    pub(super) fn grant(&self, given: Given, view: &StoreView) -> TokenGrant {
        let Given { claims, token, store, form } = given;
        let watched = &self.stores[store];
        let life = claims.issued_at.until(claims.expires_at);
        TokenGrant {
            token,
            token_id: claims.id.to_string(),
            form: match form {
                Form::Paseto => TokenForm::Paseto,
                Form::Compact => TokenForm::Compact,
            },
            tier: claims.tier.to_string(),
            access: words(claims.access),
            service_id: claims.service.to_string(),
            store: claims.store.to_string(),
            data_block_id: watched.name_of(&claims.block),
            key_prefix: claims.block.prefix().map(str::to_owned),
            state: view.situation.state.to_string(),
            epoch: claims.epoch.0,
            endpoint: claims.endpoint.as_ref().map(|name| watched.endpoint(name)),
            expires_in: seconds(life),
            refresh_in: seconds(life / REFRESH_SHARE),
        }
    }

    pub(super) fn predicted(&self, asked: &Asked, given: Option<Given>, view: &StoreView) -> PredictiveGrant {
        let watched = &self.stores[asked.store];
        let foresight = watched.live.borrow().foresight.clone();
        let risk = watched.status.borrow().risk.clone();
        let now = risk.as_ref().and_then(|risk| risk.horizons.get(1));
        let (token, claims) = given.map(|given| (given.token, given.claims)).unzip();
        let life = claims.as_ref().map(|claims| claims.issued_at.until(claims.expires_at));
        PredictiveGrant {
            token,
            token_id: claims.as_ref().map(|claims| claims.id.to_string()),
            tier: claims.as_ref().map(|claims| claims.tier.to_string()),
            access: claims.as_ref().map(|claims| words(claims.access)).unwrap_or_default(),
            expires_in: life.map(seconds),
            store: watched.id.to_string(),
            data_block_id: asked.block.clone(),
            state: view.situation.state.to_string(),
            epoch: view.epoch.0,
            risk: risk.as_ref().and_then(|risk| risk.within),
            // The horizon of fifteen steps is the one that AT_RISK goes by.
            threshold: now.map_or_else(|| foresight.thresholds().enter()[1], |horizon| horizon.threshold),
            reasons: risk.map(|risk| risk.causes).unwrap_or_default(),
            retry_after: seconds(life.map_or(foresight.step, |life| life / REFRESH_SHARE)),
        }
    }

    pub(super) fn told(&self, store: usize, status: &Status) -> TokenStatus {
        TokenStatus {
            token_id: status.id.to_string(),
            valid: status.valid(),
            reason: status.reason.as_ref().map(ToString::to_string),
            reason_code: status.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            tier: status.tier.to_string(),
            access: words(status.access),
            service_id: status.service.to_string(),
            store: status.store.to_string(),
            data_block_id: self.stores[store].name_of(&status.block),
            epoch: status.epoch.0,
            current_epoch: status.current_epoch.0,
            expires_in: seconds(status.expires_in),
            revoked: status.revoked,
        }
    }

    pub(super) fn key_set(&self) -> KeySet {
        let now = self.clock.now();
        let stores = self.stores.iter().map(|store| store.event(now)).collect();
        let state = self.state();
        let revoked = state.issuers.iter().flat_map(|issuer| issuer.revocations().iter());
        let mut revoked: Vec<_> =
            revoked.map(|(id, until)| Revoked { token_id: id.to_string(), until: until.0 }).collect();
        // An unknown token is taken back in every store.
        revoked.sort_by(|one, other| one.token_id.cmp(&other.token_id));
        revoked.dedup_by(|one, other| one.token_id == other.token_id);
        let lease = self.stores.iter().map(|store| store.lease).min().unwrap_or_default();
        KeySet {
            keys: state.keys.public().publish().into_iter().map(Key::from).collect(),
            revoked,
            stores,
            lease: seconds(lease),
            skew: seconds(SKEW),
        }
    }
}
