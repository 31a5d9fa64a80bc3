use proptest::prelude::*;

use super::*;

fn near(found: Risk, wanted: [f32; 3]) {
    for (found, wanted) in found.to_array().into_iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-4, "{found} is not {wanted}");
    }
}

#[test]
fn no_offset_changes_nothing() {
    let risk = Risk::rising([0.0, 0.3, 1.0]);
    assert_eq!(Calibration::default().apply(risk), risk);
}

#[test]
fn the_base_rate_of_the_place_moves_the_odds() {
    // Odds of 1 : 9 where it was trained and 1 : 99 here: every odds shrinks by 11.
    let calibration = Calibration::from_base_rates([0.1; 3], [0.01; 3]);
    near(calibration.apply(Risk::rising([0.1, 0.5, 0.9])), [0.01, 1.0 / 12.0, 9.0 / 20.0]);
}

#[test]
fn certainty_stays_near_certain_and_finite() {
    let calibration = Calibration::from_base_rates([0.1; 3], [0.01; 3]);
    near(calibration.apply(Risk::rising([0.0, 1.0, 1.0])), [0.0, 0.99999, 0.99999]);
}

#[test]
fn shares_that_are_none_change_nothing() {
    for rate in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(Calibration::from_base_rates([rate; 3], [0.1; 3]), Calibration::default());
        assert_eq!(Calibration::from_base_rates([0.1; 3], [rate; 3]), Calibration::default());
    }
}

#[test]
fn a_record_of_false_alarms_lowers_the_risk_and_a_short_one_hardly() {
    let told = Risk::rising([0.2, 0.2, 0.2]);
    let short = Calibration::default().learned(0, 1.0, 0.0, 20.0).apply(told).to_array()[0];
    let long = Calibration::default().learned(0, 500.0, 0.0, 20.0).apply(told).to_array()[0];
    assert!(short > 0.18 && long < 0.02, "{short} {long}");
    assert_eq!(Calibration::default().learned(0, 0.0, 0.0, 20.0), Calibration::default());
    assert_eq!(Calibration::default().learned(9, 500.0, 0.0, 20.0), Calibration::default());
    for (predicted, happened, prior) in [
        (f64::NAN, 0.0, 20.0),
        (f64::INFINITY, 0.0, 20.0),
        (-1.0, 0.0, 20.0),
        (500.0, -1.0, 20.0),
        (500.0, 0.0, 0.0),
    ] {
        let learned = Calibration::default().learned(0, predicted, happened, prior);
        assert_eq!(learned, Calibration::default(), "{predicted} {happened} {prior}");
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_a_risk(
        p in prop::array::uniform3(0.0..=1.0f64), trained in 1e-9..1.0f64, here in 1e-9..1.0f64
    ) {
        let offsets = Calibration::from_base_rates([trained, 0.1, here], [here, 0.2, trained]);
        let [five, fifteen, thirty] = offsets.apply(Risk::rising(p)).to_array();
        prop_assert!(0.0 <= five && five <= fifteen && fifteen <= thirty && thirty <= 1.0);
    }
}
