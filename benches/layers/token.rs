//! Tokens: signed, verified, and recognised again.

use criterion::Criterion;
use foretoken_token::{
    Access, Claims, Fingerprint, Form, Keyring, Presented, Revocations, Rotation, ServiceId, Target, Tier,
    TokenId, UnixMillis, Use, Verifier, compact,
};
use foretoken_types::{EndpointId, Epoch, StoreId};

const START: UnixMillis = UnixMillis(1_760_000_000_123);
const EPOCH: Epoch = Epoch(7);

pub(crate) fn tokens(criterion: &mut Criterion) {
    let mut ring = Keyring::new(Rotation::default());
    ring.ensure(START).expect("keys");
    let signing = ring.signing(Form::Compact, START).expect("a key");
    let (keys, revoked) = (ring.public(), Revocations::default());
    let (claims, service) = (claims(), ServiceId::from("checkout"));
    let token = compact::seal(&claims, signing).expect("claims that can be");
    let wanted = Use {
        service: &service,
        holder: claims.holder,
        target: Target::Key(b"order:17"),
        access: Access::READ | Access::WRITE,
    };
    let verifier = || Verifier::new(StoreId::from("orders"), EPOCH);
    let verify = |verifier: &mut Verifier| {
        verifier.verify(Presented::Compact(&token), &wanted, &keys, &revoked, START).expect("good")
    };

    let mut group = criterion.benchmark_group("tokens");
    group.bench_function("signed", |bencher| {
        bencher.iter(|| compact::seal(&claims, signing).expect("claims that can be"));
    });
    group.bench_function("verified", |bencher| bencher.iter(|| verify(&mut verifier())));
    group.bench_function("recognised", |bencher| {
        let mut verifier = verifier();
        bencher.iter(|| verify(&mut verifier));
        assert_eq!(verifier.signatures(), 1);
    });
}

fn claims() -> Claims {
    Claims {
        id: TokenId(*b"sixteen bytes id"),
        service: ServiceId::from("checkout"),
        store: StoreId::from("orders"),
        block: "order:".parse().expect("a block"),
        endpoint: Some(EndpointId::from("redis-a")),
        tier: Tier::Valid,
        access: Access::READ | Access::WRITE,
        epoch: EPOCH,
        generation: 3,
        issued_at: START,
        not_before: START,
        expires_at: UnixMillis(START.0 + 2000),
        holder: Some(Fingerprint::of(b"connection 1")),
    }
}
