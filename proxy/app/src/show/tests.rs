//! The text, letter by letter: columns are what a reader notices first.

use foretoken_admin::model::{
    AuthorityStatus, ChangeKind, Check, HeldScope, HoldStatus, LinkState, RoleName, SwitchoverOutcome,
    SwitchoverStep,
};
use foretoken_types::{Epoch, StoreState};

use super::*;

fn cart() -> StoreStatus {
    let mut status = StoreStatus::unknown("cart".into());
    status.listen = vec!["127.0.0.1:7000".into()];
    status.state = StoreState::Healthy;
    status.epoch = Epoch(4);
    status.primary = Some("a".into());
    status.ready = true;
    status.automatic_failover = true;
    status.connections = 8;
    status.authority = AuthorityStatus { role: AuthorityRole::Owner, why: None, owner: None };
    let mut a = EndpointStatus::unknown("a".into(), "127.0.0.1:6379");
    a.region = Some("north".into());
    a.role = Some(RoleName::Primary);
    a.health = HealthState::Up;
    a.requests_per_second = Some(1234.4);
    a.latency_p99_us = Some(350);
    a.version = Some("redis 7.0.15".into());
    a.persistence = Some(Persistence::Log);
    let mut b = EndpointStatus::unknown("b".into(), "127.0.0.1:6380");
    b.role = Some(RoleName::Mirror);
    b.link = Some(LinkState::Up);
    b.health = HealthState::Up;
    b.lag_bytes = Some(42);
    b.lag_ms = Some(3);
    b.eligible_for_promotion = true;
    status.endpoints = vec![a, b];
    status
}

#[test]
fn a_healthy_store_is_a_few_aligned_lines() {
    let expected = "\
store cart
  state      healthy, epoch 4
  primary    a
  traffic    served on 127.0.0.1:7000, 8 client connection(s)
  in charge  this sidecar
  failover   automatic

  ENDPOINT  ADDRESS         REGION  ROLE             HEALTH  LAG         CAN TAKE OVER  RATE    P99     KEEPS  VERSION
  a         127.0.0.1:6379  north   primary          up      -           -              1234/s  350 us  log    redis 7.0.15
  b         127.0.0.1:6380  -       mirror, link up  up      42 B, 3 ms  yes            -       -       -      -
";
    assert_eq!(stores(&[cart()]), expected);
    assert_eq!(stores(&[cart(), cart()]), format!("{expected}\n{expected}"));
    assert_eq!(stores(&[]), "no store is configured\n");
}

#[test]
fn what_is_wrong_is_said_with_its_reason() {
    let mut status = cart();
    status.ready = false;
    status.automatic_failover = false;
    status.reason = Some("no mirror keeps up".into());
    status.authority.role = AuthorityRole::Follower;
    status.authority.owner = Some("ft-2".into());
    status.authority.why = Some("it holds the owner record".into());
    status.hold =
        Some(HoldStatus { scope: HeldScope::All, since_ms: 120, reason: "the primary is down".into() });
    let switchover = LastSwitchover {
        from: Some("b".into()),
        to: Some("a".into()),
        kind: ChangeKind::Switchover,
        hold_us: Some(2_900),
        outcome: SwitchoverOutcome::Done,
        detail: "a is the primary".into(),
        at_unix_ms: 1_709_164_800_000,
    };
    status.last_attempt = Some(LastSwitchover {
        from: Some("a".into()),
        to: None,
        kind: ChangeKind::Failover,
        outcome: SwitchoverOutcome::Aborted,
        detail: "the primary came back as it was".into(),
        ..switchover.clone()
    });
    status.last_switchover = Some(switchover);
    status.endpoints[0].health = HealthState::Down;
    status.endpoints[0].evidence = Some("refused\n\u{1b}[2Jtwice".into());
    status.endpoints[1].eligible_for_promotion = false;
    status.endpoints[1].why_not = Some("2 MB behind".into());
    status.warnings = vec!["the disk is full".into()];
    status.endpoints[0].warnings = vec!["refuses writes: OOM".into()];
    let text = stores(&[status]);
    for line in [
        "  traffic       NOT served on 127.0.0.1:7000: no mirror keeps up",
        "  in charge     sidecar ft-2; this one follows: it holds the owner record",
        "  failover      by hand only",
        "  hold          all for 120 ms: the primary is down",
        "  last change   switchover b -> a done, writes held 2.9 ms, 2024-02-29T00:00:00Z",
        "  last attempt  failover a -> - aborted, requests held 2.9 ms from when it was noticed, 2024-02-29T00:00:00Z: \
         the primary came back as it was",
        "  warning       the disk is full",
        "  a is down: refused  [2Jtwice",
        "  a needs help: refuses writes: OOM",
        "  b can't take over: 2 MB behind",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn who_follows_nobody_does_not_claim_that_somebody_is_in_charge() {
    let mut status = cart();
    status.authority.role = AuthorityRole::Follower;
    status.authority.owner = None;
    status.authority.why = Some("a keeps nothing over a restart".into());
    let text = stores(&[status]);
    let line = "\n  in charge  not this sidecar, which only follows: a keeps nothing over a restart\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn what_is_only_remembered_is_shown_as_old_and_what_can_not_be_looked_at_says_why() {
    let mut status = cart();
    let a = &mut status.endpoints[0];
    (a.role, a.was, a.health) = (None, Some(RoleName::Primary), HealthState::Unknown);
    a.evidence = Some("NOAUTH; see [store.control]".into());
    let text = stores(&[status]);
    for part in ["  was primary  ", "  unknown  ", "\n  a can't be looked at: NOAUTH; see [store.control]\n"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_store_that_serves_says_why_no_failover_would_come() {
    let mut status = cart();
    status.automatic_failover = false;
    status.reason = Some("others write too".into());
    let text = stores(&[status]);
    assert!(text.contains("\n  failover   by hand only: others write too\n"), "{text}");
}

#[test]
fn a_switchover_is_told_check_by_check_and_step_by_step() {
    let mut report = SwitchoverReport {
        store: "cart".into(),
        from: Some("a".into()),
        to: Some("b".into()),
        dry_run: false,
        outcome: SwitchoverOutcome::Done,
        checks: vec![
            Check { name: "lag".into(), passed: true, detail: "0 bytes".into() },
            Check { name: "version".into(), passed: false, detail: "older".into() },
        ],
        steps: vec![SwitchoverStep { name: "promote".into(), took_us: 512 }],
        hold_us: Some(2_900),
        epoch: Epoch(5),
        detail: "b is the primary".into(),
    };
    let expected = "\
switchover of store cart from a to b
  ok    lag      0 bytes
  FAIL  version  older
  step  promote  512 us
done, writes held 2.9 ms, epoch 5: b is the primary
";
    assert_eq!(switchover(&report), expected);
    report.dry_run = true;
    assert!(switchover(&report).starts_with("dry run of a switchover of store cart"));
    assert!(switchover(&report).contains("\npossible, "));
}

#[test]
fn figures_keep_to_a_few_digits() {
    for (us, text) in
        [(0, "0 us"), (999, "999 us"), (1_000, "1.0 ms"), (999_949, "999.9 ms"), (5_000_000, "5.0 s")]
    {
        assert_eq!(duration(us), text);
    }
    for (bytes, text) in
        [(0, "0 B"), (10_239, "10239 B"), (10_240, "10 KiB"), (10_485_760, "10 MiB"), (1 << 40, "1024 GiB")]
    {
        assert_eq!(size(bytes), text);
    }
    for (ms, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399_999, "2000-02-28T23:59:59Z"),
        (951_868_799_000, "2000-02-29T23:59:59Z"),
        (1_735_689_599_000, "2024-12-31T23:59:59Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(utc(ms), text);
    }
}
