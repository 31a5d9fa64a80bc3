//! The data path in this process, in front of real servers, under a posture that the test sets by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foretoken_app::BootClock;
use foretoken_outbound::{
    Ask, DataPlane, EndpointParams, Lookout, Policies, Policy, Sight, StoreFactory, StoreParams, Tunables,
    lookout,
};
use foretoken_protocol::BlockMap;
use foretoken_protocol_redis::{Credentials, Redis};
use foretoken_transport::{Connector, Listener};
use foretoken_types::{
    Address, Clock, EndpointId, Epoch, Hold, HoldScope, Lease, LeaseTimes, MirrorRoute, Operation, Posture,
    Report, StoreId, StoreState,
};
use tokio::sync::{mpsc, watch};

/// The data path with a hand on its posture.
pub struct DataPath {
    pub address: SocketAddr,
    pub reports: mpsc::Receiver<Report>,
    /// Questions for a mirror that has all writes; the test answers.
    pub asks: mpsc::Receiver<Ask>,
    posture: watch::Sender<Arc<Posture>>,
    tunables: watch::Sender<Arc<Tunables>>,
    /// Nobody looks at the endpoints but the test.
    pub sights: Vec<Sight>,
    stop: watch::Sender<bool>,
    pub plane: Arc<DataPlane>,
    operation: u64,
}

/// A lease for the length of a test.
pub fn long_lease(epoch: Epoch) -> Lease {
    let times = LeaseTimes { ttl: Duration::from_secs(3600), ..LeaseTimes::default() };
    Lease::grant(epoch, BootClock.now(), &times)
}

impl DataPath {
    /// In front of servers on these ports, named `e0`, `e1` …; `e0` is the primary, epoch 1, and `e1` stands in our region.
    pub async fn start(ports: &[u16]) -> Self {
        Self::start_with(ports, 10_000).await
    }

    pub async fn start_with(ports: &[u16], clients_most: usize) -> Self {
        Self::start_all(ports, clients_most, Redis::default()).await
    }

    /// The same, for clients that are this user until they say who they are.
    pub async fn start_as(ports: &[u16], user: &str, password: &str) -> Self {
        let login = Credentials { user: Some(user.to_owned()), password: password.to_owned().into() };
        Self::start_all(ports, 10_000, Redis { login: Some(login), ..Redis::default() }).await
    }

    /// The same, with blocks of these prefixes and policies.
    pub async fn start_with_blocks(ports: &[u16], blocks: &[(&str, Policy)]) -> Self {
        let blocks_by_prefix = BlockMap::new(blocks.iter().map(|(prefix, _)| prefix.as_bytes()));
        let protocol = Redis { blocks: blocks_by_prefix, ..Redis::default() };
        let path = Self::start_all(ports, 10_000, protocol).await;
        path.tunables(|tunables| {
            tunables.policies.named = blocks.iter().map(|(_, policy)| *policy).collect()
        });
        path
    }

    async fn start_all(ports: &[u16], clients_most: usize, protocol: Redis) -> Self {
        let path = Self::start_unseen(ports, clients_most, protocol).await;
        // Whoever answers is the right one, for the length of a test.
        path.sights.iter().for_each(|sight| sight.confirm(BootClock.now() + Duration::from_secs(3600)));
        path
    }

    /// The same, and nobody has looked at a server.
    pub async fn start_unseen(ports: &[u16], clients_most: usize, protocol: Redis) -> Self {
        let store = StoreId::from("test");
        let first = Posture {
            state: StoreState::Healthy,
            epoch: Epoch(1),
            primary: Some("e0".into()),
            lease: Some(long_lease(Epoch(1))),
            ..Posture::closed(store.clone())
        };
        let (posture, watch_posture) = watch::channel(Arc::new(first));
        let (tunables, watch_tunables) = watch::channel(Arc::new(Tunables {
            policies: Policies { rest: Policy::PRIMARY, named: Vec::new() },
            hold_max: Duration::from_secs(5),
            hold_bytes: 1024 * 1024,
        }));
        let (report, reports) = mpsc::channel(1024);
        let (ask, asks) = mpsc::channel(16);
        let (sights, lookouts): (Vec<Sight>, Vec<Lookout>) = ports.iter().map(|_| lookout()).unzip();
        let endpoints = ports
            .iter()
            .zip(lookouts)
            .enumerate()
            .map(|(number, (port, lookout))| EndpointParams {
                id: EndpointId::new(format!("e{number}")),
                connector: Connector::plain(
                    Address::Tcp { host: "127.0.0.1".into(), port: *port },
                    Duration::from_secs(1),
                ),
                near: number == 1,
                lookout,
            })
            .collect();
        let params = StoreParams {
            store,
            protocol,
            endpoints,
            posture: watch_posture,
            tunables: watch_tunables,
            reports: report,
            asks: ask,
            clock: Arc::new(BootClock),
            #[cfg(feature = "unsafe-rules")]
            rules: foretoken_outbound::Rules::default(),
        };
        let plane =
            Arc::new(DataPlane::start(1, clients_most, vec![StoreFactory::new(params)]).expect("starts"));
        let listener =
            Listener::bind(&Address::Tcp { host: "127.0.0.1".into(), port: 0 }, 0o600).await.expect("binds");
        let address = listener.local_addr().expect("a TCP listener");
        let (stop, watch_stop) = watch::channel(false);
        let (_, no_tls) = watch::channel(None);
        let accepting = Arc::clone(&plane);
        tokio::spawn(async move { accepting.accept(listener, no_tls, 0, watch_stop).await });
        Self { address, reports, asks, posture, tunables, sights, stop, plane, operation: 0 }
    }

    /// Changes the posture.
    pub fn posture(&self, change: impl FnOnce(&mut Posture)) {
        self.posture.send_modify(|posture| change(Arc::make_mut(posture)));
    }

    pub fn tunables(&self, change: impl FnOnce(&mut Tunables)) {
        self.tunables.send_modify(|tunables| change(Arc::make_mut(tunables)));
    }

    /// Orders a hold and waits for the answer of the data thread. Gives how many writes it declared in doubt.
    pub async fn hold(&mut self, scope: HoldScope, fence: bool) -> u64 {
        let operation = self.order_hold(scope, fence);
        self.held(operation).await
    }

    /// Orders a hold.
    pub fn order_hold(&mut self, scope: HoldScope, fence: bool) -> Operation {
        self.operation += 1;
        let operation = Operation(self.operation);
        self.posture(|posture| {
            posture.hold = Some(Hold { operation, scope, fence });
            if fence {
                posture.lease = None;
            }
        });
        operation
    }

    /// Waits for the answer to a hold.
    pub async fn held(&mut self, operation: Operation) -> u64 {
        let answer = async {
            loop {
                match self.reports.recv().await {
                    Some(Report::Held { operation: of, in_doubt, .. }) if of == operation => return in_doubt,
                    Some(_) => {}
                    None => panic!("the data path has ended"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answer).await.expect("the hold is answered in time")
    }

    /// Ends the hold, under a new epoch with another primary.
    pub fn move_to(&self, endpoint: &str, epoch: u64) {
        self.posture(|posture| {
            posture.epoch = Epoch(epoch);
            posture.primary = Some(endpoint.into());
            posture.lease = Some(long_lease(Epoch(epoch)));
            posture.hold = None;
        });
    }

    /// Ends the hold in the same epoch.
    pub fn resume(&self) {
        self.posture(|posture| posture.hold = None);
    }

    /// Mirrors, with the right to stale reads for the length of a test.
    pub fn mirrors(&self, endpoints: &[&str]) {
        self.posture(|posture| {
            posture.temporary_until = Some(BootClock.now() + Duration::from_secs(3600));
            posture.mirrors = endpoints
                .iter()
                .map(|id| MirrorRoute { endpoint: (*id).into(), staleness: Duration::ZERO })
                .collect();
        });
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for DataPath {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
