//! The list of protocols, one line each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretoken_config::{Protocol, Secret, Store};
use foretoken_outbound::{StoreFactory, StoreParams};
use foretoken_protocol::{BlockMap, Dial};
use foretoken_protocol_redis::gate::Attach;
use foretoken_protocol_redis::{ControlParams, Credentials, Redis, RedisControl};
use foretoken_transport::{Connector, Greeting};
use foretoken_types::EndpointId;
use zeroize::Zeroizing;

use crate::Error;
use crate::control::MakeControl;
use crate::passes::EndpointPass;

/// Credentials of control connections.
#[derive(Clone)]
pub(crate) struct ControlLogin {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

/// Makes the data path of a store.
pub(crate) fn data_path(
    store: &Store,
    make: impl FnOnce(Redis) -> StoreParams<Redis>,
) -> Result<StoreFactory, Error> {
    match store.protocol {
        Protocol::Redis => {
            let prefixes = store.block.iter().map(|block| block.prefix.as_str().as_bytes());
            let redis = Redis { blocks: BlockMap::new(prefixes), login: login(store)?, ..Redis::default() };
            Ok(StoreFactory::new(make(redis)))
        }
    }
}

/// The user that clients are who have not said who they are.
pub(crate) fn login(store: &Store) -> Result<Option<Credentials>, Error> {
    let Some(login) = &store.login else { return Ok(None) };
    let password = password(store, "login", &login.password_file)?;
    Ok(Some(Credentials { user: Some(login.user.clone()), password }))
}

/// The password in the `password_file` of a table of the store's.
pub(crate) fn password(store: &Store, table: &str, file: &Path) -> Result<Zeroizing<String>, Error> {
    let secret = Secret::read(file).map_err(|source| Error::Secret {
        key: format!("store.{}.{table}.password_file", store.name),
        source,
    })?;
    Ok(Zeroizing::new(secret.expose().to_owned()))
}

/// Whether a gate, and not the server behind it, has said what is quoted in `detail`.
pub(crate) fn is_told_by_a_gate(detail: &str) -> bool {
    detail.contains(foretoken_protocol_redis::gate::SAYS)
}

/// What is said first to a gate.
pub(crate) fn attach(pass: EndpointPass) -> Arc<dyn Greeting> {
    // One protocol so far has gates.
    Arc::new(Attach(Arc::new(pass)))
}

/// Makes control connections to one endpoint of a store.
pub(crate) fn control(
    store: &Store,
    this: &EndpointId,
    connector: Connector,
    timeout: Duration,
    login: Option<ControlLogin>,
    dials: Arc<Vec<Dial>>,
) -> MakeControl {
    match store.protocol {
        Protocol::Redis => {
            let (store, this) = (store.name.clone(), this.clone());
            Box::new(move || {
                Box::new(RedisControl::new(ControlParams {
                    store: store.clone(),
                    connector: connector.clone(),
                    credentials: login.as_ref().map(|login| Credentials {
                        user: Some(login.user.clone()),
                        password: login.password.clone(),
                    }),
                    timeout,
                    endpoints: dials.to_vec(),
                    this: this.clone(),
                }))
            })
        }
    }
}
