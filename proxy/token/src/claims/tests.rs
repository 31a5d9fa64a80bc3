use super::*;
use crate::testing::claims;

#[test]
fn claims_that_can_be_are_accepted_up_to_their_borders() {
    assert_eq!(claims().check(), Ok(()));
    let mut longest = claims();
    let name = "n".repeat(MAX_NAME);
    longest.service = ServiceId::new(name.as_str());
    longest.store = StoreId::new(name.as_str());
    longest.endpoint = Some(EndpointId::new(name.as_str()));
    longest.expires_at = UnixMillis(longest.not_before.0 + 1);
    assert_eq!(longest.check(), Ok(()));
    let temporary = Claims { tier: Tier::Temporary, access: Access::QUEUE, endpoint: None, ..claims() };
    assert_eq!(temporary.check(), Ok(()));
}

#[test]
fn claims_that_can_not_be_are_refused() {
    let long = "n".repeat(MAX_NAME + 1);
    type Change<'a> = &'a dyn Fn(&mut Claims);
    let temporary = |access| BadClaims::Access { tier: Tier::Temporary, access };
    let rows: [(Change<'_>, BadClaims); 13] = [
        (&|c| c.service = ServiceId::from(""), BadClaims::Name("service")),
        (&|c| c.service = ServiceId::from("a\u{7f}"), BadClaims::Name("service")),
        (&|c| c.store = StoreId::new(long.as_str()), BadClaims::Name("store")),
        (&|c| c.endpoint = Some(EndpointId::from("\n")), BadClaims::Name("endpoint")),
        (&|c| c.endpoint = None, BadClaims::Endpoint),
        (&|c| c.tier = Tier::Temporary, BadClaims::Endpoint),
        (
            &|c| (c.tier, c.endpoint, c.access) = (Tier::Temporary, None, Access::WRITE),
            temporary(Access::WRITE),
        ),
        (&|c| (c.tier, c.endpoint, c.access) = (Tier::Temporary, None, Access::ALL), temporary(Access::ALL)),
        (&|c| c.access = Access::NONE, BadClaims::Access { tier: Tier::Valid, access: Access::NONE }),
        (
            &|c| (c.tier, c.access) = (Tier::Provisional, Access::ADMIN),
            BadClaims::Access { tier: Tier::Provisional, access: Access::ADMIN },
        ),
        (&|c| c.not_before = UnixMillis(c.issued_at.0 - 1), BadClaims::Times),
        (&|c| c.expires_at = c.not_before, BadClaims::Times),
        (&|c| c.expires_at = UnixMillis(0), BadClaims::Times),
    ];
    for (place, (change, wrong)) in rows.into_iter().enumerate() {
        let mut claims = claims();
        change(&mut claims);
        assert_eq!(claims.check(), Err(wrong), "row {place}");
    }
}
