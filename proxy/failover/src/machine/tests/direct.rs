//! The machine fed by hand: what one step does, and what it tells of itself on the way.

use std::time::Duration;

use foretoken_types::{Authority, BootInstant, InstanceId, Operation, WriteConcern, Writers};

use super::sim::redis::Command;
use super::*;
use crate::testing::record;
use crate::{Answer, Claimed, Event, Machine, SaveFailure, Settings};

/// A machine that knows the registry, and has seen all endpoints but `c`.
fn begun() -> (Machine, Sim) {
    let sim = world();
    let mut machine = Machine::new(sim.sidecars[0].params.clone());
    machine.step(Event::Loaded(None), at(0));
    for server in 0..2 {
        machine.step(look(&sim, server), at(1));
    }
    (machine, sim)
}

fn at(ms: u64) -> BootInstant {
    BootInstant::default() + Duration::from_millis(ms)
}

fn look(sim: &Sim, server: usize) -> Event {
    let found = sim.cluster.observe(server, sim.now);
    let endpoint = sim.cluster.servers[server].id.clone();
    Event::Observed { endpoint, asked: at(1), probed: false, found: Ok(Box::new(found)) }
}

#[test]
fn all_that_can_follow_from_one_piece_of_news_is_done_at_once() {
    let (mut machine, sim) = begun();
    let effects = machine.step(look(&sim, 2), at(2));
    let claims = |effect: &Effect| matches!(effect, Effect::Order { order: Order::Claim { .. }, .. });
    assert!(effects.iter().any(claims), "{effects:?}");
    assert_eq!(machine.phase(), "take");
}

#[test]
fn it_asks_to_be_woken_when_something_is_due_and_not_before() {
    let (mut machine, sim) = begun();
    let retry = Duration::from_millis(250);
    assert_eq!(Machine::new(sim.sidecars[0].params.clone()).next_deadline(), None, "nothing has begun");
    assert_eq!(machine.next_deadline(), Some(at(1) + retry));
    machine.step(Event::Tick, at(5));
    assert_eq!(machine.next_deadline(), Some(at(5) + retry));
    machine.step(Event::Tick, at(3));
    assert_eq!(machine.next_deadline(), Some(at(5) + retry), "time does not go back");

    let mut sim = serving();
    let local = |sim: &Sim| sim.sidecars[0].local(sim.now);
    let next = |sim: &Sim| sim.sidecars[0].machine.next_deadline().expect("something is always due");
    let within = |sim: &Sim, most: Duration| {
        let left = local(sim).until(next(sim));
        assert!(left > Duration::ZERO && left <= most, "{left:?}");
    };
    let renew = sim.sidecars[0].params.lease.renew;
    within(&sim, renew);
    // A stuck data thread: the end of its lease is waited for, and then only looks.
    sim.sidecars[0].threads[1].stuck = true;
    sim.freeze("a");
    assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.phase() == "suspected"));
    let lease = sim.sidecars[0].params.fence_wait();
    within(&sim, lease);
    assert!(local(&sim).until(next(&sim)) > lease - renew - MS, "when the last lease is dead");
}

#[test]
fn a_suspicion_that_lasts_is_looked_at_now_and_then() {
    let mut sim = serving();
    let forever = crate::Verdict::Suspect;
    sim.tell(0, Event::Health { endpoint: "a".into(), verdict: forever, why: "so it is said".to_owned() });
    let closed = |sim: &Sim| sim.sidecars[0].machine.posture().state == StoreState::Unavailable;
    assert!(sim.run_until(MS * 4000, closed), "{:?}", sim.sidecars[0].machine.posture());
    assert_eq!(sim.sidecars[0].machine.phase(), "suspected");
    let machine = &sim.sidecars[0].machine;
    let left = sim.sidecars[0].local(sim.now).until(machine.next_deadline().expect("it looks again"));
    assert!(left > MS * 200 && left <= MS * 250, "{left:?}");
}

#[test]
fn other_settings_wait_for_the_end_of_a_switchover() {
    let settings = |sim: &Sim, lag_bytes_max: u64| {
        let params = &sim.sidecars[0].params;
        Event::Configured(Settings {
            writers: Writers::Others,
            durability: WriteConcern::Asynchronous,
            hold_deadline: params.hold_deadline,
            pause: params.pause,
            lag_bytes_max,
            lag_max: params.lag_max,
        })
    };
    let writers = |sim: &Sim| sim.sidecars[0].machine.params.writers;
    let mut sim = serving();
    let event = settings(&sim, 7);
    sim.tell(0, event);
    assert_eq!(writers(&sim), Writers::Others, "at once");
    assert_eq!(sim.sidecars[0].machine.params.lag_bytes_max, 7);

    let mut sim = serving();
    switchover(&mut sim, "b");
    let event = settings(&sim, 7);
    sim.tell(0, event);
    assert_eq!(writers(&sim), Writers::ThisSidecar, "it ends by what it began with");
    sim.run_for(MS * 1000);
    assert_eq!((standing(&sim).0.as_str(), writers(&sim)), ("b", Writers::Others));
}

#[test]
fn it_tells_what_it_is_about() {
    let mut sim = serving();
    let machine = &sim.sidecars[0].machine;
    assert_eq!((machine.reason(), machine.risk(), machine.owner()), (None, None, None));
    assert_eq!((machine.held_since(), machine.plan()), (None, None));
    assert_eq!(machine.record(), sim.sidecars[0].disk.record.as_ref());
    assert_eq!(machine.authority(), &Authority::Owner);
    assert!(machine.may_probe_writes() && machine.is_validated());

    sim.tell(0, Event::Risk(Some("its memory runs out".to_owned())));
    assert_eq!(sim.sidecars[0].machine.risk(), Some("its memory runs out"));

    sim.sidecars[0].threads[1].stuck = true;
    switchover(&mut sim, "b");
    let machine = |sim: &Sim| (sim.sidecars[0].machine.plan(), sim.sidecars[0].machine.may_probe_writes());
    assert_eq!(machine(&sim), (Some(1), true), "nothing is held yet");
    let held = |sim: &Sim| sim.sidecars[0].machine.posture().hold.is_some();
    assert!(sim.run_until(MS * 100, held));
    let since = sim.sidecars[0].local(sim.now);
    assert_eq!(machine(&sim), (Some(1), false), "a probe would wait");
    sim.run_for(MS * 500);
    assert_eq!(sim.sidecars[0].machine.held_since(), Some(since));
    sim.run_for(MS * 2000);
    assert_eq!(sim.sidecars[0].machine.held_since(), None, "it was given up");
    assert_eq!(machine(&sim), (None, true));
}

#[test]
fn a_primary_is_validated_by_a_look_at_it_since_it_serves_and_stays_so_in_its_epoch() {
    let validated = |sim: &Sim| sim.sidecars[0].machine.is_validated();
    let mut sim = world();
    sim.start(0);
    assert!(sim.run_until(MS * 2000, |sim| sim.serves(0)));
    assert!(!validated(&sim), "no write was tried since");
    assert!(sim.run_until(MS * 1000, validated));
    sim.kill("a");
    assert!(sim.run_until(MS * 5000, |sim| sim.serves(0) && standing(sim).0 == "b"));
    assert!(!validated(&sim), "another primary, another epoch");
    // It shows itself as what it should be, but for taking writes.
    sim.cluster.server("b").writable = false;
    sim.run_for(MS * 1000);
    assert!(!validated(&sim));
    sim.cluster.server("b").writable = true;
    assert!(sim.run_until(MS * 1000, validated));
    sim.cluster.server("b").writable = false;
    sim.run_for(MS * 1000);
    assert!(validated(&sim), "later trouble is another matter");
}

#[test]
fn a_follower_names_the_one_in_charge() {
    let mut sim = world();
    sim.command("a", &Command::Claim(InstanceId::new("other"), MS * 60_000));
    sim.start(0);
    assert!(sim.run_until(MS * 5000, |sim| sim.serves(0)), "{}", reason(&sim));
    let machine = &sim.sidecars[0].machine;
    assert_eq!(machine.owner(), Some(&InstanceId::new("other")));
    let Authority::Follower(why) = machine.authority() else { panic!("{:?}", machine.authority()) };
    assert_eq!(why, "sidecar other holds the owner record");
}

#[test]
fn only_data_threads_that_there_are_obey_a_hold() {
    let mut sim = serving();
    sim.sidecars[0].threads[1].stuck = true;
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 100, |sim| sim.sidecars[0].machine.posture().hold.is_some()));
    sim.run_for(MS * 10);
    let operation = sim.sidecars[0].machine.posture().hold.expect("it holds").operation;
    let held = |operation, thread| Event::Held { operation, thread, in_doubt: 0 };
    sim.tell(0, held(operation, 2));
    sim.tell(0, held(Operation(operation.0 + 1), 1));
    sim.run_for(MS * 100);
    assert_eq!(sim.sidecars[0].machine.posture().state, StoreState::Holding, "of two, one obeys");
    sim.tell(0, held(operation, 1));
    sim.run_for(MS * 1000);
    assert_eq!(standing(&sim).0, "b");
}

#[test]
fn a_registry_that_cant_be_written_is_tried_four_times_a_second() {
    let mut sim = world();
    sim.sidecars[0].disk.fault = super::sim::sidecar::DiskFault::Full;
    sim.start(0);
    sim.run_for(MS * 1000);
    forget(&mut sim);
    sim.run_for(MS * 2000);
    let saves = trace(&sim).iter().filter(|line| line.starts_with("save")).count();
    assert!((6..=8).contains(&saves), "{saves} in two seconds");
}

#[test]
fn a_save_that_failed_is_tried_again_when_its_time_has_come() {
    let (mut machine, _) = begun();
    let operation = machine.save(record()).expect("nothing has failed");
    assert_eq!(machine.save(record()), None, "one is under way");
    let result = Err(SaveFailure::Failed("no space left on device".to_owned()));
    machine.step(Event::Saved { operation, result }, at(1000));
    let due = at(1000) + machine.params.retry;
    for (now, saves) in [(due - NANOSECOND, false), (due, true)] {
        machine.now = now;
        assert_eq!(machine.save(record()).is_some(), saves);
    }
}

#[test]
fn an_endpoint_that_hangs_is_not_asked_again_before_it_has_answered() {
    let mut sim = serving();
    sim.spoil("b", |order| matches!(order, Order::Promote), super::sim::Spoil::Refuse, 1);
    switchover(&mut sim, "b");
    assert!(sim.run_until(MS * 1000, |sim| trace(sim).iter().any(|line| line == "b: promote")));
    sim.freeze("a");
    sim.run_for(MS * 100);
    assert_eq!(sim.sidecars[0].machine.phase(), "resolve");
    assert!(!sim.sidecars[0].machine.may_probe_writes(), "it may still let writes wait");
    forget(&mut sim);
    // Asked four times a second, if it were not waited for: an answer is given up after half a second.
    sim.run_for(MS * 1500);
    let looks = trace(&sim).iter().filter(|line| *line == "a: look").count();
    assert!((2..=4).contains(&looks), "{looks}");
}

#[test]
fn who_comes_to_be_in_charge_of_a_single_server_has_nothing_to_find_out() {
    let mut sim = Sim::new(1, &["a"]);
    let params = sim.params("one");
    sim.add(params);
    sim.command("a", &Command::Mark(Epoch(1)));
    sim.command("a", &Command::Claim(InstanceId::new("other"), MS * 5000));
    sim.start(0);
    assert!(sim.run_until(MS * 4000, |sim| sim.serves(0)), "{}", reason(&sim));
    let epoch = standing(&sim).1;
    forget(&mut sim);
    sim.run_for(MS * 12_000);
    assert_eq!(sim.sidecars[0].machine.authority(), &Authority::Owner);
    assert_eq!(standing(&sim), serves("a", epoch, StoreState::Healthy));
    assert!(!trace(&sim).iter().any(|line| line.contains("hold")), "{:?}", trace(&sim));
}

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Carries out the last order that the machine gave, at the moment of the order.
fn answer(machine: &mut Machine, operation: Operation, with: Answer) {
    let now = machine.now;
    machine.step(Event::Answered { operation, result: Ok(with) }, now);
}

#[test]
fn what_the_primary_tells_of_who_is_in_charge_holds_a_little_shorter_than_an_owner_record() {
    let (mut machine, _) = begun();
    assert!(!machine.has_lapsed(), "it was never asked");
    machine.heard(at(1000));
    // 10 s, less twice the 50 ms for what lies between reading a clock and acting on it.
    let end = at(1000 + 9900);
    machine.now = end - NANOSECOND;
    assert!(!machine.has_lapsed());
    machine.now = end;
    assert!(machine.has_lapsed());
}

#[test]
fn leases_of_before_the_start_and_of_who_was_in_charge_before_are_waited_for() {
    let (mut machine, _) = begun();
    let wait = machine.params.fence_wait();
    assert_eq!(machine.predecessors_end(), at(0) + wait);
    machine.now = at(500);
    let operation = machine.claim(&"a".into());
    answer(&mut machine, operation, Answer::Claimed(Claimed::Held));
    assert_eq!(machine.predecessors_end(), at(500) + wait);
    machine.now = at(600);
    let operation = machine.claim(&"a".into());
    answer(&mut machine, operation, Answer::Claimed(Claimed::Held));
    assert_eq!(machine.predecessors_end(), at(500) + wait, "renewed without a gap");
}

#[test]
fn the_fence_allows_for_two_clocks_that_run_wrong_and_for_a_moment_to_act() {
    // 2 s on a clock that is 0.5 % too fast, measured with one that is 0.5 % too slow, and 50 ms.
    let (machine, _) = begun();
    let wait = machine.params.fence_wait();
    assert_eq!(wait.as_micros(), 2_070_100);
}

#[test]
fn a_registration_is_known_for_as_long_as_it_lives() {
    let (mut machine, _) = begun();
    machine.now = at(1000);
    assert!(!machine.is_known());
    let operation = machine.register(&"a".into()).expect("nothing else manages the store");
    answer(&mut machine, operation, Answer::Done);
    let end = at(1000) + machine.params.owner_life + machine.params.fence_wait();
    machine.now = end - NANOSECOND;
    assert!(machine.is_known());
    machine.now = end;
    assert!(!machine.is_known());
}

#[test]
fn who_comes_to_be_in_charge_waits_until_whoever_was_it_must_know() {
    // Whether the store bears a marker of another one, and whether this one is registered.
    for (marked, registered, waits) in
        [(true, false, true), (false, false, false), (true, true, false), (false, true, false)]
    {
        let (mut machine, mut sim) = begun();
        if marked {
            sim.command("a", &Command::Mark(Epoch(5)));
            machine.step(look(&sim, 0), at(1));
        }
        machine.now = at(1000);
        if registered {
            let operation = machine.register(&"a".into()).expect("nothing else manages the store");
            answer(&mut machine, operation, Answer::Done);
        }
        assert_eq!(machine.unsettled_until(), None, "not in charge");
        let operation = machine.claim(&"a".into());
        answer(&mut machine, operation, Answer::Claimed(Claimed::Held));
        let end = at(1000) + machine.settle();
        let case = format!("marked {marked}, registered {registered}");
        machine.now = end - NANOSECOND;
        assert_eq!(machine.unsettled_until(), waits.then_some(end), "{case}");
        machine.now = end;
        assert_eq!(machine.unsettled_until(), None, "{case}");
    }
}

#[test]
fn a_store_without_a_mirror_has_no_failover() {
    for (servers, failover) in
        [(&["a"][..], Err("the store has no mirror".to_owned())), (&["a", "b"], Ok(()))]
    {
        let mut sim = Sim::new(1, servers);
        let params = sim.params("one");
        sim.add(params);
        sim.start(0);
        assert!(sim.run_until(MS * 3000, |sim| sim.serves(0)), "{}", reason(&sim));
        assert_eq!(sim.sidecars[0].machine.automatic_failover(), failover, "{servers:?}");
    }
}

#[test]
fn who_must_not_manage_a_store_stays_registered_as_a_follower() {
    let mut sim = world_with(|params| params.follow = Some("so it is configured".to_owned()));
    sim.start(0);
    assert!(sim.run_until(MS * 5000, |sim| sim.serves(0)), "{}", reason(&sim));
    sim.run_for(MS * 3000);
    forget(&mut sim);
    sim.run_for(MS * 9000);
    assert_eq!(trace(&sim), ["a: register"; 3], "every three seconds");
}

#[test]
fn a_process_that_was_stopped_for_longer_than_an_owner_record_lives_begins_anew() {
    let mut sim = serving();
    forget(&mut sim);
    sim.pause(0, MS * 11_000);
    sim.run_for(MS * 16_000);
    assert_eq!(standing(&sim), serves("a", 2, StoreState::Healthy));
    assert_eq!(trace(&sim)[0], "publish healthy a 1, hold all");

    let mut sim = serving();
    sim.pause(0, MS * 6000);
    sim.run_for(MS * 10_000);
    assert_eq!(standing(&sim), serves("a", 1, StoreState::Healthy), "nobody can have taken its place");
}

#[test]
fn who_is_not_in_charge_any_more_gives_a_switchover_up_unless_roles_were_touched() {
    let mut sim = serving();
    sim.command("a", &Command::Flush);
    sim.command("a", &Command::Claim(InstanceId::new("other"), MS * 60_000));
    sim.sidecars[0].effects.clear();
    let claims = |sim: &Sim| {
        let mut effects = sim.sidecars[0].effects.iter();
        effects.any(|(_, effect)| matches!(effect, Effect::Order { order: Order::Claim { .. }, .. }))
    };
    assert!(sim.run_until(MS * 4000, claims));
    // Begun while it asks, and in charge as far as it knows.
    switchover(&mut sim, "b");
    sim.run_for(MS * 500);
    let told = report(&sim);
    assert_eq!(told.outcome, Outcome::Aborted);
    assert_eq!(told.detail, "not in charge any more: sidecar other holds the owner record");
    assert_eq!(sim.cluster.server("b").of, Some("a".into()));

    let mut sim = serving();
    sim.cluster.server("b").writable = false;
    switchover(&mut sim, "b");
    let flipping = |sim: &Sim| sim.sidecars[0].machine.posture().state == StoreState::Flipping;
    assert!(sim.run_until(MS * 1000, flipping));
    sim.run_for(MS * 100);
    sim.sidecars[0].machine.ownership.authority = Authority::Follower("so it is said".to_owned());
    sim.tell(0, Event::Tick);
    assert_eq!(sim.sidecars[0].machine.phase(), "planned", "there is no way back by forgetting");
    assert_eq!(sim.reports(0).len(), 0);
}
