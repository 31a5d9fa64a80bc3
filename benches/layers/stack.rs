//! The tower stack: one batch down and its reply back up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::Criterion;
use foretoken::app::BootClock;
use foretoken_outbound::{EndpointParams, Policies, Policy, StoreParams, Tunables, lookout, testing};
use foretoken_protocol::{Batch, Blocks, Carriage};
use foretoken_transport::Connector;
use foretoken_types::{
    Access, Address, Clock, Epoch, Lease, LeaseTimes, MirrorRoute, Posture, StoreId, StoreState,
};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::echo::Echo;
use crate::wire::get;

pub(crate) fn stack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stack, one batch");
    for (name, access) in [("read", Access::Read), ("write", Access::Write)] {
        group.bench_function(name, |bencher| bencher.iter_custom(|batches| exchanges(access, batches)));
    }
}

/// How long `batches` take, one after the other.
#[expect(clippy::disallowed_methods, reason = "what is measured here is the time itself")]
fn exchanges(access: Access, batches: u64) -> Duration {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let (_keep, params) = store();
        let mut exchange = testing::exchange(&params);
        let batch = batch(access);
        // The first one connects.
        exchange(batch.clone()).await.expect("answered");
        let began = Instant::now();
        for _ in 0..batches {
            let reply = exchange(batch.clone()).await.expect("answered");
            assert!(reply.is_some());
        }
        began.elapsed()
    })
}

fn batch(access: Access) -> Batch {
    Batch {
        frames: Bytes::from(get()),
        requests: 1,
        access,
        carriage: Carriage::Shared,
        blocks: Blocks::NONE,
        any_server: true,
        quiet: false,
    }
}

/// A healthy store with one mirror, and the far ends of its channels.
fn store() -> (impl Sized, StoreParams<Echo>) {
    let store = StoreId::from("bench");
    let times = LeaseTimes { ttl: Duration::from_secs(3600), ..LeaseTimes::default() };
    let healthy = Posture {
        state: StoreState::Healthy,
        epoch: Epoch(1),
        primary: Some("primary".into()),
        lease: Some(Lease::grant(Epoch(1), BootClock.now(), &times)),
        mirrors: vec![MirrorRoute { endpoint: "mirror".into(), staleness: Duration::ZERO }],
        ..Posture::closed(store.clone())
    };
    let (sight, seen) = lookout();
    sight.confirm(BootClock.now() + times.ttl);
    let endpoint = |name: &str| EndpointParams {
        id: name.into(),
        connector: Connector::plain(
            Address::Tcp { host: "127.0.0.1".into(), port: 0 },
            Duration::from_secs(1),
        ),
        near: true,
        lookout: seen.clone(),
    };
    let (posture, watch_posture) = watch::channel(Arc::new(healthy));
    let (tunables, watch_tunables) = watch::channel(Arc::new(Tunables {
        policies: Policies { rest: Policy::PRIMARY, named: Vec::new() },
        hold_max: Duration::from_secs(5),
        hold_bytes: 1024 * 1024,
    }));
    let (reports, heard) = mpsc::channel(16);
    let (asks, asked) = mpsc::channel(16);
    let params = StoreParams {
        store,
        protocol: Echo,
        endpoints: vec![endpoint("primary"), endpoint("mirror")],
        posture: watch_posture,
        tunables: watch_tunables,
        reports,
        asks,
        clock: Arc::new(BootClock),
        #[cfg(feature = "unsafe-rules")]
        rules: foretoken_outbound::Rules::default(),
    };
    ((posture, tunables, heard, asked), params)
}
