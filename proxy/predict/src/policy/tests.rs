use super::*;
use crate::contract::Feature;

const MIB: f64 = 1024.0 * 1024.0;

fn cause(subject: Subject, cure: Cure, risk: f32) -> Cause {
    Cause { subject, risk, cure, words: String::new() }
}

fn memory() -> Cause {
    cause(Subject::Resource(Resource::Memory), Cure::Move, 0.9)
}

fn usage(used: f64, limit: f64, per_step: f64) -> Usage {
    Usage { used, limit: Some(limit), per_step }
}

/// A primary with 230 of 256 MiB used that fills by 2 MiB a step.
fn full() -> Usages {
    Usages::default().with(Resource::Memory, usage(230.0 * MIB, 256.0 * MIB, 2.0 * MIB))
}

fn mirror(id: &str, usages: Usages) -> Candidate {
    Candidate { id: id.into(), ready: true, usages }
}

fn params(policy: Policy) -> Params {
    Params { policy, ..Params::default() }
}

fn now() -> BootInstant {
    BootInstant::default() + Duration::from_secs(10_000)
}

fn ask(own: &Usages, mirrors: &[Candidate], causes: &[Cause], policy: Policy) -> Decision {
    let situation =
        Situation { raised: [false, true, true], causes, own, mirrors, switched: None, now: now() };
    decide(&situation, &params(policy))
}

#[test]
fn a_twin_with_the_same_maxmemory_is_no_cure() {
    let found = ask(&full(), &[mirror("b", full())], &[memory()], Policy::Switch);
    assert_eq!(found.action, Action::Prepare);
    assert_eq!(found.cure, Some(Cure::Durability));
    assert_eq!(
        found.why.to_string(),
        "mirror b would run out of memory (maxmemory) in 13 steps as well, its limit being no greater than the primary's"
    );
}

#[test]
fn a_mirror_with_a_greater_limit_is_moved_to() {
    let larger = Usages::default().with(Resource::Memory, usage(230.0 * MIB, 512.0 * MIB, 2.0 * MIB));
    let found = ask(&full(), &[mirror("b", larger)], &[memory()], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
    assert_eq!(found.why.to_string(), "mirror b lasts for 141 steps");
}

#[test]
fn an_emptier_mirror_is_moved_to_although_its_limit_is_the_same() {
    let own = Usages::default().with(Resource::Disk, usage(95.0, 100.0, 0.5));
    let emptier = Usages::default().with(Resource::Disk, usage(20.0, 100.0, 0.5));
    let disk = cause(Subject::Resource(Resource::Disk), Cure::Move, 0.9);
    let found = ask(&own, &[mirror("b", emptier)], &[disk], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
}

#[test]
fn a_mirror_that_does_not_fill_by_itself_fills_once_it_is_primary() {
    // Its growth is not known yet, but the writes will be the same.
    let still = Usages::default().with(Resource::Memory, usage(230.0 * MIB, 300.0 * MIB, 0.0));
    let found = ask(&full(), &[mirror("b", still)], &[memory()], Policy::Switch);
    assert!(
        matches!(found.why, Why::RunsOut { steps, same_limit: false, .. } if (steps - 35.0).abs() < 0.1),
        "{:?}",
        found.why
    );
    assert_eq!(found.action, Action::Prepare);
}

#[test]
fn clients_come_along_to_a_mirror_whose_limit_must_hold_both() {
    let own = Usages::default().with(Resource::Connections, usage(900.0, 1_000.0, 10.0));
    let leak = cause(Subject::Resource(Resource::Connections), Cure::Move, 0.9);
    let smaller = Usages::default().with(Resource::Connections, usage(200.0, 1_000.0, 0.0));
    let found = ask(&own, &[mirror("b", smaller)], std::slice::from_ref(&leak), Policy::Switch);
    assert!(matches!(found.why, Why::RunsOut { steps: 0.0, .. }), "{:?}", found.why);
    let larger = Usages::default().with(Resource::Connections, usage(10.0, 10_000.0, 0.0));
    let found = ask(&own, &[mirror("b", larger)], &[leak], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
}

#[test]
fn a_mirror_must_have_room_for_everything_and_not_only_for_the_cause() {
    let own = full().with(Resource::Disk, usage(95.0, 100.0, 0.5));
    let disk = cause(Subject::Resource(Resource::Disk), Cure::Move, 0.9);
    let wide = Usages::default().with(Resource::Disk, usage(10.0, 100.0, 0.1));
    let narrow = wide.with(Resource::Memory, usage(230.0 * MIB, 240.0 * MIB, 0.0));
    let found = ask(&own, &[mirror("b", narrow)], std::slice::from_ref(&disk), Policy::Switch);
    assert!(matches!(found.why, Why::RunsOut { resource: Resource::Memory, .. }), "{:?}", found.why);
    assert_eq!(ask(&own, &[mirror("b", wide)], &[disk], Policy::Switch).action, Action::Switch("b".into()));
}

#[test]
fn what_is_not_known_of_a_mirror_speaks_against_it() {
    let found = ask(&full(), &[mirror("b", Usages::default())], &[memory()], Policy::Switch);
    assert_eq!(found.action, Action::Prepare);
    assert_eq!(found.why, Why::Unseen("b".into(), Resource::Memory));
}

#[test]
fn no_limit_is_no_end() {
    let free = Usage { used: 1.0, limit: None, per_step: 9.0 };
    let free = Usages::default().with(Resource::Memory, free);
    let found = ask(&full(), &[mirror("b", free)], &[memory()], Policy::Switch);
    assert_eq!(found.why.to_string(), "mirror b doesn't fill");
}

#[test]
fn what_does_not_grow_has_no_end() {
    let growing = |per_step| Usages::default().with(Resource::Disk, usage(97.0, 100.0, per_step));
    for per_step in [0.0, -0.0, -1.0] {
        let found = ask(&growing(1.0), &[mirror("b", growing(per_step))], &[disk()], Policy::Switch);
        assert_eq!(found.why, Why::Lasts("b".into(), f64::INFINITY), "{per_step}");
    }
}

#[test]
fn the_mirror_that_lasts_longest_is_taken_and_one_that_is_not_ready_never() {
    let sized =
        |limit: f64| Usages::default().with(Resource::Memory, usage(230.0 * MIB, limit * MIB, 2.0 * MIB));
    let mut mirrors = [mirror("b", sized(512.0)), mirror("c", sized(1_024.0)), mirror("d", sized(256.0))];
    assert_eq!(ask(&full(), &mirrors, &[memory()], Policy::Switch).action, Action::Switch("c".into()));
    mirrors[1].ready = false;
    assert_eq!(ask(&full(), &mirrors, &[memory()], Policy::Switch).action, Action::Switch("b".into()));
    mirrors[0].ready = false;
    assert!(matches!(
        ask(&full(), &mirrors, &[memory()], Policy::Switch).why,
        Why::RunsOut { same_limit: true, .. }
    ));
    mirrors[2].ready = false;
    assert_eq!(ask(&full(), &mirrors, &[memory()], Policy::Switch).why, Why::NoMirror);
}

#[test]
fn of_mirrors_that_last_alike_the_first_is_taken() {
    let larger = || Usages::default().with(Resource::Memory, usage(230.0 * MIB, 512.0 * MIB, 2.0 * MIB));
    let mirrors = [mirror("b", larger()), mirror("c", larger())];
    assert_eq!(ask(&full(), &mirrors, &[memory()], Policy::Switch).action, Action::Switch("b".into()));
}

#[test]
fn of_mirrors_that_are_no_cure_the_one_that_lasts_longest_is_named() {
    let lasting = |left: f64| {
        Usages::default().with(Resource::Memory, usage((256.0 - left) * MIB, 256.0 * MIB, 2.0 * MIB))
    };
    let (five, thirteen, none) = (lasting(10.0), lasting(26.0), lasting(0.0));
    let unseen = Usages::default();
    for (mirrors, named, after) in [
        ([five, thirteen], "c", 13.0),
        ([thirteen, five], "b", 13.0),
        ([five, five], "b", 5.0),
        // What is not known is worth less than what ends at once.
        ([unseen, none], "c", 0.0),
        ([none, unseen], "b", 0.0),
    ] {
        let [b, c] = mirrors;
        let found = ask(&full(), &[mirror("b", b), mirror("c", c)], &[memory()], Policy::Switch).why;
        let Why::RunsOut { mirror, steps, .. } = found else { panic!("{found:?}") };
        assert_eq!((mirror, steps), (named.into(), after));
    }
}

#[test]
fn clients_and_their_growth_are_added_to_what_the_mirror_has() {
    let own = Usages::default().with(Resource::Connections, usage(50.0, 100.0, 4.0));
    let leak = cause(Subject::Resource(Resource::Connections), Cure::Move, 0.9);
    let theirs = Usages::default().with(Resource::Connections, usage(10.0, 100.0, 1.0));
    let found = ask(&own, &[mirror("b", theirs)], &[leak], Policy::Switch);
    assert!(matches!(found.why, Why::RunsOut { steps: 8.0, .. }), "{:?}", found.why);
}

#[test]
fn of_what_ends_at_the_same_time_the_first_is_named() {
    let twin = full().with(Resource::Disk, usage(87.0, 100.0, 1.0));
    let found = ask(&full(), &[mirror("b", twin)], &[memory()], Policy::Switch);
    assert!(
        matches!(found.why, Why::RunsOut { resource: Resource::Memory, steps: 13.0, .. }),
        "{:?}",
        found.why
    );
}

#[test]
fn load_comes_along_so_people_must_look() {
    let slow = cause(Subject::Feature(Feature::LatencyP99), Cure::Alert, 0.8);
    let larger = Usages::default().with(Resource::Memory, usage(1.0, 512.0 * MIB, 0.0));
    let found = ask(&full(), &[mirror("b", larger)], &[slow.clone(), memory()], Policy::Switch);
    assert_eq!((found.action, found.cure), (Action::Prepare, Some(Cure::Alert)));
    // So does half as great a cause beside the greatest, and a weak one decides nothing.
    let half = Cause { risk: 0.46, ..slow.clone() };
    let found = ask(&full(), &[mirror("b", larger)], &[memory(), half], Policy::Switch);
    assert_eq!((found.action, found.cure), (Action::Prepare, Some(Cure::Alert)));
    let weak = Cause { risk: 0.1, ..slow };
    let found = ask(&full(), &[mirror("b", larger)], &[memory(), weak], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
}

#[test]
fn no_known_cause_moves_nothing() {
    let found = ask(&full(), &[mirror("b", Usages::default())], &[], Policy::Switch);
    assert_eq!((found.action, found.why), (Action::Prepare, Why::NoCause));
}

#[test]
fn the_policy_bounds_what_is_done_but_not_what_is_written_down() {
    let larger = Usages::default().with(Resource::Memory, usage(1.0, 512.0 * MIB, 0.0));
    let mirrors = [mirror("b", larger)];
    for (policy, action) in [
        (Policy::Observe, Action::Stay),
        (Policy::Prepare, Action::Prepare),
        (Policy::Switch, Action::Switch("b".into())),
    ] {
        let found = ask(&full(), &mirrors, &[memory()], policy);
        assert_eq!(found.action, action);
        assert_eq!(found.would, Action::Switch("b".into()));
    }
    let found = ask(&full(), &[mirror("b", full())], &[memory()], Policy::Observe);
    assert_eq!((found.action, found.would), (Action::Stay, Action::Prepare));
}

#[test]
fn only_an_alarm_moves_and_the_longest_horizon_alone_does_not() {
    let larger = Usages::default().with(Resource::Memory, usage(1.0, 512.0 * MIB, 0.0));
    let (own, mirrors, causes) = (full(), [mirror("b", larger)], [memory()]);
    let with = |raised| {
        let situation =
            Situation { raised, causes: &causes, own: &own, mirrors: &mirrors, switched: None, now: now() };
        decide(&situation, &params(Policy::Switch))
    };
    assert_eq!(with([false; 3]).why, Why::Calm);
    assert_eq!(with([false; 3]).action, Action::Stay);
    assert_eq!(with([false, false, true]).why, Why::NotUrgent);
    assert_eq!(with([false, false, true]).action, Action::Prepare);
    assert_eq!(with([true, false, false]).action, Action::Switch("b".into()));
}

#[test]
fn risk_moves_nothing_again_during_the_cool_down_to_the_nanosecond() {
    let larger = Usages::default().with(Resource::Memory, usage(1.0, 512.0 * MIB, 0.0));
    let (own, mirrors, causes) = (full(), [mirror("b", larger)], [memory()]);
    let switched = now();
    let after = |passed: Duration| {
        let situation = Situation {
            raised: [true; 3],
            causes: &causes,
            own: &own,
            mirrors: &mirrors,
            switched: Some(switched),
            now: switched + passed,
        };
        decide(&situation, &params(Policy::Switch))
    };
    let cool_down = Params::default().cool_down;
    let nano = Duration::from_nanos(1);
    assert_eq!(after(cool_down - nano).why, Why::CoolDown(nano));
    assert_eq!(after(cool_down).action, Action::Switch("b".into()));
    // What no mirror would cure is told even then.
    let twin = [mirror("b", full())];
    let situation = Situation {
        raised: [true; 3],
        causes: &causes,
        own: &own,
        mirrors: &twin,
        switched: Some(switched),
        now: switched,
    };
    assert!(matches!(decide(&situation, &params(Policy::Switch)).why, Why::RunsOut { .. }));
}

fn disk() -> Cause {
    cause(Subject::Resource(Resource::Disk), Cure::Move, 0.9)
}

#[test]
fn a_mirror_on_the_same_file_system_is_no_refuge_even_if_it_does_not_fill() {
    let still = Usages::default().with(Resource::Disk, usage(97.0, 100.0, 0.0));
    let on = |device| still.drawn_from(Resource::Disk, Some(device));
    let found = ask(&on(7), &[mirror("b", on(7))], &[disk()], Policy::Switch);
    assert_eq!((found.action, found.cure), (Action::Prepare, Some(Cure::Durability)));
    assert_eq!(found.why.to_string(), "mirror b draws on the very same disk");
    let sign = cause(Subject::Feature(Feature::IoPressureRatio), Cure::Move, 0.9);
    let found = ask(&on(7), &[mirror("b", on(7))], &[sign], Policy::Switch);
    assert_eq!(found.why, Why::Shared("b".into(), Resource::Disk), "a sign of it counts as well");
    let found = ask(&on(7), &[mirror("b", on(8))], &[disk()], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
    let unknown = |usages: Usages| usages.drawn_from(Resource::Disk, None);
    let found = ask(&unknown(on(7)), &[mirror("b", unknown(on(7)))], &[disk()], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()), "unknown sources are not one source");
}

#[test]
fn what_both_share_speaks_for_neither_when_it_is_no_cause() {
    let shared = |memory: Usages| {
        let machine = usage(90.0, 100.0, 5.0);
        memory.with(Resource::HostMemory, machine).drawn_from(Resource::HostMemory, Some(1))
    };
    let larger = Usages::default().with(Resource::Memory, usage(230.0 * MIB, 512.0 * MIB, 2.0 * MIB));
    let found = ask(&shared(full()), &[mirror("b", shared(larger))], &[memory()], Policy::Switch);
    assert_eq!(found.action, Action::Switch("b".into()));
}

#[test]
fn work_comes_along_to_a_mirror_and_fills_a_twin_but_not_a_larger_one() {
    let cores = |used, limit| Usages::default().with(Resource::Cpu, usage(used, limit, 0.0));
    let cpu = cause(Subject::Resource(Resource::Cpu), Cure::Move, 0.6);
    let ask = |own: Usages, theirs: Usages| {
        ask(&own, &[mirror("b", theirs)], std::slice::from_ref(&cpu), Policy::Switch)
    };
    let found = ask(cores(0.97, 1.0), cores(0.1, 1.0));
    assert!(matches!(found.why, Why::RunsOut { same_limit: true, .. }), "{:?}", found.why);
    assert_eq!(ask(cores(0.2, 0.2), cores(0.1, 1.0)).action, Action::Switch("b".into()));
    assert_eq!(ask(cores(3.9, 4.0), cores(0.1, 8.0)).action, Action::Switch("b".into()));
}

#[test]
fn what_is_decided_and_why_has_names() {
    let policies = [Policy::Observe, Policy::Prepare, Policy::Switch];
    assert_eq!(policies.map(Policy::as_str), ["observe", "prepare", "switch"]);
    let actions = [Action::Stay, Action::Prepare, Action::Switch("b".into())];
    assert_eq!(actions.each_ref().map(Action::as_str), ["stay", "prepare", "switch"]);
    let (mirror, resource) = (|| EndpointId::from("b"), Resource::Memory);
    let reasons = [
        Why::Calm,
        Why::NotUrgent,
        Why::NoCause,
        Why::ComesAlong(Subject::Resource(Resource::Cpu)),
        Why::CoolDown(Duration::from_secs(1)),
        Why::NoMirror,
        Why::Shared(mirror(), resource),
        Why::Unseen(mirror(), resource),
        Why::RunsOut { mirror: mirror(), resource, steps: 1.0, same_limit: true },
        Why::Lasts(mirror(), 1.0),
    ];
    let names = [
        "calm",
        "not_urgent",
        "no_cause",
        "comes_along",
        "cool_down",
        "no_mirror",
        "shared",
        "unseen",
        "runs_out",
        "lasts",
    ];
    assert_eq!(reasons.each_ref().map(Why::as_str), names);
}
