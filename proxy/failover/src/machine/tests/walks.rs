//! Random walks: faults, lies, orders and crashes in any sequence.
//!
//! After every step the machine checks its own invariants (`debug_assert`), and the simulation that no epoch ever has two
//! primaries and none comes back. When the faults end, the store must be served again, or the reason must be one that only
//! an operator can end (`OPERATORS`). The walks are the same in every run; `FORETOKEN_WALKS=20000` walks so many others.

use std::cell::RefCell;
use std::collections::BTreeMap;

use foretoken_types::{Failure, InstanceId, Observation, Operation, Position, Role, Writers};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use super::sim::Spoil;
use super::sim::redis::{Command, Life};
use super::sim::sidecar::DiskFault;
use super::*;
use crate::{Answer, ChangeKind, Claimed, Event, Rejection, SaveFailure, Verdict};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Kill(usize),
    /// From its files, of which so many entries are missing.
    Restart(usize, usize),
    Freeze(usize),
    Thaw(usize),
    Stall(usize, bool),
    Write(usize, usize),
    Flush(usize),
    Unwritable(usize, bool),
    /// Somebody changes roles by hand.
    Promote(usize),
    Demote(usize, usize),
    Disk(DiskFault),
    /// The process is killed, and another one starts after so many milliseconds.
    Crash(u64),
    Pause(u64),
    Stuck(usize, bool),
    Switchover(Option<usize>, bool),
    Spoil(usize, usize, Spoil, u32),
    Owner(usize, u64),
    Follower(usize, u64),
    /// A look that shows what is not so.
    Lie(usize, Lie),
    Failure(usize, Failure),
    Verdict(usize, Verdict),
    /// Answers to orders that were never given, or long ago, or not yet carried out.
    Answer(u64, usize),
    Saved(u64, usize),
    Held(u64, usize),
}

/// What a look shows instead of the truth.
#[derive(Clone, Copy, Debug)]
enum Lie {
    OtherRole,
    OtherRun,
    OtherHistory,
    Loading,
    NoMarker,
    Position(u64),
    Marker(u64),
    Old(u64),
}

const IDS: [&str; 3] = ["a", "b", "c"];

const ORDERS: [fn(&Order) -> bool; 8] = [
    |order| matches!(order, Order::Observe { .. }),
    |order| matches!(order, Order::Position),
    |order| matches!(order, Order::PauseWrites { .. }),
    |order| matches!(order, Order::Demote { .. }),
    |order| matches!(order, Order::Promote),
    |order| matches!(order, Order::Fence { .. }),
    |order| matches!(order, Order::Claim { .. }),
    |order| matches!(order, Order::Mark(_)),
];

fn moves() -> impl Strategy<Value = Move> {
    let server = 0..3_usize;
    let failure = prop_oneof![
        Just(Failure::Refused),
        Just(Failure::Timeout),
        Just(Failure::NotServing),
        Just(Failure::Credentials)
    ];
    let verdict = prop_oneof![Just(Verdict::Up), Just(Verdict::Suspect), Just(Verdict::Down)];
    let spoil = prop_oneof![Just(Spoil::Refuse), Just(Spoil::Lose), Just(Spoil::LoseAnswer)];
    let disk = prop_oneof![Just(DiskFault::None), Just(DiskFault::Full), Just(DiskFault::Lies)];
    let lie = prop_oneof![
        Just(Lie::OtherRole),
        Just(Lie::OtherRun),
        Just(Lie::OtherHistory),
        Just(Lie::Loading),
        Just(Lie::NoMarker),
        (0..200_u64).prop_map(Lie::Position),
        (0..9_u64).prop_map(Lie::Marker),
        (0..3000_u64).prop_map(Lie::Old),
    ];
    prop_oneof![
        8 => (0..20_u64).prop_map(Move::Wait),
        14 => (0..4000_u64).prop_map(Move::Wait),
        3 => server.clone().prop_map(Move::Kill),
        3 => (server.clone(), prop_oneof![4 => Just(0), 1 => 0..50_usize]).prop_map(|(s, n)| Move::Restart(s, n)),
        3 => server.clone().prop_map(Move::Freeze),
        3 => server.clone().prop_map(Move::Thaw),
        2 => (server.clone(), any::<bool>()).prop_map(|(s, on)| Move::Stall(s, on)),
        3 => (server.clone(), 1..20_usize).prop_map(|(s, n)| Move::Write(s, n)),
        1 => server.clone().prop_map(Move::Flush),
        1 => (server.clone(), any::<bool>()).prop_map(|(s, on)| Move::Unwritable(s, on)),
        1 => server.clone().prop_map(Move::Promote),
        1 => (server.clone(), server.clone()).prop_map(|(s, of)| Move::Demote(s, of)),
        2 => disk.prop_map(Move::Disk),
        2 => (0..3000_u64).prop_map(Move::Crash),
        2 => (0..15_000_u64).prop_map(Move::Pause),
        1 => (0..2_usize, any::<bool>()).prop_map(|(t, on)| Move::Stuck(t, on)),
        6 => (proptest::option::of(server.clone()), prop_oneof![5 => Just(false), 1 => Just(true)])
            .prop_map(|(to, dry)| Move::Switchover(to, dry)),
        4 => (server.clone(), 0..ORDERS.len(), spoil, 1..4_u32)
            .prop_map(|(s, which, how, times)| Move::Spoil(s, which, how, times)),
        1 => (server.clone(), 0..12_000_u64).prop_map(|(s, ms)| Move::Owner(s, ms)),
        1 => (server.clone(), 0..12_000_u64).prop_map(|(s, ms)| Move::Follower(s, ms)),
        3 => (server.clone(), lie).prop_map(|(s, lie)| Move::Lie(s, lie)),
        2 => (server.clone(), failure).prop_map(|(s, failure)| Move::Failure(s, failure)),
        3 => (server, verdict).prop_map(|(s, verdict)| Move::Verdict(s, verdict)),
        2 => (0..60_u64, 0..8_usize).prop_map(|(operation, kind)| Move::Answer(operation, kind)),
        1 => (0..60_u64, 0..3_usize).prop_map(|(operation, kind)| Move::Saved(operation, kind)),
        1 => (0..60_u64, 0..3_usize).prop_map(|(operation, thread)| Move::Held(operation, thread)),
    ]
}

fn play(sim: &mut Sim, step: &Move) {
    match step {
        Move::Wait(ms) => sim.run_for(MS * u32::try_from(*ms).unwrap_or(0)),
        Move::Kill(server) => sim.kill(IDS[*server]),
        Move::Restart(server, missing) => {
            if sim.cluster.servers[*server].life == Life::Killed {
                let keep = sim.cluster.servers[*server].entries.len().saturating_sub(*missing);
                sim.cluster.restart(*server, keep);
            }
        }
        Move::Freeze(server) => sim.freeze(IDS[*server]),
        Move::Thaw(server) => sim.thaw(IDS[*server]),
        Move::Stall(server, on) => sim.cluster.servers[*server].stalled = *on,
        Move::Unwritable(server, on) => sim.cluster.servers[*server].writable = !on,
        Move::Write(server, count) => {
            for _ in 0..*count {
                alive(sim, *server, |sim, id| {
                    sim.write(id);
                });
            }
        }
        Move::Flush(server) => alive(sim, *server, |sim, id| drop(sim.command(id, &Command::Flush))),
        Move::Promote(server) => alive(sim, *server, |sim, id| drop(sim.command(id, &Command::Promote))),
        Move::Demote(server, of) => {
            if server != of {
                let of = IDS[*of].into();
                alive(sim, *server, |sim, id| drop(sim.command(id, &Command::Demote(of))));
            }
        }
        Move::Disk(fault) => sim.sidecars[0].disk.fault = *fault,
        Move::Crash(ms) => {
            sim.crash(0);
            sim.run_for(MS * u32::try_from(*ms).unwrap_or(0));
            sim.start(0);
        }
        Move::Pause(ms) => sim.pause(0, MS * u32::try_from(*ms).unwrap_or(0)),
        Move::Stuck(thread, on) => sim.sidecars[0].threads[*thread].stuck = *on,
        Move::Switchover(to, dry_run) => {
            let to = to.map(|to| IDS[to].into());
            hear(sim, Event::Switchover { command: 1, to, dry_run: *dry_run });
        }
        Move::Spoil(server, which, how, times) => sim.spoil(IDS[*server], ORDERS[*which], *how, *times),
        Move::Owner(server, ms) => {
            let claim = Command::Claim(InstanceId::new("other"), MS * u32::try_from(*ms).unwrap_or(0));
            alive(sim, *server, |sim, id| drop(sim.command(id, &claim)));
        }
        Move::Follower(server, ms) => {
            let register = Command::Register(InstanceId::new("other"), MS * u32::try_from(*ms).unwrap_or(0));
            alive(sim, *server, |sim, id| drop(sim.command(id, &register)));
        }
        Move::Lie(server, lie) => {
            let mut found = sim.cluster.observe(*server, sim.now);
            let ago = distort(&mut found, *lie);
            let asked = sim.sidecars[0].local(sim.now) - MS * u32::try_from(ago).unwrap_or(0);
            looked(sim, *server, asked, Ok(Box::new(found)));
        }
        Move::Failure(server, failure) => {
            let asked = sim.sidecars[0].local(sim.now);
            looked(sim, *server, asked, Err(*failure));
        }
        Move::Verdict(server, verdict) => {
            let why = "so it is said".to_owned();
            hear(sim, Event::Health { endpoint: IDS[*server].into(), verdict: *verdict, why });
        }
        Move::Answer(operation, kind) => {
            let result = match kind {
                0 | 1 => Ok(Answer::Done),
                2 => Ok(Answer::Position(Position(10_000))),
                3 => Ok(Answer::Claimed(Claimed::Held)),
                4 => Ok(Answer::Claimed(Claimed::HeldBy(InstanceId::new("other")))),
                5 => Ok(Answer::Fenced { had: Some(("x".to_owned(), Position(7))) }),
                6 => Ok(Answer::Observed(Box::new(sim.cluster.observe(0, sim.now)))),
                _ => Err(Rejection { failure: Failure::Timeout, detail: "late".to_owned() }),
            };
            hear(sim, Event::Answered { operation: Operation(*operation), result });
        }
        Move::Saved(operation, kind) => {
            let result = match kind {
                // A success that never was would be a lie of the disk: nothing can stand on that.
                0 => Err(SaveFailure::Conflict(sim.sidecars[0].disk.record.clone())),
                _ => Err(SaveFailure::Failed("so it is said".to_owned())),
            };
            hear(sim, Event::Saved { operation: Operation(*operation), result });
        }
        Move::Held(operation, thread) => {
            hear(sim, Event::Held { operation: Operation(*operation), thread: *thread, in_doubt: 1 });
        }
    }
}

fn alive(sim: &mut Sim, server: usize, what: impl FnOnce(&mut Sim, &str)) {
    if sim.cluster.servers[server].life == Life::Up {
        what(sim, IDS[server]);
    }
}

/// A process that is stopped hears nothing.
fn hear(sim: &mut Sim, event: Event) {
    if sim.sidecars[0].runs && sim.now >= sim.sidecars[0].paused_until {
        sim.tell(0, event);
    }
}

fn looked(
    sim: &mut Sim,
    server: usize,
    asked: foretoken_types::BootInstant,
    found: Result<Box<Observation>, Failure>,
) {
    hear(sim, Event::Observed { endpoint: IDS[server].into(), asked, probed: true, found });
}

/// Milliseconds by which the look is older than it should be.
fn distort(found: &mut Observation, lie: Lie) -> u64 {
    match lie {
        Lie::OtherRole => {
            found.role = match found.role {
                Role::Primary => Role::Mirror { of: Some("b".into()), link: foretoken_types::Link::Down },
                Role::Mirror { .. } => Role::Primary,
            }
        }
        Lie::OtherRun => found.run_id.push('x'),
        Lie::OtherHistory => found.history.push('x'),
        Lie::Loading => found.loading = true,
        Lie::NoMarker => found.marker = None,
        Lie::Position(position) => found.position = Position(position),
        Lie::Marker(marker) => found.marker = Some(Epoch(marker)),
        Lie::Old(ms) => return ms,
    }
    0
}

/// Everything works again, and nobody lies any more.
fn heal(sim: &mut Sim) {
    for id in IDS {
        sim.restart(id);
        sim.thaw(id);
        let server = sim.cluster.server(id);
        (server.stalled, server.writable) = (false, true);
    }
    sim.spoilers.clear();
    let now = sim.now;
    let sidecar = &mut sim.sidecars[0];
    sidecar.disk.fault = DiskFault::None;
    sidecar.paused_until = now;
    for thread in &mut sidecar.threads {
        thread.stuck = false;
    }
    sidecar.forget_verdicts();
}

/// Reasons that stay until somebody decides: `docs/failover.md` says what he can do.
const OPERATORS: &[&str] = &[
    "its data may be gone",
    "nothing tells whose data counts",
    "nothing proves that",
    "several endpoints are primaries",
    "several other endpoints are primaries",
    "are both primaries",
    "no endpoint is a primary; no automatic failover: others may write",
    "they would not be fenced; no endpoint is a primary",
    "no endpoint that answers is a primary",
    "holds data of another history",
    "waits for a full one",
    "is a primary itself",
    "this sidecar is not in charge: sidecar other",
    "this sidecar is not in charge: the owner record can't be written",
];

/// Looks that may take their time, a fence of 60 s, an owner record of 12 s, and what follows from each.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// How many changes of primary ended in which way: what the walks have been through.
type Met = BTreeMap<(ChangeKind, Outcome), u32>;

fn walk(seed: u64, writers: Writers, moves: &[Move], met: &mut Met) -> Result<(), TestCaseError> {
    let mut sim = Sim::new(seed, &IDS);
    let mut params = sim.params("one");
    params.writers = writers;
    sim.add(params);
    sim.latency = (MS / 10, MS * 2);
    sim.posture_delay = MS * 50;
    sim.start(0);
    for step in moves {
        play(&mut sim, step);
    }
    heal(&mut sim);
    // For a while, so that what is on its way has arrived.
    sim.run_for(PATIENCE);
    for change in sim.reports(0) {
        *met.entry((change.kind, change.outcome)).or_default() += 1;
    }
    if !sim.run_until(MS * 5000, |sim| sim.serves(0)) {
        let why = reason(&sim);
        prop_assert!(
            OPERATORS.iter().any(|known| why.contains(known)),
            "not served in phase {} of {:?}: {why:?}",
            sim.sidecars[0].machine.phase(),
            sim.sidecars[0].machine.posture()
        );
        return Ok(());
    }
    let posture = sim.sidecars[0].machine.posture();
    let primary = posture.primary.clone().expect("it serves");
    prop_assert_eq!(&sim.cluster.server(primary.as_str()).of, &None, "it serves from a primary");
    Ok(())
}

#[test]
fn whatever_happens_the_rules_hold_and_the_store_is_served_again() {
    let checked = cfg!(debug_assertions);
    assert!(checked, "the machine checks its own rules only then");
    let others = std::env::var("FORETOKEN_WALKS").ok().and_then(|count| count.parse().ok());
    let config = Config { cases: others.unwrap_or(600), failure_persistence: None, ..Config::default() };
    let mut runner = if others.is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    let writers = prop_oneof![4 => Just(Writers::ThisSidecar), 1 => Just(Writers::Others)];
    let walks = (any::<u64>(), writers, proptest::collection::vec(moves(), 1..80));
    let met = RefCell::new(Met::new());
    let result =
        runner.run(&walks, |(seed, writers, moves)| walk(seed, writers, &moves, &mut met.borrow_mut()));
    match result {
        Err(TestError::Fail(why, walk)) => panic!("{why}; the shortest walk that shows it: {walk:?}"),
        other => assert!(other.is_ok(), "{other:?}"),
    }
    let met = met.into_inner();
    for kind in [ChangeKind::Switchover, ChangeKind::Failover] {
        for outcome in [Outcome::Done, Outcome::Aborted] {
            let count = met.get(&(kind, outcome)).copied().unwrap_or_default();
            assert!(count >= 20, "the walks met {kind:?} {outcome:?} only {count} times: {met:?}");
        }
    }
}
