//! What the tests of several modules begin with.

use foretoken_types::{EndpointId, Epoch, StoreId};
use proptest::prelude::*;

use crate::{Access, Block, Claims, Fingerprint, ServiceId, Tier, TokenId, UnixMillis};

/// 2025-10-09 08:53:20.123 UTC; the milliseconds are there to be lost.
pub(crate) const START: UnixMillis = UnixMillis(1_760_000_000_123);

/// A T3 of epoch 7, given at [`START`].
pub(crate) fn claims() -> Claims {
    Claims {
        id: TokenId(*b"sixteen bytes id"),
        service: ServiceId::from("checkout"),
        store: StoreId::from("orders"),
        block: "order:".parse().expect("a block"),
        endpoint: Some(EndpointId::from("redis-a")),
        tier: Tier::Valid,
        access: Access::READ | Access::WRITE,
        epoch: Epoch(7),
        generation: 3,
        issued_at: START,
        not_before: START,
        expires_at: UnixMillis(START.0 + 2000),
        holder: Some(Fingerprint::of(b"connection 1")),
    }
}

/// Claims of which nothing could be longer, in whatever form: a quote is two characters in JSON.
pub(crate) fn longest_claims() -> Claims {
    let name = "\"".repeat(crate::MAX_NAME);
    Claims {
        service: ServiceId::from(name.as_str()),
        store: StoreId::from(name.as_str()),
        endpoint: Some(EndpointId::from(name.as_str())),
        block: "\"".repeat(crate::MAX_PREFIX).parse().expect("a block"),
        access: Access::ALL,
        epoch: Epoch(u64::MAX),
        generation: u64::MAX,
        ..claims()
    }
}

/// Any claims that can be.
pub(crate) fn any_claims() -> impl Strategy<Value = Claims> {
    let name = || "\\PC{1,30}";
    let tier = prop_oneof![Just(Tier::Temporary), Just(Tier::Provisional), Just(Tier::Valid)];
    let names = (name(), name(), name(), name(), any::<bool>());
    // Up to the year 9999, where RFC 3339 ends.
    let times = (0..250_000_000_000_000_u64, 0..10_000_u64, 1..100_000_u64);
    (names, tier, 1..16_u8, any::<(u64, u64, [u8; 16])>(), any::<Option<[u8; 32]>>(), times).prop_filter_map(
        "a right that the tier has",
        |((service, store, endpoint, block, all), tier, rights, (epoch, generation, id), holder, times)| {
            let claims = Claims {
                id: TokenId(id),
                service: ServiceId::new(service),
                store: StoreId::new(store),
                block: if all { Block::ALL } else { block.parse().ok()? },
                endpoint: tier.names_endpoint().then(|| EndpointId::new(endpoint)),
                tier,
                access: tier.may() & Access::try_from(rights).ok()?,
                epoch: Epoch(epoch),
                generation,
                issued_at: UnixMillis(times.0),
                not_before: UnixMillis(times.0 + times.1),
                expires_at: UnixMillis(times.0 + times.1 + times.2),
                holder: holder.map(Fingerprint),
            };
            claims.check().is_ok().then_some(claims)
        },
    )
}
