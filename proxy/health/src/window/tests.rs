use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> BootInstant {
    BootInstant::from_nanos(1_000_000_000_000 + ms * 1_000_000)
}

fn sample(answered: u32, latency: Duration) -> Sample {
    let mut sample = Sample::empty("s".into(), "a".into());
    sample.answered = u64::from(answered);
    sample.latency.record(latency, answered);
    sample
}

#[test]
fn figures_are_of_the_last_ten_seconds() {
    let mut window = Window::default();
    assert_eq!(window.figures(at(0)), Figures::default());
    for k in 0..300 {
        window.add(&sample(10, Duration::from_millis(1)), at(k * 100));
    }
    let figures = window.figures(at(29_999));
    assert_eq!(figures.answered, 1000);
    assert!((figures.rate - 100.0).abs() < 0.1, "{}", figures.rate);
    assert_eq!(figures.latency_p99, Some(Duration::from_millis(1)));
    let figures = window.figures(at(36_000));
    assert_eq!(figures.answered, 350, "what came from 26.5 s to 30 s");
    assert_eq!(window.figures(at(39_999)).answered, 0);
    assert_eq!(window.figures(at(39_999)).latency_p99, None);
}

#[test]
fn a_window_that_has_only_begun_shows_the_rate_all_the_same() {
    let mut window = Window::default();
    for k in 0..20 {
        window.add(&sample(100, Duration::from_micros(50)), at(k * 100));
    }
    let rate = window.figures(at(2000)).rate;
    assert!((rate - 1000.0).abs() < 0.1, "{rate}");
}

#[test]
fn errors_are_shares_by_class() {
    let mut window = Window::default();
    let mut some = sample(100, Duration::from_millis(1));
    some.errors = [10, 20, 0, 50, 0];
    some.resets = 3;
    some.connect_failures = 4;
    window.add(&some, at(0));
    let figures = window.figures(at(0));
    assert_eq!(figures.error_ratio, [0.1, 0.2, 0.0, 0.5, 0.0]);
    assert_eq!((figures.resets, figures.connect_failures), (3, 4));
}

#[test]
fn what_is_outstanding_is_forgotten_when_nobody_says_so_any_more() {
    let mut window = Window::default();
    let mut waiting = sample(0, Duration::ZERO);
    (waiting.in_flight, waiting.oldest_unanswered) = (7, Some(Duration::from_millis(90)));
    window.add(&waiting, at(0));
    // Another data thread, with nothing outstanding.
    window.add(&sample(1, Duration::from_millis(1)), at(50));
    let figures = window.figures(at(300));
    assert_eq!((figures.in_flight, figures.oldest_unanswered), (7, Some(Duration::from_millis(90))));
    let figures = window.figures(at(301));
    assert_eq!((figures.in_flight, figures.oldest_unanswered), (0, None));
}

#[test]
fn few_replies_tell_no_usual_latency() {
    let mut window = Window::default();
    window.add(&sample(99, Duration::from_millis(1)), at(0));
    assert_eq!(window.p99(100, at(0)), None);
    window.add(&sample(1, Duration::from_millis(1)), at(0));
    assert_eq!(window.p99(100, at(0)), Some(Duration::from_millis(1)));
}

#[test]
fn a_sample_from_before_a_full_window_is_dropped_whole() {
    let mut window = Window::default();
    for slot in 1..=20 {
        window.add(&sample(1, Duration::from_millis(1)), at(slot * 500));
    }
    let before = window.clone();
    window.add(&sample(1, Duration::from_millis(1)), at(400));
    assert_eq!((window.slots.len(), window.recent.len()), (SLOTS, before.recent.len()));
    assert_eq!(window.figures(at(10_000)).answered, 20);
}

#[test]
fn only_so_many_samples_of_the_present_are_kept() {
    let mut window = Window::default();
    for _ in 0..RECENT_MOST {
        window.add(&sample(1, Duration::from_millis(1)), at(0));
    }
    assert_eq!(window.recent.len(), RECENT_MOST);
    window.add(&sample(1, Duration::from_millis(1)), at(0));
    assert_eq!(window.recent.len(), RECENT_MOST);
}

proptest! {
    /// Clocks of several threads are read before their samples are queued, so instants may arrive out of order.
    #[test]
    fn a_window_is_bounded_and_its_figures_are_sane(
        samples in prop::collection::vec((0..20_000u64, any::<u32>(), any::<[u64; 5]>(), any::<u64>()), 0..600),
    ) {
        let mut window = Window::default();
        for (t, answered, errors, in_flight) in samples {
            let mut sample = sample(answered, Duration::from_millis(t % 7));
            (sample.errors, sample.in_flight, sample.resets) = (errors, in_flight, in_flight);
            window.add(&sample, at(t));
            prop_assert!(window.slots.len() <= SLOTS && window.recent.len() <= RECENT_MOST);
            let figures = window.figures(at(t));
            prop_assert!(figures.rate.is_finite() && figures.rate >= 0.0);
            prop_assert!(figures.error_ratio.iter().all(|ratio| (0.0..=1.0).contains(ratio)));
            prop_assert!(figures.latency_p50 <= figures.latency_p99);
        }
    }
}
