use proptest::prelude::*;

use super::*;
use crate::features::Row;

fn window(feature: Feature, values: impl IntoIterator<Item = Option<f64>>) -> Window {
    let mut window = Window::default();
    for value in values {
        let mut row = Row::default();
        row.set(feature, value);
        window.push(row);
    }
    window
}

/// 60 steps that end at `last` and rise by `per_step`.
fn ramp(feature: Feature, last: f64, per_step: f64) -> Window {
    window(feature, (0..60).map(|step| Some(last - per_step * f64::from(59 - step))))
}

fn only(window: &Window) -> Standing {
    let mut all = standings(window);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn flag(window: &mut Window, feature: Feature, value: f64, used: f64) {
    let mut row = Row::default();
    row.set(feature, Some(value));
    row.set(Feature::MemoryRatio, Some(used));
    window.push(row);
}

#[test]
fn a_ramp_names_its_resource_and_the_steps_left() {
    for resource in Resource::ALL {
        let standing = only(&ramp(resource.feature(), 0.8, 0.01));
        assert_eq!(standing.resource, resource);
        // The level is the median of three steps, so one step behind.
        let left = standing.steps_left().expect("it rises");
        assert!((left - 21.0).abs() < 1e-3, "{left}");
    }
}

#[test]
fn the_risk_is_one_half_where_the_limit_is_met_at_the_horizon() {
    let [five, fifteen, thirty] = only(&ramp(Feature::DiskRatio, 0.86, 0.01)).risk();
    assert!((fifteen - 0.5).abs() < 0.01, "15 steps are left: {fifteen}");
    assert!(five < 0.01 && thirty > 0.9, "{five} {thirty}");
}

#[test]
fn a_level_near_the_limit_without_a_trend_is_a_small_risk() {
    let still = only(&ramp(Feature::ConnectionsRatio, 0.97, 0.0));
    assert!(still.risk()[2] < 0.01, "{:?}", still.risk());
    assert_eq!(still.steps_left(), None);
    let noisy =
        window(Feature::ConnectionsRatio, (0..60).map(|s| Some(if s % 2 == 0 { 0.95 } else { 0.99 })));
    let risk = only(&noisy).risk()[0];
    assert!((0.2..=0.5).contains(&risk), "its own noise reaches the limit: {risk}");
}

#[test]
fn memory_of_a_store_that_evicts_does_not_end() {
    let mut says = ramp(Feature::MemoryRatio, 0.97, 0.005);
    assert!(only(&says).risk()[1] > 0.9);
    flag(&mut says, Feature::MemoryEvicts, 1.0, 0.975);
    assert_eq!(only(&says).risk(), [0.0; 3]);
    assert_eq!(only(&says).steps_left(), None);
    let mut does = ramp(Feature::MemoryRatio, 0.97, 0.005);
    flag(&mut does, Feature::EvictionRate, 3.0, 0.975);
    assert_eq!(only(&does).risk(), [0.0; 3]);
    let mut refuses = ramp(Feature::MemoryRatio, 0.97, 0.005);
    flag(&mut refuses, Feature::MemoryEvicts, 0.0, 0.975);
    assert!(only(&refuses).risk()[1] > 0.9);
}

#[test]
fn at_the_limit_the_risk_is_high_whatever_the_trend() {
    let standing = only(&ramp(Feature::DiskRatio, 1.05, -0.001));
    assert!(standing.risk().iter().all(|risk| *risk > 0.98));
    let busy = only(&ramp(Feature::CpuRatio, 1.05, -0.001));
    assert!(busy.risk().iter().all(|risk| (0.59..0.6).contains(risk)), "a busy CPU is slow first");
}

#[test]
fn a_quarter_of_nonsense_does_not_move_the_trend() {
    let broken = (0..60)
        .map(|step: u32| Some(if step.is_multiple_of(4) { 0.0 } else { 0.3 + 0.01 * f64::from(step) }));
    let standing = only(&window(Feature::DiskRatio, broken));
    assert!((standing.per_step() - 0.01).abs() < 0.004, "{}", standing.per_step());
}

#[test]
fn what_falls_or_is_hardly_known_is_no_risk() {
    assert!(only(&ramp(Feature::DiskRatio, 0.9, -0.001)).risk()[2] < 0.01);
    let few = window(Feature::DiskRatio, [Some(0.5), Some(0.6), Some(0.7), Some(0.8)]);
    assert!(only(&few).risk()[2] < 0.01, "four points are no trend");
    assert!(standings(&Window::default()).is_empty());
    let mut stale = ramp(Feature::DiskRatio, 0.99, 0.01);
    stale.skip(3);
    assert!(standings(&stale).is_empty(), "nothing was read in the last three steps");
}

#[test]
fn gaps_do_not_make_a_trend_steeper() {
    let gaps = (0..60).map(|step: u32| step.is_multiple_of(3).then(|| 0.2 + 0.01 * f64::from(step)));
    let standing = only(&window(Feature::DiskRatio, gaps));
    assert!((standing.per_step() - 0.01).abs() < 1e-6, "{}", standing.per_step());
}

proptest! {
    #[test]
    fn risks_are_probabilities_that_grow_with_the_horizon(
        values in prop::collection::vec(prop::option::of(0.0..1.2f64), 1..80)
    ) {
        for standing in standings(&window(Feature::ConnectionsRatio, values)) {
            let [five, fifteen, thirty] = standing.risk();
            prop_assert!(0.0 <= five && five <= fifteen && fifteen <= thirty && thirty < 1.0);
        }
    }
}

/// A sure trend per step over the last 15 steps and the 45 before.
fn two_paces(long: impl Fn(f64) -> f64, late: impl Fn(f64) -> f64) -> Standing {
    let step = |step: u32| f64::from(step);
    let before = (0..45).map(|at| Some(long(step(at))));
    let after = (0..15).map(|at| Some(late(step(at))));
    only(&window(Feature::DiskRatio, before.chain(after)))
}

#[test]
fn the_surer_trend_counts_and_of_two_alike_the_late_one() {
    let zigzag = |at: f64, level: f64| if at % 2.0 == 0.0 { level } else { level + 0.05 };
    let near = |standing: &Standing, per_step: f64| {
        let found = standing.per_step();
        assert!((found - per_step).abs() < 0.002, "{found} instead of {per_step}");
    };
    near(&two_paces(|at| zigzag(at, 0.1), |at| 0.1 + 0.02 * at), 0.02);
    near(&two_paces(|at| 0.1 + 0.01 * at, |at| zigzag(at, 0.6)), 0.01);
    near(&two_paces(|at| 0.1 + 0.001 * at, |at| 0.2 + 0.02 * at), 0.02);
}

#[test]
fn a_trend_is_as_sure_as_more_pairs_rise_than_fall() {
    let sureness = |values: [f64; 5]| {
        let newest_first: Vec<(f64, f64)> =
            values.iter().rev().enumerate().map(|(ago, value)| (-index(ago), *value)).collect();
        trend(&newest_first).expect("five points are enough").sureness
    };
    assert_eq!(sureness([1.0, 2.0, 3.0, 4.0, 5.0]), 1.0);
    assert_eq!(sureness([1.0; 5]), 0.0);
    assert_eq!(sureness([5.0, 4.0, 3.0, 2.0, 1.0]), 0.0, "what falls is not sure to rise");
    // Of ten pairs eight rise, and two are level.
    assert!((sureness([0.0, 0.0, 1.0, 1.0, 2.0]) - 0.8).abs() < 1e-9);
    assert!(trend(&[(0.0, 4.0), (-1.0, 3.0), (-2.0, 2.0), (-3.0, 1.0)]).is_none(), "four are not");
}

#[test]
fn a_store_that_could_evict_and_does_not_ends() {
    let mut idle = ramp(Feature::MemoryRatio, 0.97, 0.005);
    flag(&mut idle, Feature::EvictionRate, 0.0, 0.975);
    assert!(only(&idle).risk()[1] > 0.9);
}

#[test]
fn the_noise_of_a_level_is_three_of_its_spreads_and_a_little() {
    let noisy =
        window(Feature::ConnectionsRatio, (0..60).map(|s| Some(if s % 2 == 0 { 0.95 } else { 0.99 })));
    let standing = only(&noisy);
    let left = standing.limit - standing.used;
    let expected = 0.5 * logistic(4.0 * (1.0 - left / (3.0 * standing.spread + 0.003)));
    assert!((standing.spread - 0.04).abs() < 0.005, "{}", standing.spread);
    assert!((standing.risk()[0] - expected).abs() < 1e-9, "{:?} instead of {expected}", standing.risk());
}
