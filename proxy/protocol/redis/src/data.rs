//! The protocol as the data path sees it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foretoken_protocol::{BlockMap, Meter, Protocol};
use foretoken_transport::{Connector, Stream};
use foretoken_types::Fault;

use crate::relay::RedisRelay;
use crate::session::{RedisSession, SessionKey};
use crate::upstream::{self, RedisUpstream};

/// Redis.
#[derive(Clone, Debug, Default)]
pub struct Redis {
    /// Which block a key lies in; `None`: the store has no named blocks.
    pub blocks: Option<Arc<BlockMap>>,
}

impl Protocol for Redis {
    type Session = RedisSession;
    type Upstream = RedisUpstream;
    type Relay = RedisRelay;

    fn session(&self) -> RedisSession {
        RedisSession::new(self.blocks.clone())
    }

    fn relay(&self, key: &SessionKey) -> RedisRelay {
        RedisRelay::new(key.is_resp3())
    }

    async fn connect(
        &self,
        connector: &Connector,
        key: &SessionKey,
        shared: bool,
        meter: Rc<dyn Meter>,
    ) -> Result<RedisUpstream, Fault> {
        upstream::connect(connector, key, shared, meter).await
    }

    async fn connect_bare(&self, connector: &Connector, key: &SessionKey) -> Result<Stream, Fault> {
        upstream::connect_bare(connector, key).await
    }

    fn too_many_clients(&self) -> Bytes {
        // The words of Redis (`acceptCommonHandler` in `networking.c`).
        Bytes::from_static(b"-ERR max number of clients reached\r\n")
    }
}
