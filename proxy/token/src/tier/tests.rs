use super::*;

/// PROTOCOL 3.2, column "given when": state, validated or not, the tier, whether a T1 lies beside it, whether one is given.
#[test]
fn each_state_gives_the_tier_of_the_table() {
    use StoreState::*;
    use Tier::*;
    let rows = [
        (Healthy, false, Valid, false, false),
        (Healthy, true, Valid, false, false),
        (AtRisk, false, Valid, true, true),
        (AtRisk, true, Valid, true, true),
        (Holding, false, Temporary, false, true),
        (Holding, true, Temporary, false, true),
        (Flipping, false, Temporary, false, true),
        (Flipping, true, Temporary, false, true),
        (Unavailable, false, Temporary, false, true),
        (Unavailable, true, Temporary, false, true),
        (FailingOver, false, Temporary, false, true),
        (FailingOver, true, Temporary, false, true),
        (FailedOver, false, Provisional, false, false),
        (FailedOver, true, Valid, false, false),
        (Recovering, false, Valid, false, false),
        (Recovering, true, Valid, false, false),
    ];
    for (state, validated, tier, in_advance, gives_temporary) in rows {
        let given = Situation { state, validated };
        assert_eq!(given.tier(), tier, "{given:?}");
        assert_eq!(given.in_advance(), in_advance, "{given:?}");
        assert_eq!(given.gives_temporary(), gives_temporary, "{given:?}");
    }
}

/// PROTOCOL 3.2, columns "may do" and "bound to".
#[test]
fn each_tier_may_do_what_the_table_says() {
    let rows = [
        (Tier::Temporary, Access::READ | Access::QUEUE, ReadsFrom::Mirrors, false),
        (Tier::Provisional, Access::READ | Access::WRITE, ReadsFrom::Endpoint, true),
        (Tier::Valid, Access::ALL, ReadsFrom::Anywhere, true),
    ];
    for (tier, may, reads_from, names_endpoint) in rows {
        assert_eq!(tier.may(), may, "{tier}");
        assert_eq!(tier.reads_from(), reads_from, "{tier}");
        assert_eq!(tier.names_endpoint(), names_endpoint, "{tier}");
    }
    assert!(!Tier::Temporary.may().contains(Access::WRITE), "a T1 never writes");
}

/// PROTOCOL 3.2, column "life", with the figures of chapter 12.
#[test]
fn each_tier_lives_as_long_as_the_table_says() {
    let (lives, none) = (Lives::default(), Duration::ZERO);
    assert_eq!(lives.of(Tier::Temporary, none), Some(Duration::from_secs(30)));
    assert_eq!(lives.of(Tier::Valid, none), Some(Duration::from_secs(2)));
    assert_eq!(lives.of(Tier::Provisional, none), Some(Duration::from_secs(2)));
    assert_eq!(lives.longest(), Duration::from_secs(30));
}

#[test]
fn provisional_tokens_end_exactly_when_their_minute_does() {
    let (lives, milli) = (Lives::default(), Duration::from_millis(1));
    let total = lives.provisional_total;
    assert_eq!(lives.of(Tier::Provisional, total - lives.lease), Some(lives.lease));
    assert_eq!(lives.of(Tier::Provisional, total - lives.lease + milli), Some(lives.lease - milli));
    assert_eq!(lives.of(Tier::Provisional, total - milli), Some(milli));
    assert_eq!(lives.of(Tier::Provisional, total), None);
    assert_eq!(lives.of(Tier::Provisional, total + milli), None);
    assert_eq!(lives.of(Tier::Valid, total + milli), Some(lives.lease), "only T2 is counted");
}

#[test]
fn tiers_are_ordered_and_numbered() {
    assert!(Tier::Temporary < Tier::Provisional && Tier::Provisional < Tier::Valid);
    for number in 0..=u8::MAX {
        match Tier::try_from(number) {
            Ok(tier) => assert_eq!(u8::from(tier), number),
            Err(_) => assert!(!(1..=3).contains(&number)),
        }
    }
}

#[test]
fn a_tier_has_a_name() {
    let tiers = [Tier::Temporary, Tier::Provisional, Tier::Valid];
    assert_eq!(tiers.map(Tier::as_str), ["temporary", "provisional", "valid"]);
    assert_eq!(tiers.map(|tier| tier.to_string()), ["temporary", "provisional", "valid"]);
}
