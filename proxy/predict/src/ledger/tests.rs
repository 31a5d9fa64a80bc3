use super::*;
use crate::features::Row;

const TOLD: [f64; 3] = [0.01, 0.03, 0.06];

fn risk() -> Option<Risk> {
    Some(Risk::rising(TOLD))
}

fn told_now(ledger: &Ledger) -> [f32; 3] {
    ledger.calibration().apply(Risk::rising(TOLD)).to_array()
}

#[test]
fn without_a_record_nothing_is_moved() {
    assert_eq!(Ledger::default().calibration(), Calibration::default());
}

#[test]
fn a_store_that_never_fails_hears_smaller_numbers() {
    let mut ledger = Ledger::default();
    for _ in 0..10_000 {
        ledger.step(risk());
    }
    for (now, told) in told_now(&ledger).into_iter().zip(TOLD) {
        assert!(f64::from(now) < 0.2 * told, "{now} of {told}");
    }
    assert!(ledger.open.len() <= OPEN_MOST, "what is open is bounded");
}

#[test]
fn a_store_that_fails_as_often_as_told_hears_the_same() {
    let mut ledger = Ledger::default();
    // A failure in 1 / 0.002 steps is within 5 steps of one in a hundred.
    for step in 1..=20_000 {
        ledger.step(risk());
        if step % 500 == 0 {
            ledger.failed();
        }
    }
    for (now, told) in told_now(&ledger).into_iter().zip(TOLD) {
        assert!((f64::from(now) / told - 1.0).abs() < 0.1, "{now} of {told}");
    }
}

#[test]
fn a_failure_counts_for_the_steps_within_each_horizon_before_it() {
    let mut ledger = Ledger::default();
    for _ in 0..20 {
        ledger.step(risk());
    }
    ledger.failed();
    let near = |sum: f64, wanted: f64| assert!((sum - wanted).abs() < 0.01, "{sum} is not {wanted}");
    near(ledger.happened[0], 5.0);
    near(ledger.happened[1], 15.0);
    near(ledger.happened[2], 20.0);
    near(ledger.predicted[0], 20.0 * 0.01);
    near(ledger.predicted[2], 20.0 * 0.06);
}

#[test]
fn what_a_change_of_primary_cut_off_counts_for_nothing() {
    let mut ledger = Ledger::default();
    for _ in 0..5 {
        ledger.step(risk());
    }
    ledger.moved();
    assert_eq!(ledger.calibration(), Calibration::default());
    for _ in 0..40 {
        ledger.step(None);
    }
    assert_eq!(ledger.calibration(), Calibration::default(), "silence is no prediction");
}

#[test]
fn clients_call_it_a_failure_after_three_bad_steps() {
    let mut window = Window::default();
    let mut push = |feature, value| {
        let mut row = Row::default();
        row.set(feature, Some(value));
        window.push(row);
        has_failed(&window)
    };
    assert!(!push(Feature::ErrorRatio, 0.05));
    assert!(!push(Feature::LatencyP99, 250.0));
    assert!(push(Feature::ConnectFailureRatio, 0.5));
    assert!(!push(Feature::ErrorRatio, 0.04));
}

#[test]
fn what_happened_long_ago_counts_for_less() {
    let mut ledger = Ledger::default();
    for _ in 0..20 {
        ledger.step(risk());
    }
    ledger.failed();
    let before = ledger.happened[0];
    // A month of minutes leaves one in e.
    for _ in 0..43_200 {
        ledger.step(None);
    }
    assert!((ledger.happened[0] / before - (-1.0_f64).exp()).abs() < 0.01, "{}", ledger.happened[0]);
}
