use super::*;

/// The page after `record`.
fn page(record: impl FnOnce()) -> String {
    let recorder = MetricsRecorder::default();
    let page = recorder.page();
    metrics::with_local_recorder(&recorder, record);
    page.render()
}

#[test]
fn durations_are_counted_in_the_buckets_of_the_samples() {
    let page = page(|| {
        metrics::describe_histogram!("test_seconds", Unit::Seconds, "how \"long\"");
        let carts = metrics::histogram!("test_seconds", "store" => "cart");
        carts.record(0.000_4);
        carts.record_many(0.000_5, 1_000_000_000);
        carts.record(7.5);
        // The same series, and another one.
        metrics::histogram!("test_seconds", "store" => "cart").record(0.000_05);
        metrics::histogram!("test_seconds", "store" => "or\"der").record(1.0);
    });
    for line in [
        "# HELP test_seconds how \"long\"",
        "# TYPE test_seconds histogram",
        r#"test_seconds_bucket{store="cart",le="0.00005"} 1"#,
        r#"test_seconds_bucket{store="cart",le="0.00035"} 1"#,
        r#"test_seconds_bucket{store="cart",le="0.0005"} 1000000002"#,
        r#"test_seconds_bucket{store="cart",le="5"} 1000000002"#,
        r#"test_seconds_bucket{store="cart",le="+Inf"} 1000000003"#,
        r#"test_seconds_count{store="cart"} 1000000003"#,
        r#"test_seconds_sum{store="cart"} 500007.50045"#,
        r#"test_seconds_count{store="or\"der"} 1"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
    assert_eq!(page.matches("# TYPE test_seconds").count(), 1);
}

#[test]
fn what_is_no_duration_is_not_counted_and_what_was_never_recorded_not_shown() {
    let page = page(|| {
        metrics::describe_histogram!("never_seconds", Unit::Seconds, "nothing");
        let odd = metrics::histogram!("odd_seconds");
        [f64::NAN, f64::INFINITY, -1.0].into_iter().for_each(|value| odd.record(value));
    });
    assert!(!page.contains("never_seconds"), "{page}");
    assert!(page.contains("odd_seconds_count 0\n"), "{page}");
}

#[test]
fn counters_and_gauges_stand_on_the_same_page_with_their_descriptions() {
    let page = page(|| {
        metrics::describe_counter!("test_total", Unit::Count, "how many");
        metrics::counter!("test_total").increment(3);
        metrics::gauge!("test_level").set(1.5);
    });
    for line in ["# HELP test_total how many", "test_total 3", "test_level 1.5"] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
}
