//! What a restart keeps: API tokens and revocations, and no lease.

use super::*;
use crate::Error;
use crate::issue::saved::FORMAT;

/// Another boot: the machine's clock began anew.
fn rebooted(milliseconds: u64) -> Now {
    let now = after(milliseconds);
    Now { boot: BootInstant::from_nanos(1_000_000_000) + now.boot.since(after(0).boot), ..now }
}

fn through_json(saved: &Saved) -> Saved {
    let json = serde_json::to_string(saved).expect("JSON");
    serde_json::from_str(&json).expect("our own")
}

#[test]
fn api_tokens_and_revocations_survive_and_leases_do_not() {
    let mut issuer = Issuer::default();
    let kept = issue(&mut issuer, StoreState::Holding, 0);
    let revoked = issue(&mut issuer, StoreState::Holding, 0).id;
    let compact = Request { form: Form::Compact, ..request() };
    let lease = issuer.issue(&caller(), &compact, &view(StoreState::Holding), after(0)).expect("a token").id;
    let ended = issue(&mut issuer, StoreState::Healthy, 0).id;
    assert_eq!(issuer.revoke(revoked, after(1)), 1);

    let saved = through_json(&issuer.export(after(3000)));
    let mut next = Issuer::default();
    assert_eq!(next.import(saved.clone(), rebooted(10_000)), Ok(2));
    assert_eq!(
        next.status(kept.id, Epoch(7), rebooted(10_000)),
        issuer.status(kept.id, Epoch(7), after(10_000))
    );
    let status = next.status(revoked, Epoch(7), rebooted(10_000)).expect("a known token");
    assert_eq!(status.reason, Some(Refusal::Revoked));
    for id in [lease, ended] {
        assert_eq!(next.status(id, Epoch(7), rebooted(10_000)), None);
    }
    let export = next.export(rebooted(10_000));
    assert_eq!(export.tokens, saved.tokens);

    // A revocation has to be known up to its end, and not from then on.
    let end = kept.expires_at.after(SKEW);
    let known = |wall: u64| {
        let mut next = Issuer::default();
        next.import(saved.clone(), Now { wall: UnixMillis(wall), ..rebooted(31_000) })
            .expect("our own format");
        next.revocations().iter().count()
    };
    assert_eq!((known(end.0 - 1), known(end.0)), (1, 0));

    let mut too_late = Issuer::default();
    assert_eq!(too_late.import(saved, rebooted(31_000)), Ok(0));
    assert_eq!(too_late.revocations().iter().count(), 0);
}

/// A restart raises the epoch (PROTOCOL 5.5): the old right is over, and its lineage goes on.
#[test]
fn a_token_of_before_the_restart_goes_on_in_the_new_epoch() {
    let mut issuer = Issuer::default();
    let before = issue(&mut issuer, StoreState::Holding, 0).id;
    let mut next = Issuer::default();
    assert_eq!(next.import(through_json(&issuer.export(after(0))), rebooted(1000)), Ok(1));
    let until = rebooted(60_000).boot;
    let now = StoreView {
        epoch: Epoch(8),
        leadership: Some(Leadership { generation: 4, until }),
        ..view(StoreState::Healthy)
    };
    let answer = next.refresh(before, &caller(), None, &now, rebooted(1000));
    assert_eq!(answer, Err(Denied::Moved { new_epoch: Epoch(8), endpoint: now.primary.clone() }));
    let token = next.refresh(before, &caller(), Some(Epoch(8)), &now, rebooted(1000)).expect("it was told");
    assert_eq!((token.tier, token.epoch, token.generation), (Tier::Valid, Epoch(8), 4));
    assert_eq!(next.revoke(before, rebooted(1000)), 2, "one lineage");
}

#[test]
fn a_clock_that_was_set_back_makes_no_saved_token_older_than_it_can_get() {
    let mut issuer = Issuer::default();
    let token = issue(&mut issuer, StoreState::Holding, 0).id;
    let mut next = Issuer::default();
    let set_back = Now { wall: UnixMillis(START.0 - 3_600_000), ..rebooted(0) };
    assert_eq!(next.import(issuer.export(after(0)), set_back), Ok(1));
    let status = next.status(token, Epoch(7), set_back).expect("a known token");
    assert_eq!(status.expires_in, Duration::from_secs(30));
}

#[test]
fn what_a_newer_build_saved_and_what_can_not_be_is_not_taken_in() {
    let mut issuer = Issuer::default();
    issue(&mut issuer, StoreState::Holding, 0);
    let saved = issuer.export(after(0));
    let newer = Saved { format: FORMAT + 1, ..saved.clone() };
    let mut next = Issuer::default();
    assert_eq!(next.import(newer, rebooted(0)), Err(Error::Newer { found: 2, known: 1 }));

    let mut wrong = saved.clone();
    wrong.tokens[0].claims.access = Access::ALL;
    assert_eq!(next.import(wrong, rebooted(0)), Ok(0), "a T1 that writes");
    let mut wrong = saved.clone();
    (wrong.tokens[0].claims.access, wrong.tokens[0].origin.ceiling) = (Access::ALL, Access::ALL);
    assert_eq!(next.import(wrong, rebooted(0)), Ok(0), "promised or not");
    let mut wrong = saved.clone();
    wrong.tokens[0].origin.ceiling = Access::QUEUE;
    assert_eq!(next.import(wrong, rebooted(0)), Ok(0), "it gave more than it was promised");
    assert_eq!(next.import(saved.clone(), rebooted(0)), Ok(1));
    assert_eq!(next.import(saved, rebooted(0)), Ok(0), "once is enough");
    assert_eq!(next.list(None, &StoreId::from("orders"), Epoch(7), rebooted(0)).len(), 1);
}

#[test]
fn each_token_and_each_revocation_can_be_kept_by_itself() {
    let mut issuer = Issuer::default();
    let (kept, revoked) =
        (issue(&mut issuer, StoreState::Holding, 0), issue(&mut issuer, StoreState::Holding, 0).id);
    let compact = Request { form: Form::Compact, ..request() };
    let lease = issuer.issue(&caller(), &compact, &view(StoreState::Holding), after(0)).expect("a token").id;
    assert_eq!(issuer.export_token(lease), None);
    assert_eq!(issuer.export_revocation(revoked), None);
    assert_eq!(issuer.family(revoked), [(revoked, kept.expires_at)]);
    assert_eq!(issuer.revoke(revoked, after(1)), 1);
    let (revocation, until) = issuer.export_revocation(revoked).expect("it was taken back");
    assert_eq!(until, kept.expires_at.after(SKEW));

    let mut next = Issuer::default();
    let rows = [issuer.export_token(kept.id), issuer.export_token(revoked), Some(revocation)];
    for row in rows.into_iter().map(|row| through_json(&row.expect("a row"))) {
        next.import(row, rebooted(10_000)).expect("our own format");
    }
    assert_eq!(next.export(rebooted(10_000)).tokens, issuer.export(after(10_000)).tokens);
    assert!(next.revocations().contains(revoked, rebooted(10_000).wall));
}

#[test]
fn a_token_that_was_never_handed_out_leaves_nothing_behind() {
    let mut issuer = Issuer::default();
    let id = issue(&mut issuer, StoreState::Holding, 0).id;
    issuer.withdraw(id);
    issuer.withdraw(id);
    assert_eq!(issuer.status(id, Epoch(7), after(0)), None);
    assert_eq!(issuer.export(after(0)), Issuer::default().export(after(0)));
}
