use super::*;
use crate::features::Row;

/// A model that adds up what it sees: enough to see what an explanation asks it.
struct Sum;

impl Predictor for Sum {
    fn risk(&self, window: &Window) -> Result<Risk, Unknown> {
        let newest = |feature| f64::from(window.last(feature, 1).unwrap_or(0.0));
        let p = newest(Feature::LatencyP99) / 1_000.0 + newest(Feature::ConnectionsRatio) / 2.0;
        Ok(Risk::rising([0.0, p / 2.0, p]))
    }
}

struct Silent;

impl Predictor for Silent {
    fn risk(&self, _: &Window) -> Result<Risk, Unknown> {
        Err(Unknown::NotFinite)
    }
}

fn window(features: &[(Feature, f64, f64)]) -> Window {
    let mut window = Window::default();
    for step in 0..60 {
        let mut row = Row::default();
        for (feature, last, per_step) in features {
            row.set(*feature, Some(last - per_step * f64::from(59 - step)));
        }
        window.push(row);
    }
    window
}

fn plain() -> Calibration {
    Calibration::default()
}

#[test]
fn a_risk_does_not_fall_with_the_horizon() {
    assert_eq!(Risk::rising([0.4, 0.2, 0.6]).to_array(), [0.4, 0.4, 0.6]);
    assert_eq!(Risk::rising([-1.0, f64::NAN, 3.0]).to_array(), [0.0, 0.0, 1.0]);
}

#[test]
fn what_is_no_probability_is_no_risk() {
    assert_eq!(Risk::new([0.1, 0.2, 0.3]).map(Risk::to_array), Some([0.1, 0.2, 0.3]));
    for bad in [f32::NAN, f32::INFINITY, -0.01, 1.01] {
        assert_eq!(Risk::new([0.1, bad, 0.3]), None);
    }
}

#[test]
fn the_greater_of_rule_and_model_counts() {
    let calm = window(&[(Feature::ConnectionsRatio, 0.4, 0.0)]);
    let found = assess(&calm, Some(&Sum), &plain());
    assert_eq!(found.risk.map(Risk::longest), Some(0.2));
    let steep = window(&[(Feature::ConnectionsRatio, 0.9, 0.015)]);
    let found = assess(&steep, Some(&Sum), &plain());
    assert!(found.risk.expect("both know").longest() > 0.9, "the model says .45, the rule more");
    assert!(found.risk >= found.rule);
}

impl PartialOrd for Risk {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(&other.0)
    }
}

#[test]
fn without_a_model_or_with_a_mute_one_the_rule_decides() {
    let steep = window(&[(Feature::DiskRatio, 0.9, 0.01)]);
    let alone = assess(&steep, None, &plain());
    assert_eq!(alone.model, Err(Unknown::NoModel));
    assert_eq!(alone.risk, alone.rule);
    let mute = assess(&steep, Some(&Silent), &plain());
    assert_eq!(mute.model, Err(Unknown::NotFinite));
    assert_eq!(mute.risk, alone.risk);
    assert_eq!(assess(&Window::default(), Some(&Silent), &plain()).risk, None);
}

#[test]
fn causes_name_the_resource_and_when_it_ends() {
    let found = assess(&window(&[(Feature::DiskRatio, 0.9, 0.01)]), None, &plain());
    let [cause] = found.causes.as_slice() else { panic!("one cause: {found:?}") };
    assert_eq!(cause.subject, Subject::Resource(Resource::Disk));
    assert_eq!(cause.cure, Cure::Move);
    assert_eq!(cause.words, "disk at 89 % of the limit, +1.00 points a step: full in 11 steps");
}

#[test]
fn causes_that_only_the_model_sees_come_with_a_counterfactual() {
    let slow = window(&[(Feature::LatencyP99, 600.0, 10.0), (Feature::RequestRate, 50.0, 0.0)]);
    let found = assess(&slow, Some(&Sum), &plain());
    let [cause] = found.causes.as_slice() else { panic!("the rate changes nothing: {found:?}") };
    assert_eq!(cause.subject, Subject::Feature(Feature::LatencyP99));
    assert_eq!(cause.cure, Cure::Alert);
    assert_eq!(cause.words, "latency_p99 at 600.000 ms: at 10.000 the risk would be 1 %");
}

#[test]
fn one_subject_is_one_cause_and_the_greatest_comes_first() {
    let both = window(&[(Feature::ConnectionsRatio, 0.9, 0.015), (Feature::LatencyP99, 200.0, 3.0)]);
    let found = assess(&both, Some(&Sum), &plain());
    let subjects: Vec<_> = found.causes.iter().map(|cause| cause.subject.as_str()).collect();
    assert_eq!(subjects, ["connections", "latency_p99"]);
    assert!(found.causes[0].risk > found.causes[1].risk);
}

#[test]
fn a_quiet_store_has_no_causes() {
    let found = assess(&window(&[(Feature::MemoryRatio, 0.1, 0.0)]), Some(&Sum), &plain());
    assert_eq!(found.causes, []);
    assert_eq!(found.risk.map(Risk::longest), Some(0.0));
}

#[test]
fn a_cause_is_told_in_shares_of_its_limit_and_past_it_without_a_time() {
    let rising = standings(&window(&[(Feature::DiskRatio, 0.9, 0.01)]));
    let words = |used: f64, limit: f64| {
        let mut standing = rising[0];
        (standing.used, standing.limit) = (used, limit);
        by_rule(&standing).words
    };
    assert_eq!(words(1.2, 2.0), "disk at 60 % of the limit, +0.50 points a step: full in 80 steps");
    assert_eq!(words(2.0, 2.0), "disk at 100 % of the limit");
    assert_eq!(words(2.1, 2.0), "disk at 105 % of the limit");
}

#[test]
fn a_level_that_has_been_high_all_along_is_a_cause() {
    let high = window(&[(Feature::ConnectionsRatio, 0.9, 0.0)]);
    let found = by_model(&high, &Sum, Risk::rising([0.0, 0.225, 0.45]), &plain());
    let [cause] = found.as_slice() else { panic!("one feature, one cause: {found:?}") };
    assert_eq!(cause.words, "connections_ratio at 0.900 ratio: at 0.500 the risk would be 25 %");
    assert!((cause.risk - 0.2).abs() < 1e-6, "{}", cause.risk);
}

#[test]
fn a_risk_is_told_for_each_horizon() {
    let text = Risk::rising([0.1, 0.25, 0.5]).to_string();
    assert_eq!(text, "10 % in 5 steps, 25 % in 15 steps, 50 % in 30 steps");
}

#[test]
fn why_a_model_says_nothing_has_names() {
    let all = [Unknown::NoModel, Unknown::NoData, Unknown::NotFinite, Unknown::Shape, Unknown::Inference];
    assert_eq!(all.map(Unknown::as_str), ["no_model", "no_data", "not_finite", "shape", "inference"]);
}
