use super::*;

const STEP: Duration = Duration::from_secs(60);

fn alarms() -> Alarms {
    let thresholds = Thresholds::new([0.5, 0.5, 0.5]).expect("levels between 0 and 1");
    Alarms::new(thresholds, 5 * STEP)
}

/// Plays one risk a step for the last horizon, and tells for which steps it was alarmed.
fn play(alarms: &mut Alarms, risks: &[f64]) -> String {
    let mut said = String::new();
    for (step, risk) in (1..).zip(risks) {
        let risk = (*risk >= 0.0).then(|| Risk::rising([0.0, 0.0, *risk]));
        let raised = alarms.step(risk, BootInstant::default() + step * STEP);
        assert_eq!(raised, alarms.raised());
        assert!(!raised[0] && !raised[1], "the shorter horizons were never at risk");
        said.push(if raised[2] { '!' } else { '.' });
    }
    said
}

#[test]
fn an_alarm_begins_at_its_level_and_ends_at_six_tenths_of_it() {
    assert_eq!(play(&mut alarms(), &[0.49, 0.5, 0.4, 0.31, 0.3, 0.29, 0.31]), ".!!!!..");
}

#[test]
fn an_alarm_that_ended_does_not_begin_again_during_the_cool_down() {
    assert_eq!(play(&mut alarms(), &[0.6, 0.1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]), "!.....!!");
}

#[test]
fn a_risk_beyond_doubt_does_not_wait_for_the_cool_down() {
    assert_eq!(play(&mut alarms(), &[0.6, 0.1, 0.74, 0.75, 0.4]), "!..!!");
}

#[test]
fn what_is_unknown_changes_nothing_at_first_and_ends_an_alarm_in_the_end() {
    let unknown = [[0.6].as_slice(), &[-1.0; 16]].concat();
    assert_eq!(play(&mut alarms(), &unknown), format!("!{}.", "!".repeat(15)));
    let broken = [[0.6].as_slice(), &[-1.0; 15], &[0.4], &[-1.0; 15]].concat();
    assert_eq!(play(&mut alarms(), &broken), "!".repeat(32));
    assert_eq!(play(&mut alarms(), &[-1.0; 30]), ".".repeat(30));
}

#[test]
fn levels_are_between_none_and_all() {
    for level in [0.0, 1.0, -0.1, 1.5, f32::NAN] {
        let refused = Thresholds::new([0.5, level, 0.5]);
        assert!(matches!(refused, Err(BadThresholds::Level(_))), "{level}");
    }
    assert!(matches!(Thresholds::parse("blend = 1", true), Err(BadThresholds::Malformed(_))));
    let text = "[blend]\nenter = [0.1, 0.2, 0.3]\n[rule]\nenter = [0.4, 0.5, 0.6]";
    assert_eq!(Thresholds::parse(text, true).expect("well formed").enter(), [0.1, 0.2, 0.3]);
    assert_eq!(Thresholds::parse(text, false).expect("well formed").enter(), [0.4, 0.5, 0.6]);
}

#[test]
fn the_embedded_levels_can_be_read() {
    for with_model in [false, true] {
        let levels = Thresholds::embedded(with_model).expect("they come with the program").enter();
        assert!(levels.iter().all(|level| *level > 0.01), "{levels:?}");
    }
}

#[test]
fn a_level_in_percent_is_moved_to_where_levels_may_be() {
    for (percent, level) in [(0, 0.01), (1, 0.01), (50, 0.5), (99, 0.99), (100, 0.99), (255, 0.99)] {
        assert_eq!(Thresholds::same(percent).enter(), [level; 3], "{percent} %");
    }
}

#[test]
fn with_other_settings_an_alarm_stands_and_ends_by_the_new_level() {
    let mut alarms = alarms();
    assert_eq!(play(&mut alarms, &[0.5]), "!");
    alarms.configure(Thresholds::same(80), Duration::ZERO);
    assert_eq!(alarms.thresholds(), Thresholds::same(80));
    assert_eq!(play(&mut alarms, &[0.49, 0.47, 0.79, 0.8]), "!..!", "and there is no cool-down any more");
}
