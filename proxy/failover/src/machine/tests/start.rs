//! Who is primary at the start, and when that can't be told.

use foretoken_types::{Authority, Persistence, Position, Writers};

use super::sim::redis::{Command, Entry, Life, Server};
use super::sim::sidecar::DiskFault;
use super::*;
use crate::{Cause, Event, Record};

#[test]
fn a_healthy_store_is_served_in_epoch_1_with_its_marker_written() {
    let mut sim = world();
    sim.start(0);
    assert!(sim.run_until(MS * 100, is_healthy), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy));
    assert_eq!(trace(&sim), ["save epoch 1 of a", "a: mark 1", "publish healthy a 1"]);
    assert_eq!(sim.cluster.server("b").marker(), Some(Epoch(1)), "the marker is in the stream");
}

/// What the disk holds after `epoch` with `primary`, before anything of this run.
fn record(epoch: u64, primary: &str) -> Record {
    Record {
        epoch: Epoch(epoch),
        primary: primary.into(),
        previous: None,
        history: "a-1".to_owned(),
        descends: None,
        position: Position(0),
        cause: Cause::Found,
        owned: true,
        intent: None,
    }
}

fn knows(sim: &mut Sim, record: Record) {
    sim.sidecars[0].disk.record = Some(record);
}

fn kill(sim: &mut Sim, id: &str) {
    sim.cluster.server(id).life = Life::Killed;
}

fn only_mirrors(sim: &mut Sim) {
    sim.cluster.server("a").of = Some("b".into());
}

/// A primary with data that nobody else has.
fn stranger(sim: &mut Sim, id: &str) {
    let server: &mut Server = sim.cluster.server(id);
    (server.of, server.history) = (None, format!("{id}-elsewhere"));
    server.apply(Entry::Write(1_000_000));
}

fn marked(sim: &mut Sim, id: &str, epoch: u64) {
    sim.cluster.server(id).apply(Entry::Marker(Epoch(epoch)));
}

/// The role has moved to `id` while nobody looked.
fn promoted(sim: &mut Sim, id: &str) {
    for other in ["a", "b", "c"] {
        if other != id {
            sim.command(other, &Command::Demote(id.into()));
        }
    }
    sim.command(id, &Command::Promote);
}

/// What is found, and who is primary then, in which epoch; or the reason why nobody is.
type Row = (&'static str, Given, Result<(&'static str, u64), &'static str>);

const ROWS: &[Row] = &[
    ("nothing is known, and the configuration is right", |_| {}, Ok(("a", 1))),
    ("the registry is right", |sim| knows(sim, record(3, "a")), Ok(("a", 4))),
    ("the disk is lost, a marker is there", |sim| marked(sim, "a", 5), Ok(("a", 6))),
    (
        "the disk is lost after a failover",
        |sim| {
            promoted(sim, "b");
            marked(sim, "b", 2);
        },
        Ok(("b", 3)),
    ),
    (
        "the disk is lost, the store was managed, and one server does not answer",
        |sim| {
            marked(sim, "a", 5);
            sim.run_for(MS);
            sim.cluster.replicate(sim.now);
            kill(sim, "c");
        },
        Err("every endpoint must answer"),
    ),
    (
        "the disk is lost and two primaries carry the newest marker",
        |sim| {
            stranger(sim, "b");
            marked(sim, "a", 5);
            marked(sim, "b", 5);
        },
        Err("several primaries carry the marker of epoch 5"),
    ),
    (
        "the disk is lost and only a mirror carries the newest marker",
        |sim| {
            stranger(sim, "b");
            marked(sim, "b", 5);
            sim.cluster.server("b").of = Some("c".into());
            sim.cluster.server("b").stalled = true;
        },
        Err("no endpoint that carries the marker of epoch 5 is a primary"),
    ),
    (
        "two primaries with data and without markers",
        |sim| {
            sim.write("a");
            stranger(sim, "b");
        },
        Err("a and b are primaries and nothing tells whose data counts: correct `role` or --primary"),
    ),
    (
        "the configured primary is empty and another one has data",
        |sim| stranger(sim, "b"),
        Err("b has keys and a, the declared primary, has none: are the roles swapped?"),
    ),
    (
        "the configured primary is a mirror, and of two primaries one has data",
        |sim| {
            promoted(sim, "b");
            stranger(sim, "c");
        },
        Err("b and c are primaries and nothing tells whose data counts: only c has keys"),
    ),
    ("a second primary that is empty", |sim| sim.cluster.server("b").of = None, Ok(("a", 1))),
    ("another one than the configured one", |sim| promoted(sim, "b"), Ok(("b", 1))),
    (
        "another one than the configured one, and one does not answer",
        |sim| {
            promoted(sim, "b");
            kill(sim, "c");
        },
        Err("b is a primary but not the configured one, and not every endpoint answers"),
    ),
    ("the configured one, and one does not answer", |sim| kill(sim, "c"), Ok(("a", 1))),
    ("mirrors of each other", only_mirrors, Err("no endpoint that answers is a primary")),
    (
        "the registry is older than the stores",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
            marked(sim, "b", 4);
        },
        Ok(("b", 5)),
    ),
    (
        "the registry is older than the stores, and one does not answer",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
            marked(sim, "b", 4);
            kill(sim, "c");
        },
        Err("b carries a newer epoch than the registry"),
    ),
    (
        "the registry is older than the stores, and the one that it names is dead",
        |sim| {
            knows(sim, record(3, "a"));
            promoted(sim, "b");
            marked(sim, "b", 4);
            kill(sim, "a");
        },
        Err("b carries a newer epoch than the registry, and not every endpoint answers"),
    ),
    (
        "the same, and somebody has claimed the newer one, who may be gone",
        |sim| {
            knows(sim, record(3, "a"));
            promoted(sim, "b");
            marked(sim, "b", 4);
            sim.command("b", &Command::Claim("other".into(), MS * 60_000));
            kill(sim, "a");
        },
        Err("b carries a newer epoch than the registry, and not every endpoint answers"),
    ),
    (
        "two primaries of an epoch that the registry does not know",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
            marked(sim, "a", 5);
            marked(sim, "b", 5);
        },
        Err("a and b are both primaries, and b carries a newer epoch than the registry"),
    ),
    (
        "two primaries of the epoch that the registry knows",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
            marked(sim, "a", 3);
            marked(sim, "b", 3);
        },
        Ok(("a", 4)),
    ),
    (
        "the registry is older than the stores, the one that it names is a mirror, and one does not answer",
        |sim| {
            knows(sim, record(3, "a"));
            promoted(sim, "b");
            marked(sim, "b", 4);
            sim.run_for(MS);
            sim.cluster.replicate(sim.now);
            kill(sim, "c");
        },
        Err("another sidecar was in charge after this one, or instead of it"),
    ),
    (
        "two newer ones than the registry knows",
        |sim| {
            knows(sim, record(3, "a"));
            for id in ["b", "c"] {
                stranger(sim, id);
                marked(sim, id, 4);
            }
        },
        Err("several other endpoints are primaries with newer epochs"),
    ),
    (
        "a foreign primary without a marker does not count",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
        },
        Ok(("a", 4)),
    ),
    (
        "the role was moved by hand",
        |sim| {
            knows(sim, record(3, "a"));
            promoted(sim, "b");
        },
        Ok(("b", 4)),
    ),
    (
        "the registered one copies a stranger and waits for it",
        |sim| {
            knows(sim, record(3, "a"));
            stranger(sim, "b");
            only_mirrors(sim);
            sim.cluster.server("a").stalled = true;
        },
        Err("a is a mirror now, and nothing proves that b continues its data"),
    ),
    (
        "nobody is primary",
        |sim| {
            knows(sim, record(3, "a"));
            only_mirrors(sim);
        },
        Ok(("a", 4)),
    ),
    (
        "nobody is primary and others may write",
        |sim| {
            sim.sidecars[0].params.writers = Writers::Others;
            knows(sim, record(3, "a"));
            only_mirrors(sim);
        },
        Err("a is a mirror now, and no endpoint is a primary; no automatic failover: others may write"),
    ),
    (
        "several took over",
        |sim| {
            knows(sim, record(3, "a"));
            only_mirrors(sim);
            sim.cluster.server("b").of = None;
            sim.cluster.server("c").of = None;
        },
        Err("a is a mirror now, and several endpoints are primaries"),
    ),
    (
        "the registry names somebody who is no longer configured",
        |sim| knows(sim, record(3, "z")),
        Ok(("a", 4)),
    ),
    (
        "the registry names somebody who is no longer configured, with other data",
        |sim| knows(sim, Record { history: "elsewhere".to_owned(), ..record(3, "z") }),
        Err("the registry names z as the primary, which is not configured any more"),
    ),
    (
        "the registered one is dead",
        |sim| {
            knows(sim, record(3, "a"));
            kill(sim, "a");
        },
        Ok(("b", 4)),
    ),
    (
        "the registered one is dead and others may write",
        |sim| {
            sim.sidecars[0].params.writers = Writers::Others;
            knows(sim, record(3, "a"));
            kill(sim, "a");
        },
        Err("no automatic failover: others may write to the store"),
    ),
    (
        "the registered one is dead, and so is the store's other half",
        |sim| {
            knows(sim, record(3, "a"));
            for id in ["a", "b", "c"] {
                kill(sim, id);
            }
        },
        Err("no mirror is eligible (b does not answer, c does not answer)"),
    ),
    (
        "the registered one is dead and the mirrors hold other data",
        |sim| {
            knows(sim, Record { history: "elsewhere".to_owned(), ..record(3, "a") });
            kill(sim, "a");
        },
        Err("waits for a full one"),
    ),
    (
        "the registered one is dead and another one took over by hand",
        |sim| {
            knows(sim, record(3, "a"));
            promoted(sim, "b");
            kill(sim, "a");
        },
        Ok(("b", 4)),
    ),
    (
        "the registered one is dead, and the one before it has come back from a freeze",
        |sim| {
            promoted(sim, "b");
            sim.write("b");
            let a = sim.cluster.server("a");
            (a.of, a.history, a.previous) = (None, "a-1".to_owned(), None);
            sim.cluster.server("c").life = Life::Killed;
            kill(sim, "b");
            let history = sim.cluster.server("b").history.clone();
            let descends = Some("a-1".to_owned());
            knows(sim, Record { history, descends, previous: Some("a".into()), ..record(3, "b") });
        },
        Err("no mirror is eligible (a is a primary itself, c does not answer)"),
    ),
    (
        "the registered one hangs",
        |sim| {
            knows(sim, record(3, "a"));
            sim.cluster.server("a").life = Life::Frozen;
        },
        Ok(("b", 4)),
    ),
];

#[test]
fn the_primary_is_found_or_the_reason_is_told() {
    for (name, given, expected) in ROWS {
        let mut sim = world();
        given(&mut sim);
        // Nobody has been told its parameters yet.
        sim.start(0);
        sim.run_for(MS * 6000);
        match expected {
            Ok((primary, epoch)) => {
                let (found, in_epoch, state, is_served) = standing(&sim);
                let found = (found.as_str(), in_epoch, is_served);
                assert_eq!(found, (*primary, *epoch, true), "{name}: {state} {}", reason(&sim));
                let disk = sim.sidecars[0].disk.record.as_ref();
                let disk = disk.map(|record| (record.primary.as_str(), record.epoch));
                assert_eq!(disk, Some((*primary, Epoch(*epoch))), "{name}: the epoch is on the disk");
            }
            Err(why) => {
                assert!(!sim.serves(0), "{name}: {:?}", standing(&sim));
                assert!(reason(&sim).contains(why), "{name}: {}", reason(&sim));
                let roles = trace(&sim).into_iter().filter(|line| line.contains("mote"));
                assert_eq!(roles.collect::<Vec<_>>(), Vec::<String>::new(), "{name}: no role is touched");
            }
        }
    }
}

#[test]
fn nothing_is_decided_before_the_registry_was_read() {
    let mut sim = world();
    let mut machine = crate::Machine::new(sim.params("one"));
    let at = |ms: u64| foretoken_types::BootInstant::from_nanos(ms * 1_000_000);
    for ms in 1..100 {
        for (index, id) in ["a", "b", "c"].into_iter().enumerate() {
            let found = Ok(Box::new(sim.cluster.observe(index, sim.now)));
            let seen = Event::Observed { endpoint: id.into(), asked: at(ms), probed: false, found };
            assert_eq!(machine.step(seen, at(ms)), []);
        }
        sim.run_for(MS);
    }
    assert_eq!(machine.reason(), Some("starting: the registry was not read yet"));
}

#[test]
fn what_must_not_be_managed_is_followed() {
    type Row = (&'static str, Given, &'static str);
    let rows: [Row; 6] = [
        ("by order", |sim| sim.sidecars[0].params.follow = Some("manage = \"follow\"".into()), "manage"),
        (
            "sentinel",
            |sim| sim.cluster.server("b").managed_by = Some("sentinel".into()),
            "b is managed by sentinel",
        ),
        (
            "a blocker",
            |sim| sim.cluster.server("a").blocker = Some("permission: no REPLICAOF".into()),
            "a: permission: no REPLICAOF",
        ),
        (
            "no persistence",
            |sim| sim.cluster.server("a").persistence = Persistence::None,
            "a keeps nothing over a restart",
        ),
        (
            "another owner",
            |sim| {
                sim.command("a", &Command::Claim("other".into(), MS * 60_000));
            },
            "sidecar other holds the owner record",
        ),
        (
            "an owner record that can't be written",
            |sim| {
                let claim = |order: &Order| matches!(order, Order::Claim { .. });
                sim.spoil("a", claim, super::sim::Spoil::Refuse, u32::MAX);
            },
            "the owner record can't be written: ERR not now",
        ),
    ];
    for (name, given, why) in rows {
        let mut sim = world();
        given(&mut sim);
        sim.start(0);
        assert!(sim.run_until(MS * 4000, is_healthy), "{name}: it is served all the same: {}", reason(&sim));
        sim.run_for(MS * 4000);
        assert!(is_healthy(&sim), "{name}");
        let authority = sim.sidecars[0].machine.authority().clone();
        assert!(
            matches!(&authority, Authority::Follower(told) if told.contains(why)),
            "{name}: {authority:?}"
        );
        switchover(&mut sim, "b");
        assert_eq!(report(&sim).outcome, Outcome::Refused, "{name}");
        sim.kill("a");
        sim.run_for(MS * 6000);
        let roles: Vec<_> = trace(&sim).into_iter().filter(|line| line.contains("mote")).collect();
        assert_eq!(roles, Vec::<String>::new(), "{name}: who follows changes no role");
        assert!(!sim.serves(0), "{name}");
        assert!(
            reason(&sim).contains("no automatic failover: this sidecar is not in charge"),
            "{name}: {}",
            reason(&sim)
        );
    }
}

#[test]
fn a_follower_registers_and_becomes_owner_when_the_owner_is_gone() {
    let mut sim = world();
    sim.command("a", &Command::Claim("other".into(), MS * 5000));
    sim.start(0);
    sim.run_for(MS * 1000);
    assert!(trace(&sim).contains(&"a: register".to_owned()), "{:?}", trace(&sim));
    let found = sim.cluster.observe(0, sim.now);
    assert_eq!(found.followers, 1);
    assert!(
        !trace(&sim).iter().any(|line| line.contains("mark")),
        "the marker is the owner's: {:?}",
        trace(&sim)
    );
    forget(&mut sim);
    sim.run_for(MS * 8000);
    assert_eq!(*sim.sidecars[0].machine.authority(), Authority::Owner);
    assert_eq!(
        trace(&sim),
        [
            "a: register",
            "save epoch 1 of a",
            "publish healthy a 1",
            "a: mark 1",
            "publish healthy a 1, hold all",
            "publish unavailable a 1, no lease",
            "save epoch 2 of a",
            "a: mark 2",
            "publish healthy a 2"
        ],
        "it begins an epoch of its own, which tells whoever was in charge before"
    );
}

/// What a sidecar knows that has followed another one in front of "a", which has marked epoch 1.
fn has_followed(sim: &mut Sim) {
    sim.command("a", &Command::Mark(Epoch(1)));
    knows(sim, Record { owned: false, ..record(4, "a") });
}

#[test]
fn who_was_not_in_charge_last_serves_only_when_no_newer_primary_can_be_hidden() {
    let rows: [(&str, Given, bool); 5] = [
        (
            "in charge last",
            |sim| {
                sim.command("a", &Command::Mark(Epoch(4)));
                knows(sim, record(4, "a"));
                kill(sim, "c");
            },
            true,
        ),
        (
            "somebody has marked a newer epoch",
            |sim| {
                sim.command("a", &Command::Mark(Epoch(5)));
                knows(sim, record(4, "a"));
                kill(sim, "c");
            },
            false,
        ),
        (
            "followed",
            |sim| {
                has_followed(sim);
                kill(sim, "c");
            },
            false,
        ),
        ("followed, and everybody answers", has_followed, true),
        (
            "followed, and the owner claimed once more before it went",
            |sim| {
                has_followed(sim);
                sim.command("a", &Command::Claim("other".into(), MS * 10_000));
                kill(sim, "c");
            },
            false,
        ),
    ];
    for (name, given, served) in rows {
        let mut sim = world();
        given(&mut sim);
        sim.start(0);
        assert_eq!(sim.run_until(MS * 20_000, |sim| sim.serves(0)), served, "{name}: {}", reason(&sim));
        assert!(served || reason(&sim).contains("every endpoint must answer"), "{name}: {}", reason(&sim));
        kill(&mut sim, "b");
        sim.restart("c");
        assert!(served || !sim.run_until(MS * 2000, |sim| sim.serves(0)), "{name}: c is back, b is gone");
        sim.restart("b");
        assert!(sim.run_until(MS * 4000, |sim| sim.serves(0)), "{name}: all are back: {}", reason(&sim));
    }
}

#[test]
fn a_follower_serves_beside_a_silent_endpoint_once_the_owner_has_renewed_its_record() {
    let rows: [(&str, Given, &str); 2] = [
        (
            "the primary that it knows",
            |sim| {
                has_followed(sim);
                kill(sim, "c");
            },
            "a",
        ),
        (
            "a newer one",
            |sim| {
                knows(sim, record(3, "a"));
                promoted(sim, "b");
                marked(sim, "b", 4);
                kill(sim, "a");
            },
            "b",
        ),
    ];
    for (name, given, primary) in rows {
        let mut sim = world();
        given(&mut sim);
        sim.start(0);
        let mut served_after = None;
        for second in 0..16 {
            sim.command(primary, &Command::Claim("other".into(), MS * 10_000));
            sim.run_for(MS * 1000);
            if sim.serves(0) {
                served_after = served_after.or(Some(second));
            }
        }
        // The life of a record, and the time in which the owner comes to know of the follower.
        assert!(matches!(served_after, Some(11..=13)), "{name}: {served_after:?}: {}", reason(&sim));
        assert!(matches!(sim.sidecars[0].machine.authority(), Authority::Follower(_)), "{name}");
        assert_eq!(standing(&sim).0, primary, "{name}");
    }
}

#[test]
fn who_was_not_in_charge_last_promotes_nobody() {
    let mut sim = world();
    has_followed(&mut sim);
    kill(&mut sim, "a");
    sim.start(0);
    sim.run_for(MS * 20_000);
    assert_eq!(trace(&sim).iter().filter(|line| line.contains("mote")).count(), 0, "{:?}", trace(&sim));
    assert!(reason(&sim).contains("another sidecar was in charge"), "{}", reason(&sim));
}

#[test]
fn of_two_primaries_the_marker_tells_the_newer_one_whatever_a_follower_has_counted() {
    let mut sim = world();
    has_followed(&mut sim);
    sim.command("c", &Command::Promote);
    sim.command("c", &Command::Mark(Epoch(2)));
    sim.start(0);
    assert!(sim.run_until(MS * 4000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim).0, "c");
}

#[test]
fn a_registry_that_cant_be_written_keeps_the_store_closed_until_it_can() {
    for fault in [DiskFault::Full, DiskFault::Lies] {
        let mut sim = world();
        sim.sidecars[0].disk.fault = fault;
        sim.start(0);
        sim.run_for(MS * 3000);
        assert!(!sim.serves(0), "{fault:?}");
        assert!(reason(&sim).starts_with("the registry "), "{fault:?}: {}", reason(&sim));
        sim.sidecars[0].disk.fault = DiskFault::None;
        assert!(sim.run_until(MS * 1000, is_healthy), "{fault:?}: {}", reason(&sim));
        let disk = sim.sidecars[0].disk.record.as_ref().map(|record| record.epoch);
        assert_eq!(disk, Some(sim.sidecars[0].machine.posture().epoch), "{fault:?}");
    }
}

#[test]
fn a_restart_raises_the_epoch_and_keeps_what_the_loss_is_measured_from() {
    let mut sim = serving();
    sim.kill("a");
    sim.run_for(MS * 5000);
    let before = sim.sidecars[0].disk.record.clone().expect("it was saved");
    assert_eq!((before.epoch, before.cause), (Epoch(2), Cause::Failover));
    sim.crash(0);
    sim.start(0);
    sim.run_for(MS * 3000);
    let after = sim.sidecars[0].disk.record.clone().expect("it was saved");
    assert_eq!(after, Record { epoch: Epoch(3), ..before });
    assert_eq!(standing(&sim), serves("b", 3, StoreState::FailedOver));
}

#[test]
fn who_waits_until_it_is_known_sleeps_meanwhile() {
    let mut sim = world();
    sim.command("a", &Command::Claim("other".into(), MS * 60_000));
    sim.start(0);
    assert!(sim.run_until(MS * 1000, |sim| trace(sim).iter().any(|line| line == "a: register")));
    sim.run_for(MS * 100);
    let machine = &sim.sidecars[0].machine;
    assert_eq!(machine.phase(), "take");
    let idle = sim.sidecars[0].local(sim.now).until(machine.next_deadline().expect("it waits for something"));
    assert!(idle > MS * 1500, "{idle:?}");
}
