//! Each promise and each refusal, from looks that are written down.

use std::time::Duration;

use foretoken_types::{Epoch, Persistence, Position};

use super::*;

fn observation(role: Role) -> Observation {
    Observation {
        writable: role == Role::Primary,
        role,
        run_id: "r".into(),
        history: "h".into(),
        previous_history: None,
        position: Position(1000),
        refuses_writes: None,
        loading: false,
        persistence: Persistence::Log,
        replicas: 0,
        marker: None,
        owner: None,
        keys: 0,
        followers: 0,
        managed_by: None,
    }
}

fn look(name: &str, role: Role) -> Look {
    let good = |what| Finding { severity: Severity::Good, what, detail: "fine".into() };
    let findings = vec![good("permissions"), good("persistence")];
    let preflight = Preflight { server: "redis 7.0.15".into(), version: vec![7, 0, 15], findings };
    let endpoint =
        Named { name: name.into(), address: format!("{name}.example:6379"), region: Some("north".into()) };
    Look { endpoint, found: Ok(Found { preflight, observation: observation(role) }) }
}

fn mirror(of: &str) -> Role {
    Role::Mirror { of: Some(of.into()), link: Link::Up { silent_for: Duration::ZERO } }
}

fn found(look: &mut Look) -> &mut Found {
    look.found.as_mut().unwrap()
}

fn judged(writers: Writers, looks: Vec<Look>) -> StoreCheck {
    judge(Declared { store: "cart".into(), writers, follows: false }, looks)
}

fn answers(check: &StoreCheck) -> Vec<(&'static str, Answer)> {
    check.promises.iter().map(|promise| (promise.what, promise.answer)).collect()
}

fn because<'a>(check: &'a StoreCheck, what: &str) -> &'a str {
    &check.promises.iter().find(|promise| promise.what == what).unwrap().because
}

#[test]
fn a_sole_writer_with_a_mirror_gets_every_promise_that_asynchronous_mirroring_allows() {
    let mut b = look("b", mirror("a"));
    found(&mut b).observation.position = Position(958);
    let check = judged(Writers::ThisSidecar, vec![look("a", Role::Primary), b]);
    assert!(check.is_manageable(), "{check}");
    assert_eq!(check.primary, Some("a".into()));
    assert_eq!(
        answers(&check),
        [
            ("planned switchover", Answer::Yes),
            ("automatic failover", Answer::Yes),
            ("no loss in a crash", Answer::Partly),
            ("one primary at a time", Answer::Yes),
        ]
    );
    assert!(because(&check, "no loss in a crash").contains("42 bytes behind"), "{check}");
}

#[test]
fn where_others_write_too_no_failover_is_automatic() {
    let check = judged(Writers::Others, vec![look("a", Role::Primary), look("b", mirror("a"))]);
    assert!(check.is_manageable());
    assert_eq!(
        answers(&check)[..2],
        [("planned switchover", Answer::Yes), ("automatic failover", Answer::No)]
    );
    assert!(because(&check, "automatic failover").contains("this-sidecar"), "{check}");
}

#[test]
fn a_registered_follower_rules_out_an_automatic_failover() {
    let mut a = look("a", Role::Primary);
    found(&mut a).observation.followers = 1;
    let check = judged(Writers::ThisSidecar, vec![a, look("b", mirror("a"))]);
    assert_eq!(answers(&check)[1], ("automatic failover", Answer::No));
}

#[test]
fn a_mirror_that_could_not_take_over_is_named_with_its_reason() {
    let mut old = look("b", mirror("a"));
    found(&mut old).preflight.version = vec![6, 2, 7];
    let mut loading = look("b", mirror("a"));
    found(&mut loading).observation.loading = true;
    let linked = |link| look("b", Role::Mirror { of: Some("a".into()), link });
    for (b, reason) in [
        (look("b", mirror("c")), "b copies c and not a, and is empty"),
        (look("b", Role::Mirror { of: None, link: Link::Down }), "b copies a server that is not configured"),
        (linked(Link::Synchronizing), "b is receiving its first copy"),
        (linked(Link::Down), "b has no link to a"),
        (loading, "b is loading"),
        (old, "b is older than the primary"),
    ] {
        let check = judged(Writers::ThisSidecar, vec![look("a", Role::Primary), b]);
        assert_eq!(answers(&check)[0], ("planned switchover", Answer::No), "{reason}");
        assert!(because(&check, "planned switchover").contains(reason), "{check}");
        assert_eq!(
            answers(&check)[1..3],
            [("automatic failover", Answer::No), ("no loss in a crash", Answer::No)]
        );
    }
    let alone = judged(Writers::ThisSidecar, vec![look("a", Role::Primary)]);
    assert_eq!(because(&alone, "planned switchover"), "no mirror is configured");
}

#[test]
fn what_becomes_of_a_server_that_copies_nobody_depends_on_what_it_holds() {
    let told = |change: fn(&mut Observation)| {
        let mut b = look("b", Role::Primary);
        found(&mut b).observation.history = "other".into();
        change(&mut found(&mut b).observation);
        let mut a = look("a", Role::Primary);
        // The marker is a key.
        (found(&mut a).observation.marker, found(&mut a).observation.keys) = (Some(Epoch(3)), 1);
        let check = judged(Writers::ThisSidecar, vec![a, b]);
        assert_eq!(answers(&check)[0].1, Answer::No, "{check}");
        assert!(
            check.to_string().contains("can be managed, but its primary role could not be moved now"),
            "{check}"
        );
        because(&check, "planned switchover").to_owned()
    };
    let attached = "the sidecar makes it a mirror as soon as it runs";
    assert!(told(|_| {}).contains(&format!("is empty: {attached}")));
    let kept = "has 7 key(s) of its own, which are not overwritten";
    assert!(told(|b| b.keys = 7).contains(kept));
    let copy = format!("has a copy of these data: {attached}");
    assert!(told(|b| (b.keys, b.history) = (7, "h".into())).contains(&copy));
    assert!(told(|b| (b.keys, b.previous_history) = (7, Some(("h".into(), Position(9))))).contains(&copy));
}

#[test]
fn a_sidecar_that_is_to_follow_promises_no_move() {
    let declared = Declared { store: "cart".into(), writers: Writers::Others, follows: true };
    let check = judge(declared, vec![look("a", Role::Primary), look("b", mirror("a"))]);
    assert!(because(&check, "planned switchover").contains("manage = \"follow\""), "{check}");
    assert_eq!(
        answers(&check)[..2],
        [("planned switchover", Answer::No), ("automatic failover", Answer::No)]
    );
}

#[test]
fn while_a_server_is_not_seen_nobody_is_told_to_promote_another() {
    let mut a = look("a", Role::Primary);
    a.found = Err(Refused::new(Failure::Refused, "connection refused"));
    let check = judged(Writers::ThisSidecar, vec![a, look("b", mirror("a"))]);
    assert_eq!(check.blockers[1], "the primary is not known: it may be a");
    assert!(check.to_string().contains("nothing, as long as no primary is known"), "{check}");
    assert!(!check.to_string().contains("REPLICAOF"), "{check}");
    let check = judged(Writers::ThisSidecar, vec![look("a", mirror("b")), look("b", mirror("a"))]);
    assert!(check.blockers[0].contains("REPLICAOF NO ONE"), "{check}");
}

#[test]
fn what_blocks_one_endpoint_blocks_the_store() {
    let mut a = look("a", Role::Primary);
    let finding = Finding { severity: Severity::Blocker, what: "persistence", detail: "none".into() };
    found(&mut a).preflight.findings.push(finding);
    let check = judged(Writers::ThisSidecar, vec![a, look("b", mirror("a"))]);
    assert_eq!(check.blockers, ["a: persistence: none"]);
    assert_eq!(answers(&check)[0], ("planned switchover", Answer::No));

    let mut b = look("b", mirror("a"));
    b.found = Err(Refused::new(Failure::Refused, "connection refused"));
    let check = judged(Writers::ThisSidecar, vec![look("a", Role::Primary), b]);
    assert!(check.blockers[0].contains("nobody listens there"), "{check}");

    let mut b = look("b", mirror("a"));
    found(&mut b).observation.managed_by = Some("a provider".into());
    let check = judged(Writers::ThisSidecar, vec![look("a", Role::Primary), b]);
    assert_eq!(check.blockers, ["b is managed by a provider: it is followed, not managed"]);
    assert!(
        because(&check, "planned switchover").contains("a provider moves the primary role here"),
        "{check}"
    );
    assert_eq!(
        answers(&check),
        [
            ("planned switchover", Answer::No),
            ("automatic failover", Answer::No),
            ("no loss in a crash", Answer::No),
            ("one primary at a time", Answer::Partly),
        ]
    );
}

#[test]
fn the_primary_is_the_one_of_the_greatest_epoch() {
    let at = |name, epoch: Option<u64>| {
        let mut look = look(name, Role::Primary);
        found(&mut look).observation.marker = epoch.map(Epoch);
        look
    };
    let check = judged(Writers::Others, vec![at("a", None), at("b", Some(3))]);
    assert_eq!((check.primary.clone(), check.blockers.len()), (Some("b".into()), 0));
    let check = judged(Writers::Others, vec![at("a", None), at("b", None)]);
    assert_eq!((check.primary.clone(), check.blockers.len()), (Some("a".into()), 0));
    let check = judged(Writers::Others, vec![at("a", Some(2)), at("b", Some(3))]);
    assert_eq!((check.primary.clone(), check.blockers.len()), (Some("b".into()), 0), "{check}");
    let check = judged(Writers::Others, vec![at("a", Some(3)), at("b", Some(3))]);
    assert_eq!(check.primary, None);
    assert!(check.blockers[0].starts_with("several primaries carry the marker of epoch 3"), "{check}");
    let mut b = look("b", mirror("a"));
    found(&mut b).observation.marker = Some(Epoch(3));
    let check = judged(Writers::Others, vec![look("a", Role::Primary), b]);
    assert!(check.blockers[0].starts_with("no endpoint that carries the marker of epoch 3"), "{check}");
    let check = judged(Writers::Others, vec![look("a", mirror("b")), look("b", mirror("a"))]);
    assert_eq!((check.primary.clone(), check.blockers.len(), check.promises.len()), (None, 1, 0));
}

#[test]
fn of_several_primaries_with_data_none_is_chosen_and_the_only_one_with_data_is_never_to_be_emptied() {
    let with = |name, keys| {
        let mut look = look(name, Role::Primary);
        found(&mut look).observation.keys = keys;
        look
    };
    for (looks, words, may_empty) in [
        (vec![with("a", 3), with("b", 7)], "or empty them (FLUSHALL) (a has 3 key(s), b has 7 key(s))", true),
        (
            vec![with("a", 0), with("b", 7)],
            "b has keys and a, the declared primary, has none: are the roles swapped? correct `role` or --primary",
            false,
        ),
        (vec![look("a", mirror("b")), with("b", 7), with("c", 0)], "only b has keys: correct `role`", false),
    ] {
        let check = judged(Writers::Others, looks);
        assert_eq!(
            (check.primary.clone(), check.blockers.len(), check.promises.len()),
            (None, 1, 0),
            "{check}"
        );
        assert!(check.blockers[0].contains("primaries and nothing tells whose data counts"), "{check}");
        assert!(check.blockers[0].contains(words), "{words} in {check}");
        assert_eq!(check.to_string().contains("FLUSHALL"), may_empty, "{check}");
    }
    let check = judged(Writers::Others, vec![with("a", 3), with("b", 0)]);
    assert_eq!((check.primary.clone(), check.blockers.len()), (Some("a".into()), 0), "{check}");

    // The only primary, though it has nothing: it is served, and beside it stands all the data there is.
    let mut b = look("b", Role::Mirror { of: None, link: Link::Down });
    (found(&mut b).observation.keys, found(&mut b).observation.history) = (7, "other".into());
    let check = judged(Writers::Others, vec![with("a", 0), b]);
    assert!(check.is_manageable(), "{check}");
    assert!(because(&check, "planned switchover").contains("has 7 key(s) while a has none: see that each"));
    assert!(!check.to_string().contains("FLUSHALL"), "{check}");
}

#[test]
fn the_text_shows_endpoints_and_promises() {
    let mut c = look("c", mirror("a"));
    c.found = Err(Refused::new(Failure::Timeout, "no answer within 1s"));
    let mut a = look("a", Role::Primary);
    found(&mut a).observation.replicas = 1;
    let check = judged(Writers::Others, vec![a, look("b", mirror("a")), c]);
    let text = check.to_string();
    for line in [
        "store cart (writers = \"others\")",
        "  a  a.example:6379  in north  redis 7.0.15",
        "    ok    as they should be        permissions, persistence",
        "    -     now                      primary, takes writes; keeps an append-only file; 0 key(s), 1 replica(s) attached",
        "    -     now                      mirror of a, link up; keeps an append-only file; 0 key(s), 0 replica(s) attached",
        "    FAIL  connect                  no answer within 1s; see that it is up, not busy with one long command, and that no \
         firewall is between",
        "    no    planned switchover       the store is not ready to be managed, see below",
        "  this store is not ready to be managed:",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn too_many_open_files_here_are_not_blamed_on_the_address() {
    let refused = Refused::new(Failure::OpenFiles, "connect to a:6379: Too many open files (os error 24)");
    let told = trouble(&refused);
    assert!(told.contains("Too many open files") && told.contains("LimitNOFILE="), "{told}");
    assert!(!told.contains("address"), "{told}");
}
