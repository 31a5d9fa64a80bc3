//! The protocol as the data path sees it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foretoken_protocol::{BlockMap, Meter, Protocol};
use foretoken_transport::Connector;
use foretoken_types::Fault;

use crate::control::Credentials;
use crate::relay::RedisRelay;
use crate::scripts::Scripts;
use crate::session::{RedisSession, SessionKey};
use crate::upstream::{self, RedisUpstream};

/// Redis.
#[derive(Clone, Debug, Default)]
pub struct Redis {
    /// Which block a key lies in; `None`: the store has no named blocks.
    pub blocks: Option<Arc<BlockMap>>,
    /// Whom the servers take a client for that has not said who it is; `None`: for their default user.
    pub login: Option<Credentials>,
    /// What clients have loaded.
    pub scripts: Arc<Scripts>,
}

impl Protocol for Redis {
    type Session = RedisSession;
    type Upstream = RedisUpstream;
    type Relay = RedisRelay;

    fn session(&self) -> RedisSession {
        let fresh = self.login.as_ref().map(SessionKey::of_user).unwrap_or_default();
        RedisSession::new(fresh, self.blocks.clone(), Arc::clone(&self.scripts))
    }

    fn relay(&self, session: &RedisSession) -> Option<RedisRelay> {
        session.relay()
    }

    async fn connect(
        &self,
        connector: &Connector,
        key: &SessionKey,
        shared: bool,
        meter: Rc<dyn Meter>,
    ) -> Result<RedisUpstream, Fault> {
        upstream::connect(connector, key, &self.scripts, shared, meter).await
    }

    fn too_many_clients(&self) -> Bytes {
        // The words of Redis (`acceptCommonHandler` in `networking.c`).
        Bytes::from_static(b"-ERR max number of clients reached\r\n")
    }
}
