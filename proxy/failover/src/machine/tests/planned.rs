//! Planned switchovers: the order of steps, and what is left of one that fails at each of them.

use foretoken_types::{Persistence, Writers};

use super::sim::Spoil;
use super::sim::redis::{Command, Entry};
use super::sim::sidecar::DiskFault;
use super::*;
use crate::{ChangeKind, Intent};

const PROMOTE: fn(&Order) -> bool = |order| matches!(order, Order::Promote);
const DEMOTE: fn(&Order) -> bool = |order| matches!(order, Order::Demote { .. });

#[test]
fn every_step_comes_in_its_order() {
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    sim.run_for(MS * 3000);
    assert_eq!(
        trace(&sim),
        [
            "save epoch 1 of a, a to b",
            "publish holding a 1, hold writes",
            "a: pause",
            "a: position",
            "b: position",
            "publish flipping a 1, hold writes",
            "a: demote to b",
            "b: promote",
            "b: probe",
            "save epoch 2 of b",
            "b: mark 2",
            "publish failed_over b 2",
            "a: disconnect",
            "a: resume",
            "report Switchover Done",
            "c: demote to b",
            "publish recovering b 2",
            "publish healthy b 2",
        ]
    );
    let report = report(&sim);
    let steps: Vec<_> = report.steps.iter().map(|step| step.name).collect();
    let all = ["intent", "drain", "pause", "equality", "demote", "promote", "verify", "registry", "mark"];
    assert_eq!(steps, all);
    assert_eq!((report.command, report.epoch, report.in_doubt), (Some(7), Epoch(2), 0));
    assert!(report.held_for.is_some_and(|held| held < MS * 20), "{:?}", report.held_for);
    assert_eq!(intent(&sim), None);
    assert!(sim.cluster.server("a").paused_until <= sim.now, "writers that bypass us go on");
}

#[test]
fn writes_of_clients_wait_and_none_is_lost() {
    let mut sim = serving();
    (sim.write_every, sim.latency) = (Some(MS * 2), (MS / 10, MS * 3));
    sim.run_for(MS * 1000);
    for to in ["b", "c", "a"] {
        forget(&mut sim);
        switchover(&mut sim, to);
        sim.run_for(MS * 3000);
        assert_eq!((report(&sim).outcome, report(&sim).in_doubt), (Outcome::Done, 0), "{:?}", report(&sim));
    }
    sim.write_every = None;
    sim.run_for(MS * 100);
    assert!(sim.acks.len() > 5000, "{}", sim.acks.len());
    for id in ["a", "b", "c"] {
        let acks = sim.acks.clone();
        let lost = acks.iter().filter(|ack| !sim.cluster.server(id).has(ack.write)).count();
        assert_eq!(lost, 0, "at {id}");
    }
}

#[test]
fn a_primary_that_is_restarted_with_less_in_the_middle_of_a_switchover_does_not_get_the_role_back() {
    for after in 0..40 {
        for keep in [0, 5] {
            let mut sim = serving();
            let writes: Vec<_> = (0..20).map(|_| sim.write("a")).collect();
            sim.run_for(MS * 1000);
            for mirror in ["b", "c"] {
                sim.cluster.server(mirror).stalled = true;
            }
            forget(&mut sim);
            switchover(&mut sim, "b");
            sim.run_for(MS / 4 * after);
            sim.kill("a");
            let index = sim.cluster.index(&"a".into());
            sim.cluster.restart(index, keep);
            // The connection over which it would be demoted is broken.
            sim.spoil("a", |order| matches!(order, Order::Demote { .. }), Spoil::Refuse, 1);
            sim.run_for(MS * 10_000);
            let (primary, ..) = standing(&sim);
            let lacks = writes.iter().filter(|write| !sim.cluster.server(&primary).has(**write)).count();
            assert!(
                !sim.serves(0) || lacks == 0,
                "{after}, {keep}: {primary} lacks {lacks}; {}",
                reason(&sim)
            );
        }
    }
}

/// Nobody may promote without being asked, and somebody was asked.
#[test]
fn a_switchover_whose_old_primary_was_demoted_and_restarted_is_finished_whoever_else_writes() {
    let mut sim = serving();
    sim.sidecars[0].machine.params.writers = Writers::Others;
    let writes: Vec<_> = (0..20).map(|_| sim.write("a")).collect();
    sim.run_for(MS * 1000);
    sim.spoil("b", |order| *order == Order::Promote, Spoil::Refuse, 1);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| sim.cluster.servers[0].of.is_some()), "{}", reason(&sim));
    sim.kill("a");
    let index = sim.cluster.index(&"a".into());
    sim.cluster.restart(index, 5);
    assert!(sim.run_until(MS * 10_000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim).0, "b");
    assert!(writes.iter().all(|write| sim.cluster.server("b").has(*write)));
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let mut sim = serving();
    forget(&mut sim);
    sim.tell(0, crate::Event::Switchover { command: 3, to: None, dry_run: true });
    assert_eq!(trace(&sim), ["report Switchover Done"]);
    let report = report(&sim);
    assert_eq!((report.dry_run, report.to, report.plan), (true, Some("b".into()), 0));
    assert!(report.checks.iter().all(|check| check.passed), "{:?}", report.checks);
}

#[test]
fn a_switchover_is_refused_with_its_reason_and_touches_nothing() {
    type Row = (&'static str, Given, &'static str);
    let rows: [Row; 7] = [
        ("z", |_| {}, "z is not configured"),
        ("a", |_| {}, "a is the primary already"),
        ("b", |sim| sim.kill("b"), "b does not answer"),
        (
            "b",
            |sim| {
                sim.cluster.server("b").stalled = true;
                for _ in 0..5000 {
                    sim.write("a");
                }
            },
            "5000 bytes and 0 ms behind",
        ),
        (
            "b",
            |sim| sim.cluster.server("b").persistence = Persistence::None,
            "it keeps nothing over a restart",
        ),
        ("b", |sim| sim.freeze("a"), "a does not answer"),
        ("b", |sim| sim.sidecars[0].disk.fault = DiskFault::None, ""),
    ];
    for (to, given, why) in rows {
        let mut sim = serving_with(|params| params.lag_bytes_max = 1000);
        given(&mut sim);
        sim.run_for(MS * 800);
        forget(&mut sim);
        switchover(&mut sim, to);
        if why.is_empty() {
            // The last row shows that nothing but the row's own fault made the others fail.
            assert_eq!(sim.reports(0).len(), 0);
            continue;
        }
        assert_eq!(sim.reports(0).len(), 1, "{why}: {:?}", trace(&sim));
        let report = report(&sim);
        assert_eq!(report.outcome, Outcome::Refused, "{why}");
        assert!(report.detail.contains(why), "{why}: {}", report.detail);
        assert_eq!(trace(&sim).len(), 1, "{why}: {:?}", trace(&sim));
    }
}

#[test]
fn a_second_order_is_refused_while_one_is_under_way() {
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    switchover(&mut sim, "c");
    assert_eq!(report(&sim).outcome, Outcome::Refused);
    sim.run_for(MS * 2000);
    assert_eq!(standing(&sim), serves("b", 2, StoreState::Healthy));
}

#[test]
fn without_a_name_the_best_mirror_is_chosen() {
    let mut sim = serving();
    sim.cluster.server("b").stalled = true;
    sim.write("a");
    sim.run_for(MS * 500);
    sim.tell(0, crate::Event::Switchover { command: 1, to: None, dry_run: false });
    sim.run_for(MS * 1000);
    assert_eq!(standing(&sim).0, "c", "it has more than b");
}

/// Every fault before the demotion, and what the report says of it.
const UNDONE: &[(&str, Given, &str)] = &[
    (
        "the disk is full",
        |sim| sim.sidecars[0].disk.fault = DiskFault::Full,
        "the registry can't be written: no space left",
    ),
    (
        "the registry was changed",
        |sim| {
            if let Some(record) = &mut sim.sidecars[0].disk.record {
                record.position.0 += 1;
            }
        },
        "the registry was changed by somebody else",
    ),
    ("a request never ends", |sim| sim.sidecars[0].threads[1].stuck = true, "requests under way did not end"),
    (
        "the pause is refused",
        |sim| sim.spoil("a", |order| matches!(order, Order::PauseWrites { .. }), Spoil::Refuse, 1),
        "a could not be paused: ERR not now",
    ),
    (
        "the pause is lost",
        |sim| sim.spoil("a", |order| matches!(order, Order::PauseWrites { .. }), Spoil::Lose, 1),
        "a could not be paused: no answer",
    ),
    (
        "the pause works, and nobody knows",
        |sim| sim.spoil("a", |order| matches!(order, Order::PauseWrites { .. }), Spoil::LoseAnswer, 1),
        "a could not be paused: no answer",
    ),
    (
        "the position is not told",
        |sim| sim.spoil("a", |order| matches!(order, Order::Position), Spoil::Refuse, 1),
        "a did not tell its position",
    ),
    (
        "the mirror does not catch up",
        |sim| {
            sim.cluster.server("b").stalled = true;
            sim.write("a");
        },
        "the mirror did not become equal within 1500 ms",
    ),
    (
        "the mirror does not tell",
        |sim| sim.spoil("b", |order| matches!(order, Order::Position), Spoil::Refuse, u32::MAX),
        "the mirror did not become equal",
    ),
    ("the mirror hangs", |sim| sim.freeze("b"), "the mirror did not become equal"),
];

#[test]
fn what_fails_before_the_demotion_leaves_no_trace() {
    for (name, given, why) in UNDONE {
        let mut sim = serving();
        forget(&mut sim);
        given(&mut sim);
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 3000, |sim| !sim.reports(0).is_empty()), "{name}");
        let report = report(&sim);
        assert_eq!((report.outcome, report.kind), (Outcome::Aborted, ChangeKind::Switchover), "{name}");
        assert!(report.detail.contains(why), "{name}: {}", report.detail);
        assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy), "{name}");
        assert_eq!(sim.sidecars[0].machine.posture().hold, None, "{name}");
        sim.sidecars[0].disk.fault = DiskFault::None;
        sim.run_for(MS * 1000);
        assert_eq!(intent(&sim), None, "{name}: the intent is deleted");
        assert!(sim.cluster.server("a").paused_until <= sim.now, "{name}: others may write again");
        assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy), "{name}");
        let roles = trace(&sim).into_iter().filter(|line| line.contains("mote"));
        assert_eq!(roles.collect::<Vec<_>>(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_primary_that_may_let_writes_wait_is_told_again_until_it_confirms_that_they_go_on() {
    let resumes = |order: &Order| matches!(order, Order::ResumeWrites);
    for lost in [1, 3] {
        let mut sim = serving();
        forget(&mut sim);
        sim.spoil("a", |order| matches!(order, Order::PauseWrites { .. }), Spoil::LoseAnswer, 1);
        sim.spoil("a", resumes, Spoil::Lose, lost);
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 3000, |sim| !sim.reports(0).is_empty()));
        assert_eq!(report(&sim).outcome, Outcome::Aborted);
        assert!(
            sim.cluster.server("a").paused_until > sim.now + MS * 3000,
            "the pause works, and nobody knows"
        );
        sim.run_for(MS * 800 * lost);
        assert!(sim.cluster.server("a").paused_until <= sim.now, "others may write again");
        let told = count(&sim, "a: resume");
        sim.run_for(MS * 5000);
        assert_eq!((told, count(&sim, "a: resume")), (lost as usize + 1, lost as usize + 1));
    }
}

#[test]
fn an_old_primary_is_told_that_writes_go_on_when_it_answers_again() {
    let mut sim = serving();
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| sim.sidecars[0].machine.posture().state == StoreState::Flipping));
    // It has obeyed everything so far, and is silent from here on.
    assert!(sim.run_until(MS * 1000, |sim| !sim.reports(0).is_empty()));
    sim.freeze("a");
    forget(&mut sim);
    sim.run_for(MS * 3000);
    assert_eq!(count(&sim, "a: resume"), 0, "it does not answer");
    sim.thaw("a");
    sim.run_for(MS * 1000);
    assert_eq!(count(&sim, "a: resume"), 1);
}

#[test]
fn a_primary_that_fails_while_the_intent_is_written_is_failed_over() {
    let mut sim = serving();
    forget(&mut sim);
    sim.sidecars[0].disk.fault = DiskFault::Lies;
    sim.freeze("a");
    sim.run_for(MS * 200);
    switchover(&mut sim, "b");
    sim.sidecars[0].disk.fault = DiskFault::None;
    sim.run_for(MS * 10_000);
    assert_eq!(standing(&sim).0, "b");
    assert_eq!(intent(&sim), None);
}

/// Every fault from the demotion on; who is primary then, and how the report calls it.
const BROKEN_OFF: &[(&str, Given, &str, Outcome)] = &[
    ("the demotion is refused", |sim| sim.spoil("a", DEMOTE, Spoil::Refuse, 1), "a", Outcome::Aborted),
    ("the demotion is lost", |sim| sim.spoil("a", DEMOTE, Spoil::Lose, 1), "a", Outcome::Aborted),
    (
        "the demotion works, and nobody knows",
        |sim| sim.spoil("a", DEMOTE, Spoil::LoseAnswer, 1),
        "a",
        Outcome::Aborted,
    ),
    ("the promotion is refused", |sim| sim.spoil("b", PROMOTE, Spoil::Refuse, 1), "a", Outcome::Aborted),
    ("the promotion is lost", |sim| sim.spoil("b", PROMOTE, Spoil::Lose, 1), "a", Outcome::Aborted),
    (
        "the promotion works, and nobody knows",
        |sim| sim.spoil("b", PROMOTE, Spoil::LoseAnswer, 1),
        "b",
        Outcome::Done,
    ),
    (
        "the new primary takes no writes",
        |sim| sim.cluster.server("b").writable = false,
        "a",
        Outcome::Aborted,
    ),
    (
        "the old primary is refused its role, at first",
        |sim| {
            sim.spoil("b", PROMOTE, Spoil::Refuse, 1);
            sim.spoil("a", PROMOTE, Spoil::Refuse, 2);
        },
        "a",
        Outcome::Aborted,
    ),
];

#[test]
fn what_fails_from_the_demotion_on_is_finished_or_taken_back() {
    for (name, given, primary, outcome) in BROKEN_OFF {
        let mut sim = serving();
        forget(&mut sim);
        given(&mut sim);
        let write = sim.write("a");
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 8000, |sim| !sim.reports(0).is_empty()), "{name}: {}", reason(&sim));
        assert_eq!(report(&sim).outcome, *outcome, "{name}: {:?}", report(&sim));
        sim.cluster.server("b").writable = true;
        sim.run_for(MS * 6000);
        assert_eq!(standing(&sim), serves(primary, 2, StoreState::Healthy), "{name}: {}", reason(&sim));
        assert_eq!(intent(&sim), None, "{name}");
        for id in ["a", "b", "c"] {
            assert!(sim.cluster.server(id).has(write), "{name}: at {id}");
            let of = (id != *primary).then(|| (*primary).into());
            assert_eq!(sim.cluster.server(id).of, of, "{name}: {id} copies the primary");
        }
        assert!(sim.cluster.server("a").paused_until <= sim.now, "{name}");
    }
}

/// Whether the machine has wanted such an effect.
fn wanted(sim: &Sim, line: &str) -> bool {
    trace(sim).iter().any(|wanted| wanted == line)
}

#[test]
fn an_old_primary_that_dies_after_its_demotion_is_not_waited_for() {
    let mut sim = serving();
    forget(&mut sim);
    sim.spoil("b", PROMOTE, Spoil::Refuse, 1);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| wanted(sim, "b: promote")));
    sim.kill("a");
    assert!(sim.run_until(MS * 8000, |sim| !sim.reports(0).is_empty()), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver));
    assert_eq!(report(&sim).outcome, Outcome::Done);
}

#[test]
fn a_process_that_dies_in_a_switchover_is_succeeded() {
    // The last thing that it wanted, who is primary in the end, and in which epoch.
    let rows = [
        ("save epoch 1 of a, a to b", "a", 2),
        ("publish holding a 1, hold writes", "a", 2),
        ("a: pause", "a", 2),
        ("b: position", "a", 2),
        ("a: demote to b", "a", 2),
        ("b: promote", "b", 2),
        ("b: probe", "b", 2),
        ("b: mark 2", "b", 3),
    ];
    for (last, primary, epoch) in rows {
        let mut sim = serving();
        let write = sim.write("a");
        forget(&mut sim);
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 1000, |sim| wanted(sim, last)), "{last}");
        // The last order is on its way and arrives, the answer does not.
        sim.run_for(MS * 3 / 10);
        sim.crash(0);
        sim.run_for(MS * 300);
        sim.start(0);
        assert!(sim.run_until(MS * 8000, |sim| sim.serves(0)), "{last}: {}", reason(&sim));
        sim.run_for(MS * 6000);
        assert_eq!(standing(&sim), serves(primary, epoch, StoreState::Healthy), "{last}");
        assert_eq!(intent(&sim), None, "{last}");
        assert!(["a", "b", "c"].iter().all(|id| sim.cluster.server(id).has(write)), "{last}");
    }
}

#[test]
fn a_successor_fails_over_when_the_old_primary_is_gone_and_its_demotion_is_not_certain() {
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| wanted(sim, "a: demote to b")));
    sim.crash(0);
    sim.kill("a");
    sim.start(0);
    assert!(sim.run_until(MS * 8000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim), serves("b", 2, StoreState::FailedOver));
    assert!(trace(&sim).contains(&"report Failover Done".to_owned()), "{:?}", trace(&sim));
}

#[test]
fn a_follower_does_not_end_the_switchover_of_another() {
    let mut sim = serving();
    sim.command("a", &Command::Claim("one".into(), MS));
    sim.run_for(MS * 10);
    let record = sim.sidecars[0].disk.record.clone().expect("it serves");
    let intent = Some(Intent { from: "a".into(), to: "b".into() });
    sim.crash(0);
    sim.sidecars[0].disk.record = Some(crate::Record { intent, ..record });
    sim.cluster.server("a").apply(Entry::Owner("other".into(), sim.now + MS * 4000));
    sim.cluster.server("a").of = Some("b".into());
    sim.start(0);
    sim.run_for(MS * 3000);
    assert!(reason(&sim).contains("sidecar other holds the owner record"), "{}", reason(&sim));
    assert!(!sim.serves(0));
    // The record of the other one ends, and with it what kept us from it.
    assert!(sim.run_until(MS * 4000, |sim| sim.serves(0)), "{}", reason(&sim));
    assert_eq!(standing(&sim).0, "a");
}

#[test]
fn an_answer_after_the_deadline_changes_no_role() {
    // A process that was stopped in the hold wakes up: the pause at the primary is over, others have written, and the
    // equality that it is told of is not of this moment.
    for last in ["a: pause", "a: position", "b: position"] {
        let mut sim = serving();
        forget(&mut sim);
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 1000, |sim| wanted(sim, last)), "{last}");
        sim.pause(0, MS * 8000);
        sim.run_for(MS * 6000);
        sim.cluster.server("b").stalled = true;
        let write = sim.write("a");
        sim.run_for(MS * 2500);
        sim.cluster.server("b").stalled = false;
        sim.run_for(MS * 8000);
        assert_eq!(report(&sim).outcome, Outcome::Aborted, "{last}: {:?}", report(&sim));
        assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy), "{last}");
        assert!(sim.cluster.server("a").has(write), "{last}");
    }
}

fn state(sim: &Sim) -> StoreState {
    sim.sidecars[0].machine.posture().state
}

/// Time until the machine wants to be woken.
fn idle(sim: &Sim) -> std::time::Duration {
    let now = sim.sidecars[0].local(sim.now);
    now.until(sim.sidecars[0].machine.next_deadline().expect("something is always due"))
}

fn count(sim: &Sim, line: &str) -> usize {
    trace(sim).iter().filter(|wanted| *wanted == line).count()
}

#[test]
fn what_is_waited_for_is_asked_for_every_millisecond_or_two_and_nothing_else_is() {
    let mut sim = serving();
    sim.sidecars[0].threads[1].stuck = true;
    sim.cluster.server("b").stalled = true;
    sim.write("a");
    assert!(sim.run_until(MS * 1000, |sim| idle(sim) > MS * 500), "a lease has just been renewed");
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(idle(&sim) > MS * 400, "the next renewal: {:?}", idle(&sim));
    assert!(sim.run_until(MS * 100, |sim| state(sim) == StoreState::Holding));
    sim.run_for(MS * 100);
    assert!(idle(&sim) > MS * 1300 && idle(&sim) <= MS * 1400, "until the deadline: {:?}", idle(&sim));

    // All requests have ended, and the mirror is not equal yet.
    sim.sidecars[0].threads[1].stuck = false;
    let operation = sim.sidecars[0].machine.posture().hold.expect("it holds").operation;
    sim.tell(0, crate::Event::Held { operation, thread: 1, in_doubt: 0 });
    sim.run_for(MS * 100);
    let asked = count(&sim, "b: position");
    assert!((50..=100).contains(&asked), "{asked} times in 100 ms");
    (sim.cluster.server("b").stalled, sim.cluster.server("b").writable) = (false, false);
    assert!(sim.run_until(MS * 5, |sim| state(sim) == StoreState::Flipping), "it is noticed at once");
    assert_eq!(idle(&sim), MS * 1000, "nothing to do but to wait for the answer");
    sim.run_for(MS * 100);
    let asked = count(&sim, "b: probe");
    assert!((20..=60).contains(&asked), "{asked} times in 100 ms");
    sim.cluster.server("b").writable = true;
    assert!(sim.run_until(MS * 8, |sim| !sim.reports(0).is_empty()), "{:?}", trace(&sim));
    assert_eq!(report(&sim).outcome, Outcome::Done);
}

#[test]
fn a_lease_is_renewed_when_it_is_due_also_while_the_intent_is_written() {
    let mut sim = serving();
    sim.latency = (MS * 100, MS * 100);
    sim.run_for(MS * 3000);
    let renewals = |sim: &Sim| {
        let effects = sim.sidecars[0].effects.iter();
        effects.filter(|(_, effect)| matches!(effect, Effect::Publish(_))).count()
    };
    forget(&mut sim);
    assert!(sim.run_until(MS * 1000, |sim| renewals(sim) == 1));
    sim.run_for(MS * 500);
    forget(&mut sim);
    switchover(&mut sim, "b");
    sim.run_for(MS * 499);
    assert_eq!(sim.sidecars[0].machine.phase(), "planned");
    assert_eq!((renewals(&sim), state(&sim)), (1, StoreState::Healthy), "due once in that time");
}

#[test]
fn a_demotion_counts_only_while_the_primary_lets_writes_wait() {
    // Heard so long after the pause was ordered, which is for 5 s, less a margin of 50 ms.
    for (heard, certain) in [(MS * 4949, true), (MS * 4950, false)] {
        let mut sim = serving();
        forget(&mut sim);
        switchover(&mut sim, "b");
        assert!(sim.run_until(MS * 1000, |sim| wanted(sim, "a: demote to b")));
        let now = sim.sidecars[0].local(sim.now);
        let mut effects = sim.sidecars[0].effects.iter();
        let paused = effects
            .find(|(_, effect)| matches!(effect, Effect::Order { order: Order::PauseWrites { .. }, .. }));
        let since = paused.expect("it was ordered").0;
        sim.pause(0, now.until(since + heard));
        sim.run_for(MS * 12_000);
        // Else it is looked at how things stand, and the role goes back if that is safest.
        assert_eq!(wanted(&sim, "a: look"), !certain, "{heard:?}");
        assert_eq!(report(&sim).outcome, if certain { Outcome::Done } else { Outcome::Aborted }, "{heard:?}");
    }
}

#[test]
fn what_keeps_a_switchover_from_beginning_is_named() {
    let failed = |sim: &Sim| -> Vec<String> {
        let last = sim.reports(0).last().map(|change| change.checks.clone()).unwrap_or_default();
        last.into_iter()
            .filter(|check| !check.passed)
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect()
    };
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    switchover(&mut sim, "c");
    assert!(
        failed(&sim).contains(&"no other change: another change is being written to the registry".to_owned()),
        "{:?}",
        failed(&sim)
    );

    // A failover is under way, and nothing of it is written yet.
    let mut sim = serving();
    sim.sidecars[0].threads[1].stuck = true;
    sim.kill("a");
    assert!(sim.run_until(MS * 2000, |sim| state(sim) == StoreState::Unavailable));
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(
        failed(&sim).contains(&"no other change: another change of primary is under way".to_owned()),
        "{:?}",
        failed(&sim)
    );

    // A process that was stopped for as long as its owner record lives.
    let mut sim = serving();
    sim.pause(0, MS * 20_000);
    sim.run_for(MS * 10_500);
    switchover(&mut sim, "b");
    assert!(
        failed(&sim).contains(&"in charge: the owner record has not been renewed in time".to_owned()),
        "{:?}",
        failed(&sim)
    );
}

#[test]
fn a_primary_that_takes_no_writes_can_be_left_although_it_takes_no_owner_record() {
    let mut sim = serving();
    sim.cluster.server("a").writable = false;
    sim.run_for(MS * 12_000);
    assert!(!sim.sidecars[0].machine.owns(), "the record has run out");
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| !sim.reports(0).is_empty()));
    assert_eq!(report(&sim).outcome, Outcome::Done, "{:?}", report(&sim));
    assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.owns()), "the new one takes the record");

    // When such a primary is lost, somebody may be registered nowhere and still serve.
    for more in 0..32 {
        let mut sim = serving();
        sim.cluster.server("a").writable = false;
        sim.run_for(MS * 12_000 + MS * 100 * more);
        if more % 2 == 0 {
            sim.kill("a");
        } else {
            sim.freeze("a");
        }
        sim.run_for(MS * 5000);
        assert!(reason(&sim).contains("other sidecars could not register"), "{more}: {}", reason(&sim));
        assert_eq!(standing(&sim).0, "a");
    }

    // It took one of another sidecar's in between.
    let mut sim = serving();
    sim.cluster.server("a").writable = false;
    sim.run_for(MS * 10_500);
    sim.cluster.server("a").writable = true;
    let other = Command::Claim("other".into(), MS * 10_000);
    sim.command("a", &other);
    sim.cluster.server("a").writable = false;
    sim.run_for(MS * 300);
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 3000, |sim| !sim.reports(0).is_empty()));
    assert_eq!(report(&sim).outcome, Outcome::Refused);
    assert!(report(&sim).detail.contains("has not been renewed in time"), "{}", report(&sim).detail);
}

#[test]
fn without_a_name_a_mirror_that_passes_every_check_is_chosen() {
    let mut sim = serving();
    sim.cluster.server("b").persistence = Persistence::None;
    sim.run_for(MS * 500);
    sim.tell(0, crate::Event::Switchover { command: 1, to: None, dry_run: false });
    sim.run_for(MS * 1000);
    assert_eq!(standing(&sim).0, "c");
}

#[test]
fn who_was_in_charge_of_the_old_primary_need_not_ask_at_the_new_one() {
    let mut sim = serving();
    forget(&mut sim);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| !sim.reports(0).is_empty()));
    let effects = sim.sidecars[0].effects.iter();
    let wanted: Vec<&Effect> = effects.map(|(_, effect)| effect).collect();
    let saved = wanted.iter().rposition(|effect| matches!(effect, Effect::Save { .. })).expect("the epoch");
    let asked = wanted[..saved].iter().any(
        |effect| matches!(effect, Effect::Order { endpoint, order: Order::Claim { .. }, .. } if endpoint.as_str() == "b"),
    );
    assert!(!asked, "requests wait meanwhile");
}
