use std::time::Duration;

use foretoken_types::StoreState;
use proptest::prelude::*;

use super::*;
use crate::testing::START;
use crate::{BadClaims, Fingerprint, Grant, Refusal, SKEW, ServiceId, UnixMillis};

mod bounds;
mod restart;

/// Boot and wall clock go on together, from a boot an hour ago.
pub(super) fn after(milliseconds: u64) -> Now {
    let life = Duration::from_millis(milliseconds);
    Now { boot: BootInstant::from_nanos(3_600_000_000_000) + life, wall: START.after(life) }
}

pub(super) fn view(state: StoreState) -> StoreView {
    StoreView {
        store: StoreId::from("orders"),
        situation: Situation { state, validated: false },
        epoch: Epoch(7),
        primary: Some(EndpointId::from("redis-a")),
        leadership: Some(Leadership { generation: 3, until: after(600_000).boot }),
    }
}

pub(super) fn caller() -> Caller {
    let grant = Grant { store: StoreId::from("orders"), block: block("order:"), access: Access::ALL };
    Caller {
        service: ServiceId::from("checkout"),
        grants: vec![grant],
        holder: Some(Fingerprint::of(b"certificate")),
    }
}

pub(super) fn request() -> Request {
    let access = Access::READ | Access::WRITE | Access::QUEUE;
    Request { block: block("order:"), access, form: Form::Paseto }
}

fn block(text: &str) -> Block {
    text.parse().expect("a block")
}

pub(super) fn issue(issuer: &mut Issuer, state: StoreState, at: u64) -> Arc<Claims> {
    issuer.issue(&caller(), &request(), &view(state), after(at)).expect("a token")
}

fn refresh(issuer: &mut Issuer, id: TokenId, view: &StoreView, at: u64) -> Result<Arc<Claims>, Denied> {
    issuer.refresh(id, &caller(), None, view, after(at))
}

fn reason(issuer: &Issuer, id: TokenId, epoch: u64, at: u64) -> Option<Refusal> {
    issuer.status(id, Epoch(epoch), after(at)).expect("a known token").reason
}

/// PROTOCOL 3.2, each row: state, what the token says, how long it lives.
#[test]
fn each_state_gives_a_token_of_its_tier_bound_as_the_table_says() {
    use StoreState::*;
    let read_queue = Access::READ | Access::QUEUE;
    let read_write = Access::READ | Access::WRITE;
    let rows = [
        (Healthy, Tier::Valid, request().access, Some("redis-a"), 2000),
        (AtRisk, Tier::Valid, request().access, Some("redis-a"), 2000),
        (Recovering, Tier::Valid, request().access, Some("redis-a"), 2000),
        (FailedOver, Tier::Provisional, read_write, Some("redis-a"), 2000),
        (Holding, Tier::Temporary, read_queue, None, 30_000),
        (Flipping, Tier::Temporary, read_queue, None, 30_000),
        (Unavailable, Tier::Temporary, read_queue, None, 30_000),
        (FailingOver, Tier::Temporary, read_queue, None, 30_000),
    ];
    for (state, tier, access, endpoint, life) in rows {
        let claims = issue(&mut Issuer::default(), state, 0);
        let expected = Claims {
            id: claims.id,
            service: ServiceId::from("checkout"),
            store: StoreId::from("orders"),
            block: block("order:"),
            endpoint: endpoint.map(EndpointId::from),
            tier,
            access,
            epoch: Epoch(7),
            generation: 3,
            issued_at: START,
            not_before: START,
            expires_at: UnixMillis(START.0 + life),
            holder: caller().holder,
        };
        assert_eq!(*claims, expected, "{state}");
        assert_eq!(claims.check(), Ok(()), "{state}");
    }
    let validated =
        StoreView { situation: Situation { state: FailedOver, validated: true }, ..view(FailedOver) };
    let claims = Issuer::default().issue(&caller(), &request(), &validated, after(0)).expect("a token");
    assert_eq!(claims.tier, Tier::Valid);
}

/// PROTOCOL 3.4, rule 1.
#[test]
fn nothing_is_given_without_leadership_or_from_its_deadline_on() {
    let mut issuer = Issuer::default();
    let id = issue(&mut issuer, StoreState::Healthy, 0).id;
    let until = after(1000).boot;
    let led = StoreView { leadership: Some(Leadership { generation: 3, until }), ..view(StoreState::AtRisk) };
    let mut ask = |view: &StoreView, now: Now| {
        [
            issuer.issue(&caller(), &request(), view, now).err(),
            issuer.issue_predictive(&caller(), &request(), view, now).err(),
            issuer.refresh(id, &caller(), None, view, now).err(),
        ]
    };
    let before = Now { boot: until - Duration::from_nanos(1), ..after(999) };
    assert_eq!(ask(&led, before), [None, None, None]);
    let not_leader = || [const { Some(Denied::NotLeader) }; 3];
    assert_eq!(ask(&led, after(1000)), not_leader());
    assert_eq!(ask(&StoreView { leadership: None, ..led }, after(0)), not_leader());
}

#[test]
fn a_caller_gets_only_what_the_configuration_gives_it() {
    let healthy = view(StoreState::Healthy);
    let narrow =
        Caller { grants: vec![Grant { access: Access::READ, ..caller().grants[0].clone() }], ..caller() };
    let denied = |caller: &Caller, request: &Request| {
        let mut issuer = Issuer::default();
        let answers = [
            issuer.issue(caller, request, &healthy, after(0)).err(),
            issuer.issue_predictive(caller, request, &view(StoreState::AtRisk), after(0)).err(),
        ];
        assert_eq!(issuer.list(None, &healthy.store, Epoch(7), after(0)), [], "nothing was given");
        answers
    };
    let not = |missing| [Some(Denied::NotPermitted { missing }), Some(Denied::NotPermitted { missing })];
    assert_eq!(denied(&narrow, &request()), not(Access::WRITE | Access::QUEUE));
    let wide = Request { block: Block::ALL, ..request() };
    assert_eq!(denied(&caller(), &wide), not(request().access));
    let elsewhere = Caller {
        grants: vec![Grant { store: StoreId::from("users"), ..caller().grants[0].clone() }],
        ..caller()
    };
    assert_eq!(denied(&elsewhere, &request()), not(request().access));

    let nameless = Caller { service: ServiceId::from(""), ..caller() };
    let answer = Issuer::default().issue(&nameless, &request(), &healthy, after(0));
    assert_eq!(answer, Err(Denied::Claims(BadClaims::Name("service"))));
    let nobody = Caller { holder: None, ..caller() };
    let compact = Request { form: Form::Compact, ..request() };
    let answer = Issuer::default().issue(&nobody, &compact, &healthy, after(0));
    assert_eq!(answer, Err(Denied::NoHolder));
    assert!(Issuer::default().issue(&nobody, &request(), &healthy, after(0)).is_ok());
}

#[test]
fn a_tier_that_gives_nothing_of_what_was_asked_for_is_not_given() {
    let writes = Request { access: Access::WRITE, ..request() };
    let answer = Issuer::default().issue(&caller(), &writes, &view(StoreState::Holding), after(0));
    assert_eq!(answer, Err(Denied::NothingNow { tier: Tier::Temporary }), "no queue was asked for");
    let headless = StoreView { primary: None, ..view(StoreState::Healthy) };
    assert_eq!(Issuer::default().issue(&caller(), &request(), &headless, after(0)), Err(Denied::NoPrimary));
    let down = StoreView { primary: None, ..view(StoreState::Unavailable) };
    assert!(Issuer::default().issue(&caller(), &request(), &down, after(0)).is_ok(), "a T1 needs none");
}

/// `PredictiveTokenRequest`: null while HEALTHY.
#[test]
fn a_t1_can_be_had_in_advance_or_when_it_is_all_that_is_left() {
    use StoreState::*;
    let rows = [
        (Healthy, false),
        (AtRisk, true),
        (Holding, true),
        (Flipping, true),
        (Unavailable, true),
        (FailingOver, true),
        (FailedOver, false),
        (Recovering, false),
    ];
    for (state, given) in rows {
        let answer = Issuer::default().issue_predictive(&caller(), &request(), &view(state), after(0));
        let tier = answer.expect("no reason against it").map(|claims| claims.tier);
        assert_eq!(tier, given.then_some(Tier::Temporary), "{state}");
    }
}

/// The T1 lies beside the T3 and changes nothing until that ends; then it is still there, with nobody to ask.
#[test]
fn a_t1_in_advance_leaves_the_t3_alone_and_outlives_it() {
    let (mut issuer, mut without) = (Issuer::default(), Issuer::default());
    let at_risk = view(StoreState::AtRisk);
    let t3 = issue(&mut issuer, StoreState::AtRisk, 0).id;
    let t3_alone = issue(&mut without, StoreState::AtRisk, 0).id;
    let t1 =
        issuer.issue_predictive(&caller(), &request(), &at_risk, after(10)).expect("allowed").expect("a T1");
    assert_eq!((t1.tier, t1.epoch), (Tier::Temporary, Epoch(7)));

    for at in [10, 1999, 2000] {
        let strip = |status: Option<Status>| status.map(|status| Status { id: t3, ..status });
        let [beside, alone] =
            [issuer.status(t3, Epoch(7), after(at)), without.status(t3_alone, Epoch(7), after(at))];
        assert_eq!(strip(beside), strip(alone), "at {at}");
    }
    let renewed = refresh(&mut issuer, t3, &at_risk, 600).expect("it is its turn");
    assert_eq!((renewed.tier, renewed.access), (Tier::Valid, request().access));
    let renewed_t1 = refresh(&mut issuer, t1.id, &at_risk, 600).expect("it is its turn");
    assert_eq!(renewed_t1.tier, Tier::Temporary, "no upgrade while the state is the same");

    // Orchestrator and primary are gone: no more refreshes.
    assert!(matches!(reason(&issuer, renewed.id, 7, 2600), Some(Refusal::Expired(_))));
    assert_eq!(reason(&issuer, renewed_t1.id, 7, 30_599), None);
    assert!(matches!(reason(&issuer, renewed_t1.id, 7, 30_600), Some(Refusal::Expired(_))));
}

/// PROTOCOL 3.4, rule 3, both ways.
#[test]
fn a_refresh_changes_the_tier_only_after_the_state_changed() {
    use StoreState::*;
    let mut issuer = Issuer::default();
    let at_risk = view(AtRisk);
    let t1 =
        issuer.issue_predictive(&caller(), &request(), &at_risk, after(0)).expect("allowed").expect("a T1");
    let mut id = t1.id;
    let rows = [
        (AtRisk, Tier::Temporary),
        (Holding, Tier::Temporary),
        (AtRisk, Tier::Valid),
        (AtRisk, Tier::Valid),
        (Holding, Tier::Temporary),
        (Flipping, Tier::Temporary),
        (Healthy, Tier::Valid),
        (Unavailable, Tier::Temporary),
        (Healthy, Tier::Valid),
    ];
    for (place, (state, tier)) in rows.into_iter().enumerate() {
        let next = refresh(&mut issuer, id, &view(state), 100 * place as u64).expect("it lives");
        assert_eq!(next.tier, tier, "row {place}, {state}");
        assert_eq!(next.access, request().access & tier.may(), "row {place}, {state}");
        assert_ne!(next.id, id);
        id = next.id;
    }
}

#[test]
fn a_refresh_never_gives_more_than_the_lineage_had() {
    let mut issuer = Issuer::default();
    let less = Request { access: Access::READ | Access::QUEUE, ..request() };
    let first = issuer.issue(&caller(), &less, &view(StoreState::Holding), after(0)).expect("a T1");
    let next = refresh(&mut issuer, first.id, &view(StoreState::Healthy), 1).expect("it lives");
    assert_eq!((next.tier, next.access), (Tier::Valid, less.access), "an upgrade, and no write");
    assert_eq!(next.block, first.block);

    // What the configuration takes away is gone, and does not come back to this lineage.
    let mut narrow = caller();
    narrow.grants[0].access = Access::READ;
    let healthy = view(StoreState::Healthy);
    let narrowed = issuer.refresh(next.id, &narrow, None, &healthy, after(2)).expect("something is left");
    assert_eq!(narrowed.access, Access::READ);
    let later = refresh(&mut issuer, narrowed.id, &healthy, 3).expect("it lives");
    assert_eq!(later.access, Access::READ);
    let nothing = Caller { grants: Vec::new(), ..caller() };
    let answer = issuer.refresh(later.id, &nothing, None, &healthy, after(4));
    assert_eq!(answer, Err(Denied::NotPermitted { missing: Access::READ }));
}

/// `409 EPOCH_MOVED`, then the upgrade into the new epoch.
#[test]
fn a_moved_epoch_is_told_before_a_token_of_it_is_given() {
    let mut issuer = Issuer::default();
    let t1 = issue(&mut issuer, StoreState::FailingOver, 0);
    let moved = StoreView {
        epoch: Epoch(8),
        primary: Some(EndpointId::from("redis-b")),
        ..view(StoreState::FailedOver)
    };
    let told = Denied::Moved { new_epoch: Epoch(8), endpoint: Some(EndpointId::from("redis-b")) };
    for accepted in [None, Some(Epoch(7)), Some(Epoch(9))] {
        let answer = issuer.refresh(t1.id, &caller(), accepted, &moved, after(100));
        assert_eq!(answer, Err(told.clone()), "{accepted:?}");
    }
    let old = Refusal::OldEpoch { token: Epoch(7), current: Epoch(8) };
    assert_eq!(reason(&issuer, t1.id, 8, 100), Some(old));

    let accepted = Some(Epoch(8));
    let t2 = issuer.refresh(t1.id, &caller(), accepted, &moved, after(100)).expect("it was told");
    assert_eq!(
        (t2.tier, t2.epoch, t2.endpoint.as_ref()),
        (Tier::Provisional, Epoch(8), moved.primary.as_ref())
    );
    let validated = StoreView { situation: Situation { validated: true, ..moved.situation }, ..moved };
    let t3 = refresh(&mut issuer, t2.id, &validated, 700).expect("it lives");
    assert_eq!((t3.tier, t3.epoch), (Tier::Valid, Epoch(8)));

    // A registry that went back does not make a token of the past.
    let answer = issuer.refresh(t3.id, &caller(), Some(Epoch(7)), &view(StoreState::Healthy), after(800));
    assert!(matches!(answer, Err(Denied::Moved { new_epoch: Epoch(7), .. })), "{answer:?}");
}

#[test]
fn provisional_tokens_end_a_minute_after_the_first_of_their_epoch() {
    let mut issuer = Issuer::default();
    let failed_over = view(StoreState::FailedOver);
    let mut id = issue(&mut issuer, StoreState::FailedOver, 0).id;
    for at in (1000..59_000).step_by(1000) {
        let next = refresh(&mut issuer, id, &failed_over, at).expect("the minute is not over");
        id = next.id;
    }
    let last = refresh(&mut issuer, id, &failed_over, 59_500).expect("half a second is left");
    assert_eq!(last.expires_at, after(60_000).wall, "cut to the end of the minute");
    assert_eq!(
        refresh(&mut issuer, last.id, &failed_over, 59_999).map(|claims| claims.expires_at),
        Ok(after(60_000).wall)
    );
    let over = |issuer: &mut Issuer, at| issuer.issue(&caller(), &request(), &failed_over, after(at)).err();
    assert_eq!(over(&mut issuer, 60_000), Some(Denied::ProvisionalOver), "also for a new lineage");
    let validated = StoreView {
        situation: Situation { validated: true, ..failed_over.situation },
        ..failed_over.clone()
    };
    assert!(issuer.issue(&caller(), &request(), &validated, after(60_000)).is_ok());
    let next_epoch = StoreView { epoch: Epoch(8), ..failed_over.clone() };
    assert!(issuer.issue(&caller(), &request(), &next_epoch, after(60_000)).is_ok(), "a minute of its own");
    let other_store = StoreView { store: StoreId::from("users"), ..failed_over };
    let grants = vec![Grant { store: StoreId::from("users"), ..caller().grants[0].clone() }];
    let there = Caller { grants, ..caller() };
    assert!(issuer.issue(&there, &request(), &other_store, after(60_000)).is_ok());
}

/// An id is never a credential: whoever reads it in a log can do nothing with it.
#[test]
fn a_token_is_refreshed_for_its_holder_only() {
    let mut issuer = Issuer::default();
    let token = issue(&mut issuer, StoreState::Healthy, 0);
    let healthy = view(StoreState::Healthy);
    let others = [
        Caller { service: ServiceId::from("billing"), ..caller() },
        Caller { holder: None, ..caller() },
        Caller { holder: Some(Fingerprint::of(b"another certificate")), ..caller() },
    ];
    for other in &others {
        let answer = issuer.refresh(token.id, other, None, &healthy, after(1));
        assert_eq!(answer, Err(Denied::Unknown), "{other:?}");
    }
    let users = StoreView { store: StoreId::from("users"), ..healthy.clone() };
    assert_eq!(refresh(&mut issuer, token.id, &users, 1), Err(Denied::Unknown));
    assert_eq!(refresh(&mut issuer, TokenId([0; 16]), &healthy, 1), Err(Denied::Unknown), "the same answer");
    assert!(refresh(&mut issuer, token.id, &healthy, 1).is_ok());

    let bearer = Caller { holder: None, ..caller() };
    let token = issuer.issue(&bearer, &request(), &healthy, after(1)).expect("a token");
    let next = refresh(&mut issuer, token.id, &healthy, 2).expect("the same service");
    assert_eq!(next.holder, None, "the holder does not change within a lineage");
}

#[test]
fn a_token_that_has_ended_is_not_refreshed() {
    let mut issuer = Issuer::default();
    let healthy = view(StoreState::Healthy);
    let token = issue(&mut issuer, StoreState::Healthy, 0);
    assert!(refresh(&mut issuer, token.id, &healthy, 1999).is_ok());
    assert_eq!(refresh(&mut issuer, token.id, &healthy, 2000), Err(Denied::Expired));
    // A wall clock that was set back gives it no second life.
    let set_back = Now { wall: START, ..after(2000) };
    assert_eq!(issuer.refresh(token.id, &caller(), None, &healthy, set_back), Err(Denied::Expired));
    let status = issuer.status(token.id, Epoch(7), set_back).expect("a known token");
    assert_eq!((status.valid(), status.expires_in), (false, Duration::ZERO));
}

#[test]
fn a_revoked_token_is_refused_with_all_that_came_of_it_and_comes_back_no_more() {
    let mut issuer = Issuer::default();
    let healthy = view(StoreState::Healthy);
    let first = issue(&mut issuer, StoreState::Healthy, 0).id;
    let second = refresh(&mut issuer, first, &healthy, 600).expect("it lives").id;
    let third = refresh(&mut issuer, second, &healthy, 1200).expect("it lives").id;
    let other = issue(&mut issuer, StoreState::Healthy, 1200).id;
    assert_eq!(issuer.revoke(second, after(1300)), 3);
    for id in [first, second, third] {
        assert_eq!(refresh(&mut issuer, id, &healthy, 1300), Err(Denied::Revoked));
        assert_eq!(reason(&issuer, id, 7, 1300), Some(Refusal::Revoked));
        assert!(issuer.status(id, Epoch(7), after(1300)).is_some_and(|status| status.revoked));
        assert!(issuer.revocations().contains(id, after(1300).wall), "verifiers know it");
    }
    assert_eq!(reason(&issuer, other, 7, 1300), None);
    assert!(refresh(&mut issuer, other, &healthy, 1300).is_ok());

    let unknown = TokenId([9; 16]);
    assert_eq!(issuer.revoke(unknown, after(1300)), 0);
    let end = after(1300 + 30_000).wall.after(SKEW);
    assert!(issuer.revocations().contains(unknown, UnixMillis(end.0 - 1)), "for as long as it can live");
}

#[test]
fn what_the_configuration_takes_away_ends_the_tokens_that_give_it_and_no_others() {
    let mut issuer = Issuer::default();
    let healthy = view(StoreState::Healthy);
    let writes = issue(&mut issuer, StoreState::Healthy, 0).id;
    let next = refresh(&mut issuer, writes, &healthy, 100).expect("it lives").id;
    let less = Request { access: Access::READ, ..request() };
    let reads = issuer.issue(&caller(), &less, &healthy, after(100)).expect("a token").id;
    assert_eq!(issuer.revoke_beyond(|_| Access::ALL, after(200)), []);
    let mut revoked = issuer.revoke_beyond(|_| Access::READ, after(200));
    revoked.sort();
    let mut expected = [writes, next];
    expected.sort();
    assert_eq!(revoked, expected, "the whole lineage");
    for id in expected {
        assert_eq!(reason(&issuer, id, 7, 200), Some(Refusal::Revoked));
        assert!(issuer.export_revocation(id).is_some(), "a restart has to know it");
    }
    assert_eq!(reason(&issuer, reads, 7, 200), None);
    assert_eq!(issuer.revoke_beyond(|_| Access::READ, after(300)), [], "once");
    assert_eq!(issuer.revoke_beyond(|_| Access::NONE, after(300)), [reads], "a service that is gone");
    // What has ended everywhere needs no revocation; in the skew it does.
    let short = issue(&mut issuer, StoreState::Healthy, 300).id;
    assert_eq!(issuer.revoke_beyond(|_| Access::NONE, after(2300 + 499)), [short]);
    issue(&mut issuer, StoreState::Healthy, 300);
    assert_eq!(issuer.revoke_beyond(|_| Access::NONE, after(2300 + 500)), []);
}

#[test]
fn a_status_tells_what_the_token_is_and_why_it_is_not_good() {
    let mut issuer = Issuer::default();
    let token = issue(&mut issuer, StoreState::Holding, 0);
    let status = issuer.status(token.id, Epoch(7), after(1000)).expect("a known token");
    let expected = Status {
        id: token.id,
        reason: None,
        tier: Tier::Temporary,
        access: Access::READ | Access::QUEUE,
        service: ServiceId::from("checkout"),
        store: StoreId::from("orders"),
        block: block("order:"),
        epoch: Epoch(7),
        current_epoch: Epoch(7),
        expires_in: Duration::from_secs(29),
        revoked: false,
    };
    assert_eq!(status, expected);
    assert!(status.valid());
    assert_eq!(issuer.form_of(token.id), Some(Form::Paseto));
    assert_eq!(issuer.store_of(token.id), Some(&StoreId::from("orders")));
    assert_eq!(issuer.status(TokenId([0; 16]), Epoch(7), after(0)), None);
    assert_eq!(reason(&issuer, token.id, 7, 29_999), None);
    assert_eq!(
        reason(&issuer, token.id, 7, 30_000),
        Some(Refusal::Expired(token.expires_at)),
        "no skew here"
    );
}

#[test]
fn a_list_holds_the_living_tokens_of_a_service_and_store_by_their_end() {
    let mut issuer = Issuer::default();
    let long = issue(&mut issuer, StoreState::Holding, 0).id;
    let short = issue(&mut issuer, StoreState::Healthy, 0).id;
    let billing = Caller { service: ServiceId::from("billing"), ..caller() };
    let theirs =
        issuer.issue(&billing, &request(), &view(StoreState::Healthy), after(1)).expect("a token").id;
    let (ours, orders) = (caller().service, StoreId::from("orders"));
    let ids = |service, store: &StoreId, at| {
        issuer
            .list(service, store, Epoch(7), after(at))
            .into_iter()
            .map(|status| status.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Some(&ours), &orders, 1), [short, long]);
    assert_eq!(ids(None, &orders, 1), [short, theirs, long]);
    assert_eq!(ids(None, &orders, 2000), [theirs, long]);
    assert_eq!(ids(None, &StoreId::from("users"), 1), []);
}

proptest! {
    /// Whatever happens in whatever order: a lineage never has more than was asked for, nor a token more than its tier.
    #[test]
    fn no_walk_widens_a_right(
        asked in 1..16_u8,
        steps in prop::collection::vec((0..8_usize, any::<bool>(), 0..2_u64, 0..700_u64), 1..40),
    ) {
        use StoreState::*;
        let states = [Healthy, AtRisk, Holding, Flipping, FailedOver, Unavailable, FailingOver, Recovering];
        let asked = Access::try_from(asked).expect("four rights");
        let request = Request { access: asked, ..request() };
        let (mut issuer, mut epoch, mut at) = (Issuer::default(), 7, 0);
        let mut held: Option<Arc<Claims>> = None;
        for (state, validated, moves, step) in steps {
            at += step;
            epoch += moves;
            let state = states[state];
            let situation = Situation { state, validated };
            let view = StoreView { situation, epoch: Epoch(epoch), ..view(state) };
            let answer = match &held {
                None => issuer.issue(&caller(), &request, &view, after(at)),
                Some(token) => issuer.refresh(token.id, &caller(), Some(Epoch(epoch)), &view, after(at)),
            };
            match answer {
                Ok(token) => {
                    prop_assert!(asked.contains(token.access) && token.tier.may().contains(token.access));
                    prop_assert_eq!(token.tier, situation.tier());
                    prop_assert_eq!(token.epoch, Epoch(epoch));
                    prop_assert_eq!(token.check(), Ok(()));
                    held = Some(token);
                }
                Err(Denied::NothingNow { .. }) => prop_assert!((asked & situation.tier().may()).is_empty()),
                Err(Denied::Expired) => held = None,
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}

#[test]
fn each_reason_against_a_token_has_a_name_of_its_own() {
    let bad = BadClaims::Times;
    let rows = [
        (Denied::NotLeader, "not_leader"),
        (Denied::NotPermitted { missing: Access::READ }, "not_permitted"),
        (Denied::NothingNow { tier: Tier::Temporary }, "nothing_now"),
        (Denied::NoPrimary, "no_primary"),
        (Denied::ProvisionalOver, "provisional_over"),
        (Denied::NoHolder, "no_holder"),
        (Denied::Unknown, "unknown"),
        (Denied::Expired, "expired"),
        (Denied::Revoked, "revoked"),
        (Denied::Moved { new_epoch: Epoch(8), endpoint: None }, "epoch_moved"),
        (Denied::Full { most: 1 }, "full"),
        (Denied::Claims(bad), "claims"),
        (Denied::Keys(crate::Error::Signing), "keys"),
    ];
    for (denied, name) in rows {
        assert_eq!(denied.as_str(), name);
    }
}
