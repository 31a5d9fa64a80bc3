//! A primary that was lost together with all its mirrors: for how long it is waited for once one of them has answered, and what
//! counts as its return.

use super::*;

const NANOSECOND: Duration = Duration::from_nanos(1);

/// It has served from `a` until now, and every mirror is silent as well.
fn bereft_of_all() -> Machine {
    let mut machine = machine();
    machine.started = Some(BootInstant::default());
    machine.now = BootInstant::default() + Duration::from_secs(100);
    machine.params.writers = Writers::ThisSidecar;
    machine.posture.primary = Some("a".into());
    for endpoint in &mut machine.endpoints {
        endpoint.verdict = Verdict::Down;
    }
    machine.begin_down("a is down".to_owned());
    machine
}

fn down(machine: &Machine) -> &Down {
    match &machine.phase {
        Phase::Down(down) => down,
        phase => panic!("{phase:?}"),
    }
}

/// `b` has answered now, so that `a` has its last chance.
fn with_a_last_chance() -> Machine {
    let mut machine = bereft_of_all();
    shows(&mut machine, "b", found(Role::Mirror { of: Some("a".into()), link: Link::Down }, "now", 1));
    for look in down(&machine).looks.clone() {
        machine.down_answered(look, Ok(Answer::Done));
    }
    machine.gather();
    assert_eq!(down(&machine).last_chance, Some(machine.now), "{:?}", machine.reason);
    machine
}

#[test]
fn it_is_waited_for_until_a_quarter_of_a_second_has_gone_by_and_not_a_moment_longer() {
    let mut machine = with_a_last_chance();
    let end = machine.now + Duration::from_millis(250);
    machine.now = end - NANOSECOND;
    machine.gather();
    assert_eq!(machine.posture.state, StoreState::Unavailable);
    machine.now = end;
    machine.gather();
    assert_eq!(machine.posture.state, StoreState::FailingOver, "{:?}", machine.reason);
}

#[test]
fn the_machine_is_woken_when_its_last_chance_ends_and_after_that_now_and_then() {
    let mut machine = with_a_last_chance();
    let (began, retry) = (machine.now, machine.params.retry);
    let end = began + retry;
    for (now, woken) in [
        (began, end),
        (began + NANOSECOND, end),
        (end - NANOSECOND, end),
        // What is due now is not still to come.
        (end, end + retry),
        (end + NANOSECOND, end + NANOSECOND + retry),
    ] {
        machine.now = now;
        assert_eq!(
            down(&machine).next_deadline(&machine),
            woken,
            "{:?} after its beginning",
            now.since(began)
        );
    }
}

#[test]
fn it_serves_again_when_health_says_that_it_is_well_or_after_one_look_that_was_its_last_chance() {
    for (verdict, last_chance, loading, serves) in [
        (Verdict::Up, false, false, true),
        (Verdict::Up, false, true, false),
        (Verdict::Down, false, false, false),
        (Verdict::Down, true, false, true),
        (Verdict::Down, true, true, false),
    ] {
        let mut machine = if last_chance { with_a_last_chance() } else { bereft_of_all() };
        machine.endpoint_mut(&"a".into()).expect("it is configured").verdict = verdict;
        shows(&mut machine, "a", Observation { loading, ..found(Role::Primary, "now", 1) });
        machine.gather();
        let expected = if serves { "serving" } else { "down" };
        let case = format!("{verdict:?}, last chance {last_chance}, loading {loading}");
        assert_eq!(machine.phase(), expected, "{case}: {:?}", machine.reason);
    }
}

#[test]
fn a_look_from_before_its_last_chance_tells_nothing() {
    let mut machine = with_a_last_chance();
    let began = machine.now;
    let endpoint = machine.endpoint_mut(&"a".into()).expect("it is configured");
    endpoint.learn(began - NANOSECOND, false, Ok(found(Role::Primary, "now", 1)));
    machine.gather();
    assert_eq!(machine.phase(), "down");
}
