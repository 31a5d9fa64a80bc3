//! Redis whose servers answer at once, in this process.

use std::future::{Ready, ready};
use std::rc::Rc;

use bytes::Bytes;
use foretoken_protocol::{Batch, Meter, Protocol, Reply, Retire, Upstream};
use foretoken_protocol_redis::{Redis, RedisRelay, RedisSession, SessionKey};
use foretoken_transport::{Connector, Stream};
use foretoken_types::Fault;

#[derive(Clone)]
pub(crate) struct Echo;

/// Counts as a real connection does.
#[derive(Clone)]
pub(crate) struct EchoUpstream(Rc<dyn Meter>);

impl Upstream for EchoUpstream {
    type Pending = Ready<Result<Reply, Fault>>;

    fn send(&self, batch: &Batch) -> Self::Pending {
        let sent = self.0.just_now();
        self.0.sent(batch.requests, sent);
        self.0.settled(batch.requests, sent);
        self.0.answered(batch.requests, self.0.now().since(sent));
        ready(Ok(Reply::whole(Bytes::from_static(b"+OK\r\n"))))
    }

    async fn extend(&self, _: Bytes) -> Result<(), Fault> {
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn is_shareable(&self) -> bool {
        true
    }

    fn share(&self) {}

    fn retire(&self, _: Retire) {}

    async fn hand_over(&self) -> Option<Stream> {
        None
    }

    fn close(&self) {}
}

impl Protocol for Echo {
    type Session = RedisSession;
    type Upstream = EchoUpstream;
    type Relay = RedisRelay;

    fn session(&self) -> RedisSession {
        Redis::default().session()
    }

    fn relay(&self, session: &RedisSession) -> Option<RedisRelay> {
        Redis::default().relay(session)
    }

    async fn connect(
        &self,
        _: &Connector,
        _: &SessionKey,
        _: bool,
        meter: Rc<dyn Meter>,
    ) -> Result<EchoUpstream, Fault> {
        Ok(EchoUpstream(meter))
    }

    fn too_many_clients(&self) -> Bytes {
        Bytes::new()
    }
}
