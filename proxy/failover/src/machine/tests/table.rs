//! PROTOCOL 3.1, row by row: given a state, an event leads to another one, with these rights and these orders.
//!
//! Each row brings a store into its state, where it stays by itself, and lets one thing happen. `docs/failover.md` shows the
//! same rows, and is held to them.

use foretoken_types::{Durability, Posture, WriteConcern};

use super::sim::Spoil;
use super::*;

/// What the posture grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    hold: &'static str,
    acknowledged: &'static str,
    lease: bool,
    /// The T1 of PROTOCOL 3.2: stale reads, with nobody left to ask.
    temporary: bool,
}

const SERVED: Rights = Rights { hold: "nothing", acknowledged: "at once", lease: true, temporary: false };
const AT_RISK: Rights = Rights { acknowledged: "by a mirror", temporary: true, ..SERVED };
const HELD: Rights = Rights { hold: "writes", temporary: true, ..SERVED };
const LOST: Rights = Rights { hold: "everything", lease: false, temporary: true, ..SERVED };
const CLOSED: Rights = Rights { hold: "nothing", ..LOST };

struct Row {
    from: StoreState,
    event: &'static str,
    to: StoreState,
    /// A store in `from`.
    given: fn() -> Sim,
    happens: Given,
    /// Who is primary then, in which epoch. The store begins with `a` in epoch 1.
    primary: (&'static str, u64),
    rights: Rights,
    /// What was wanted on the way, in order.
    effects: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        from: StoreState::Unavailable,
        event: "who is primary is found out",
        to: StoreState::Healthy,
        given: unknown,
        happens: |sim| sim.thaw("a"),
        primary: ("a", 1),
        rights: SERVED,
        effects: &["save epoch 1 of a", "a: mark 1", "publish healthy a 1"],
    },
    Row {
        from: StoreState::Healthy,
        event: "risk >= θ_on",
        to: StoreState::AtRisk,
        given: healthy,
        happens: warn,
        primary: ("a", 1),
        rights: AT_RISK,
        effects: &["publish at_risk a 1"],
    },
    Row {
        from: StoreState::AtRisk,
        event: "risk < θ_off",
        to: StoreState::Healthy,
        given: at_risk,
        happens: |sim| sim.tell(0, crate::Event::Risk(None)),
        primary: ("a", 1),
        rights: SERVED,
        effects: &["publish healthy a 1"],
    },
    Row {
        from: StoreState::Healthy,
        event: "operator or risk >= θ_switch",
        to: StoreState::Holding,
        given: healthy,
        happens: |sim| switchover(sim, "b"),
        primary: ("a", 1),
        rights: HELD,
        effects: &["save epoch 1 of a, a to b", "publish holding a 1, hold writes"],
    },
    Row {
        from: StoreState::AtRisk,
        event: "operator or risk >= θ_switch",
        to: StoreState::Holding,
        given: at_risk,
        happens: |sim| switchover(sim, "b"),
        primary: ("a", 1),
        rights: Rights { acknowledged: "by a mirror", ..HELD },
        effects: &["save epoch 1 of a, a to b", "publish holding a 1, hold writes"],
    },
    Row {
        from: StoreState::FailedOver,
        event: "operator or risk >= θ_switch",
        to: StoreState::Holding,
        given: failed_over,
        happens: |sim| switchover(sim, "c"),
        primary: ("b", 2),
        rights: HELD,
        effects: &["save epoch 2 of b, b to c", "publish holding b 2, hold writes"],
    },
    Row {
        from: StoreState::Recovering,
        event: "operator or risk >= θ_switch",
        to: StoreState::Holding,
        given: recovering,
        happens: |sim| switchover(sim, "c"),
        primary: ("b", 2),
        rights: HELD,
        effects: &["save epoch 2 of b, b to c", "publish holding b 2, hold writes"],
    },
    Row {
        from: StoreState::Holding,
        event: "all held, drained, mirror equal",
        to: StoreState::Flipping,
        given: || holding(healthy()),
        happens: drain,
        primary: ("a", 1),
        rights: HELD,
        effects: &[
            "a: pause",
            "a: position",
            "b: position",
            "publish flipping a 1, hold writes",
            "a: demote to b",
        ],
    },
    Row {
        from: StoreState::Holding,
        event: "deadline or any check fails",
        to: StoreState::Healthy,
        given: || holding(healthy()),
        happens: |_| {},
        primary: ("a", 1),
        rights: SERVED,
        effects: &["report Switchover Aborted", "publish healthy a 1", "save epoch 1 of a"],
    },
    Row {
        from: StoreState::Holding,
        event: "deadline or any check fails",
        to: StoreState::Healthy,
        given: || holding(healthy()),
        happens: |sim| {
            sim.spoil("a", |order| matches!(order, Order::Position), Spoil::Refuse, 1);
            drain(sim);
        },
        primary: ("a", 1),
        rights: SERVED,
        effects: &[
            "a: pause",
            "a: position",
            "a: resume",
            "report Switchover Aborted",
            "publish healthy a 1",
            "save epoch 1 of a",
        ],
    },
    Row {
        from: StoreState::Holding,
        event: "deadline or any check fails",
        to: StoreState::AtRisk,
        given: || holding(at_risk()),
        happens: |_| {},
        primary: ("a", 1),
        rights: AT_RISK,
        effects: &["report Switchover Aborted", "publish at_risk a 1", "save epoch 1 of a"],
    },
    Row {
        from: StoreState::Flipping,
        event: "CAS",
        to: StoreState::FailedOver,
        given: || flipping(healthy()),
        happens: |sim| sim.cluster.server("b").writable = true,
        primary: ("b", 2),
        rights: SERVED,
        effects: &[
            "b: probe",
            "save epoch 2 of b",
            "b: mark 2",
            "publish failed_over b 2",
            "a: disconnect",
            "a: resume",
            "report Switchover Done",
            "publish recovering b 2",
            "c: demote to b",
        ],
    },
    Row {
        from: StoreState::Flipping,
        event: "rolled back",
        to: StoreState::Healthy,
        given: || flipping(healthy()),
        happens: |_| {},
        primary: ("a", 2),
        rights: SERVED,
        effects: &[
            "b: probe",
            "a: look",
            "b: probe",
            "a: resume",
            "a: promote",
            "a: look",
            "b: probe",
            "a: resume",
            "save epoch 2 of a",
            "a: mark 2",
            "publish healthy a 2",
            "report Switchover Aborted",
            "b: demote to a",
            "b: disconnect",
        ],
    },
    Row {
        from: StoreState::Flipping,
        event: "rolled back",
        to: StoreState::AtRisk,
        given: || flipping(at_risk()),
        happens: |_| {},
        primary: ("a", 2),
        rights: AT_RISK,
        effects: &[
            "b: probe",
            "a: look",
            "b: probe",
            "a: resume",
            "a: promote",
            "a: look",
            "b: probe",
            "a: resume",
            "save epoch 2 of a",
            "a: mark 2",
            "publish healthy a 2",
            "report Switchover Aborted",
            "b: demote to a",
            "b: disconnect",
            "publish at_risk a 2",
        ],
    },
    Row {
        from: StoreState::Healthy,
        event: "detector says down",
        to: StoreState::Unavailable,
        given: healthy,
        happens: |sim| sim.kill("a"),
        primary: ("a", 1),
        rights: LOST,
        effects: &["publish unavailable a 1, no lease, fence", "b: look", "c: look"],
    },
    Row {
        from: StoreState::AtRisk,
        event: "detector says down",
        to: StoreState::Unavailable,
        given: at_risk,
        happens: |sim| sim.kill("a"),
        primary: ("a", 1),
        rights: Rights { acknowledged: "by a mirror", ..LOST },
        effects: &["publish unavailable a 1, no lease, fence", "b: look", "c: look"],
    },
    Row {
        from: StoreState::FailedOver,
        event: "detector says down",
        to: StoreState::Unavailable,
        given: failed_over,
        happens: |sim| sim.kill("b"),
        primary: ("b", 2),
        rights: LOST,
        effects: &["publish unavailable b 2, no lease, fence", "a: look", "c: look"],
    },
    Row {
        from: StoreState::Recovering,
        event: "detector says down",
        to: StoreState::Unavailable,
        given: recovering,
        happens: |sim| sim.kill("b"),
        primary: ("b", 2),
        rights: LOST,
        effects: &["publish unavailable b 2, no lease, fence", "a: look", "c: look"],
    },
    Row {
        from: StoreState::Unavailable,
        event: "fence wait over & a mirror eligible",
        to: StoreState::FailingOver,
        given: || {
            let mut sim = healthy();
            // A data thread that says nothing: only the end of its lease tells.
            sim.sidecars[0].threads[1].stuck = true;
            sim.kill("a");
            lost(sim)
        },
        happens: |_| {},
        primary: ("a", 1),
        rights: LOST,
        effects: &["publish failing_over a 1, no lease, fence", "b: promote"],
    },
    Row {
        from: StoreState::Unavailable,
        event: "fence wait over & a mirror eligible",
        to: StoreState::FailingOver,
        given: || lost(without_mirrors(healthy())),
        happens: |sim| sim.thaw("b"),
        primary: ("a", 1),
        rights: LOST,
        effects: &[
            // It was lost with all of its mirrors: it has a moment to come back with them.
            "a: look",
            "publish failing_over a 1, no lease, fence",
            "a: fence to b",
            "a: disconnect",
            "a: resume",
        ],
    },
    Row {
        from: StoreState::FailingOver,
        event: "promoted, CAS",
        to: StoreState::FailedOver,
        given: failing_over,
        happens: |sim| sim.cluster.server("b").writable = true,
        primary: ("b", 2),
        rights: SERVED,
        effects: &[
            "b: probe",
            "save epoch 2 of b",
            "b: mark 2",
            "publish failed_over b 2",
            "loss a 2 at least 0, bounded in time: true",
            "report Failover Done",
            "c: demote to b",
        ],
    },
    Row {
        from: StoreState::FailingOver,
        event: "no promotion",
        to: StoreState::Unavailable,
        given: failing_over,
        happens: |_| {},
        primary: ("a", 1),
        // No hold any more: requests wait for a lease by themselves.
        rights: CLOSED,
        effects: &["b: probe", "publish unavailable a 1, no lease", "b: look", "c: look"],
    },
    Row {
        from: StoreState::FailedOver,
        event: "old node rejoined as mirror",
        to: StoreState::Recovering,
        given: failed_over,
        happens: return_behind,
        primary: ("b", 2),
        rights: SERVED,
        effects: &["a: demote to b", "a: disconnect", "publish recovering b 2"],
    },
    Row {
        from: StoreState::Recovering,
        event: "redundancy restored",
        to: StoreState::Healthy,
        given: recovering,
        happens: |sim| sim.cluster.server("a").stalled = false,
        primary: ("b", 2),
        rights: SERVED,
        effects: &["publish healthy b 2"],
    },
    Row {
        from: StoreState::Recovering,
        event: "old node gone again",
        to: StoreState::FailedOver,
        given: recovering,
        happens: |sim| sim.kill("a"),
        primary: ("b", 2),
        rights: SERVED,
        effects: &["publish failed_over b 2"],
    },
    Row {
        from: StoreState::Unavailable,
        event: "primary answers again with same run id and history before the CAS",
        to: StoreState::Healthy,
        given: || lost(without_mirrors(healthy())),
        happens: |sim| sim.thaw("a"),
        primary: ("a", 1),
        rights: SERVED,
        effects: &["report Failover Aborted", "publish healthy a 1"],
    },
    Row {
        from: StoreState::Unavailable,
        event: "primary answers again with same run id and history before the CAS",
        to: StoreState::AtRisk,
        given: || lost(without_mirrors(at_risk())),
        happens: |sim| sim.thaw("a"),
        primary: ("a", 1),
        rights: AT_RISK,
        effects: &["report Failover Aborted", "publish healthy a 1", "publish at_risk a 1"],
    },
    Row {
        from: StoreState::Unavailable,
        event: "primary answers again with same run id and history before the CAS",
        to: StoreState::FailedOver,
        given: || lost(without_mirrors(failed_over())),
        happens: |sim| sim.thaw("b"),
        primary: ("b", 2),
        rights: SERVED,
        effects: &["report Failover Aborted", "publish failed_over b 2"],
    },
];

/// A store with mirrors that may serve stale reads.
fn healthy() -> Sim {
    let mut sim = serving_with(|params| params.lag_bytes_max = 10);
    sim.sidecars[0].stale_reads = true;
    sim.run_for(MS * 500);
    sim
}

/// At its start, with a primary that hangs.
fn unknown() -> Sim {
    let mut sim = world();
    sim.freeze("a");
    sim.start(0);
    sim.run_for(MS * 300);
    sim
}

fn warn(sim: &mut Sim) {
    sim.tell(0, crate::Event::Risk(Some("memory of a runs out in 4 min".to_owned())));
}

fn at_risk() -> Sim {
    let mut sim = healthy();
    warn(&mut sim);
    sim
}

/// A planned switchover to `b` waits for a request that does not end.
fn holding(mut sim: Sim) -> Sim {
    sim.sidecars[0].threads[1].stuck = true;
    switchover(&mut sim, "b");
    reach(&mut sim, StoreState::Holding);
    sim
}

/// The request has ended.
fn drain(sim: &mut Sim) {
    sim.sidecars[0].threads[1].stuck = false;
    let hold = sim.sidecars[0].machine.posture().hold.expect("it holds");
    sim.tell(0, crate::Event::Held { operation: hold.operation, thread: 1, in_doubt: 0 });
}

/// A planned switchover to `b`, which takes no writes yet.
fn flipping(mut sim: Sim) -> Sim {
    sim.cluster.server("b").writable = false;
    switchover(&mut sim, "b");
    reach(&mut sim, StoreState::Flipping);
    sim
}

/// The mirrors answer no more, and neither does the primary.
fn without_mirrors(mut sim: Sim) -> Sim {
    for id in ["a", "b", "c"] {
        sim.freeze(id);
    }
    sim
}

fn lost(mut sim: Sim) -> Sim {
    reach(&mut sim, StoreState::Unavailable);
    sim
}

/// `b` is promoted, and takes no writes yet.
fn failing_over() -> Sim {
    let mut sim = healthy();
    sim.cluster.server("b").writable = false;
    sim.kill("a");
    reach(&mut sim, StoreState::FailingOver);
    sim
}

fn failed_over() -> Sim {
    let mut sim = healthy();
    sim.kill("a");
    reach(&mut sim, StoreState::FailedOver);
    sim.run_for(MS * 1000);
    sim
}

/// The old primary comes back and lacks more than a mirror may.
fn return_behind(sim: &mut Sim) {
    sim.restart("a");
    sim.cluster.server("a").stalled = true;
    for _ in 0..100 {
        sim.write("b");
    }
}

fn recovering() -> Sim {
    let mut sim = failed_over();
    return_behind(&mut sim);
    reach(&mut sim, StoreState::Recovering);
    sim
}

fn state(sim: &Sim) -> StoreState {
    sim.sidecars[0].machine.posture().state
}

fn reach(sim: &mut Sim, wanted: StoreState) {
    assert!(
        sim.run_until(MS * 8000, |sim| state(sim) == wanted),
        "{} instead of {wanted}: {:?}",
        state(sim),
        trace(sim)
    );
}

/// The first posture of `wanted`, which may be gone again in the same step.
fn arrive(sim: &mut Sim, wanted: StoreState) -> Posture {
    let arrived = |sim: &Sim| {
        let mut effects = sim.sidecars[0].effects.iter();
        effects.find_map(|(_, effect)| match effect {
            Effect::Publish(posture) if posture.state == wanted => Some(posture.clone()),
            _ => None,
        })
    };
    sim.run_until(MS * 8000, |sim| arrived(sim).is_some());
    arrived(sim).unwrap_or_else(|| panic!("{} instead of {wanted}: {:?}", state(sim), trace(sim)))
}

fn rights(sim: &Sim, posture: &Posture) -> Rights {
    let now = sim.sidecars[0].local(sim.now);
    Rights {
        hold: match posture.hold {
            None => "nothing",
            Some(hold) if hold.scope == HoldScope::Writes => "writes",
            Some(_) => "everything",
        },
        acknowledged: match posture.durability {
            Durability::Asynchronous => "at once",
            Durability::Synchronous => "by a mirror",
        },
        lease: posture.lease.is_some_and(|lease| lease.may_send(posture.epoch, now)),
        temporary: posture.admits_stale(now),
    }
}

fn epoch(sim: &Sim) -> Epoch {
    sim.sidecars[0].machine.posture().epoch
}

impl Row {
    fn name(&self) -> String {
        format!("{} --{}--> {}", self.from, self.event, self.to)
    }

    /// As `docs/failover.md` shows it. `before`: the epoch in which it begins.
    fn line(&self, before: Epoch) -> String {
        let Self { from, event, to, rights, .. } = self;
        let epoch = if self.primary.1 == before.0 { "the same" } else { "the next" };
        let word = |given| if given { "yes" } else { "no" };
        let (lease, temporary) = (word(rights.lease), word(rights.temporary));
        format!(
            "| {from} | {event} | {to} | {epoch} | {} | {} | {lease} | {temporary} |",
            rights.hold, rights.acknowledged
        )
    }
}

#[test]
fn every_row_of_the_table_of_states_is_as_it_is_documented() {
    let mut lines = Vec::new();
    for row in ROWS {
        let name = row.name();
        let mut sim = (row.given)();
        sim.run_for(MS * 100);
        assert_eq!(state(&sim), row.from, "{name}: it stays until something happens; {:?}", trace(&sim));
        let before = epoch(&sim);
        forget(&mut sim);
        (row.happens)(&mut sim);
        let posture = arrive(&mut sim, row.to);
        let primary = posture.primary.as_ref().map(|primary| primary.as_str());
        assert_eq!((primary, posture.epoch.0), (Some(row.primary.0), row.primary.1), "{name}");
        assert_eq!(rights(&sim, &posture), row.rights, "{name}");
        let mut wanted = trace(&sim);
        // As often as it takes.
        wanted.dedup();
        assert_eq!(wanted, row.effects, "{name}");
        lines.push(row.line(before));
    }
    lines.dedup();
    let documented = include_str!("../../../../../docs/failover.md");
    let table = documented.lines().skip_while(|line| !line.starts_with("| from | event | to |")).skip(2);
    let table: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(lines, table, "docs/failover.md shows\n{}\n", lines.join("\n"));
}

#[test]
fn a_posture_at_risk_is_renewed_before_its_stale_reads_end() {
    let mut sim = at_risk();
    for _ in 0..50 {
        sim.run_for(MS * 1000);
        let posture = sim.sidecars[0].machine.posture();
        let until = posture.temporary_until.expect("it is at risk");
        let left = sim.sidecars[0].local(sim.now).until(until);
        assert!(left > MS * 19_000 && left <= MS * 30_000, "{left:?}");
    }
}

#[test]
fn stale_reads_go_on_for_as_long_as_nobody_can_take_over_and_cost_nothing() {
    let mut sim = lost(without_mirrors(healthy()));
    sim.run_for(MS * 3000);
    forget(&mut sim);
    for _ in 0..60 {
        sim.run_for(MS * 1000);
        let until = sim.sidecars[0].machine.posture().temporary_until.expect("there are mirrors");
        let left = sim.sidecars[0].local(sim.now).until(until);
        assert!(left > MS * 19_000 && left <= MS * 30_000, "{left:?}");
    }
    let effects = sim.sidecars[0].effects.iter();
    let told = effects.filter(|(_, effect)| matches!(effect, Effect::Publish(_))).count();
    assert!((5..=7).contains(&told), "every ten seconds, and not at each look: {told}");
}

#[test]
fn a_suspected_primary_leaves_stale_reads_where_there_are_mirrors_for_them() {
    for stale_reads in [true, false] {
        let mut sim = healthy();
        sim.sidecars[0].stale_reads = stale_reads;
        sim.run_for(MS * 500);
        sim.freeze("a");
        assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.phase() == "suspected"));
        let posture = sim.sidecars[0].machine.posture();
        assert_eq!(posture.state, StoreState::Healthy, "it may pass");
        assert_eq!(rights(&sim, posture).temporary, stale_reads);
    }
}

#[test]
fn writes_wait_for_a_mirror_as_declared_as_foreseen_and_as_possible() {
    use WriteConcern::{Asynchronous, Synchronous, SynchronousStrict};
    // Declared, mirrors that keep up, at risk: acknowledged when.
    let rows = [
        (Asynchronous, true, false, Durability::Asynchronous),
        (Asynchronous, true, true, Durability::Synchronous),
        (Asynchronous, false, true, Durability::Asynchronous),
        (Synchronous, true, false, Durability::Synchronous),
        (Synchronous, false, false, Durability::Asynchronous),
        (Synchronous, false, true, Durability::Asynchronous),
        (SynchronousStrict, true, false, Durability::Synchronous),
        (SynchronousStrict, false, false, Durability::Synchronous),
    ];
    for (declared, mirrors, risk, durability) in rows {
        let mut sim = serving_with(|params| params.durability = declared);
        sim.sidecars[0].stale_reads = mirrors;
        sim.run_for(MS * 500);
        if risk {
            warn(&mut sim);
        }
        let found = sim.sidecars[0].machine.posture().durability;
        assert_eq!(found, durability, "{declared:?}, mirrors {mirrors}, risk {risk}");
        // And back, at the next look.
        sim.sidecars[0].stale_reads = !mirrors;
        sim.run_for(MS * 500);
        let other = rows.iter().find(|row| (row.0, row.1, row.2) == (declared, !mirrors, risk));
        if let Some((.., other)) = other {
            assert_eq!(
                sim.sidecars[0].machine.posture().durability,
                *other,
                "{declared:?}, then {}",
                !mirrors
            );
        }
    }
}

#[test]
fn nobody_is_promoted_while_a_mirror_is_silent_that_may_alone_have_what_was_acknowledged() {
    let silent = "b does not answer, and may have acknowledged writes that no other mirror has";
    let mut sim = serving_with(|params| params.durability = WriteConcern::Synchronous);
    sim.sidecars[0].stale_reads = true;
    sim.run_for(MS * 500);
    sim.freeze("b");
    sim.kill("a");
    sim.run_for(MS * 4000);
    assert!(reason(&sim).contains(silent), "{}", reason(&sim));
    assert_eq!(state(&sim), StoreState::Unavailable);
    // A process that has only just begun does not know which mirrors counted: each may.
    sim.crash(0);
    sim.start(0);
    sim.run_for(MS * 4000);
    assert!(reason(&sim).contains(silent), "{}", reason(&sim));
    sim.thaw("b");
    assert!(sim.run_until(MS * 5000, |sim| sim.serves(0)), "{}", reason(&sim));

    // What waits for no mirror is lost with the primary anyway: the other one is promoted.
    let mut sim = healthy();
    sim.freeze("b");
    sim.kill("a");
    sim.run_for(MS * 5000);
    assert_eq!(standing(&sim).0, "c");
}
