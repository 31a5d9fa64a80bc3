use foretoken_types::Capacity;

use super::*;

fn row(memory: f64) -> Row {
    let mut row = Row::default();
    row.set(Feature::MemoryRatio, Some(memory));
    row
}

#[test]
fn a_row_is_unknown_until_somebody_says_otherwise() {
    let mut row = Row::default();
    assert!(row.is_empty());
    row.set(Feature::DiskRatio, Some(0.5));
    assert_eq!(row.get(Feature::DiskRatio), Some(0.5));
    assert_eq!(row.get(Feature::MemoryRatio), None);
    row.set(Feature::DiskRatio, None);
    assert!(row.is_empty());
}

#[test]
fn values_are_clipped_and_what_is_no_number_is_unknown() {
    let mut row = Row::default();
    row.set(Feature::MemoryRatio, Some(7.0));
    row.set(Feature::ErrorRatio, Some(-0.5));
    row.set(Feature::LatencyP99, Some(f64::INFINITY));
    row.set(Feature::LatencyP50, Some(f64::NAN));
    assert_eq!(row.get(Feature::MemoryRatio), Some(2.0));
    assert_eq!(row.get(Feature::ErrorRatio), Some(0.0));
    assert_eq!(row.get(Feature::LatencyP99), None);
    assert_eq!(row.get(Feature::LatencyP50), None);
}

#[test]
fn readings_become_shares_and_rates() {
    let before = Capacity { evicted_total: Some(100), rejected_total: Some(9), ..Capacity::default() };
    let now = Capacity {
        memory_used_bytes: Some(30),
        memory_limit_bytes: Some(40),
        clients: Some(5),
        // Zero stands for no limit.
        clients_limit: Some(0),
        evicted_total: Some(700),
        // It went back: the store has started again.
        rejected_total: Some(3),
        ..Capacity::default()
    };
    let host = HostFigures {
        memory_available_bytes: Some(25),
        memory_total_bytes: Some(100),
        io_pressure_percent: Some(12.5),
        ..HostFigures::default()
    };
    let figures = Figures {
        rate: 50.0,
        answered: 90,
        connect_failures: 10,
        error_ratio: [0.1, 0.2, 0.4, 0.1, 0.1],
        latency_p99: Some(Duration::from_millis(20)),
        ..Figures::default()
    };
    let row = Row::measured(&Readings {
        traffic: Some(&figures),
        capacity: Some(&now),
        before: Some((&before, Duration::from_secs(60))),
        host: Some(&host),
    });
    let near = |feature, value: f32| {
        let found = row.get(feature).expect("it was read");
        assert!((found - value).abs() < 1e-5, "{feature:?}: {found}");
    };
    near(Feature::MemoryRatio, 0.75);
    near(Feature::EvictionRate, 10.0);
    near(Feature::HostMemoryRatio, 0.75);
    near(Feature::IoPressureRatio, 0.125);
    near(Feature::ErrorRatio, 0.3);
    near(Feature::ConnectFailureRatio, 0.1);
    near(Feature::LatencyP99, 20.0);
    for unknown in [Feature::ConnectionsRatio, Feature::RejectedRate, Feature::DiskRatio, Feature::LatencyP50]
    {
        assert_eq!(row.get(unknown), None, "{unknown:?}");
    }
}

#[test]
fn a_silent_endpoint_has_no_share_of_errors() {
    let figures = Figures::default();
    let row = Row::measured(&Readings { traffic: Some(&figures), ..Readings::default() });
    assert_eq!(row.get(Feature::ErrorRatio), None);
    assert_eq!(row.get(Feature::ConnectFailureRatio), None);
    assert_eq!(row.get(Feature::RequestRate), Some(0.0));
}

#[test]
fn the_window_keeps_the_newest_rows_in_order() {
    let mut window = Window::default();
    for step in 0..100 {
        window.push(row(f64::from(step) / 100.0));
    }
    assert_eq!(window.len(), WINDOW);
    let series: Vec<_> = window.series(Feature::MemoryRatio).collect();
    assert_eq!(series[0], (0, 0.99));
    assert_eq!(series[WINDOW - 1], (WINDOW - 1, 0.4));
}

#[test]
fn steps_without_a_row_are_unknown_and_count() {
    let mut window = Window::default();
    window.push(row(0.5));
    window.skip(3);
    window.push(row(0.6));
    let series: Vec<_> = window.series(Feature::MemoryRatio).collect();
    assert_eq!(series, [(0, 0.6), (4, 0.5)]);
    window.skip(usize::MAX);
    assert_eq!(window.len(), WINDOW);
    assert_eq!(window.series(Feature::MemoryRatio).count(), 0);
}

#[test]
fn last_looks_back_only_so_far() {
    let mut window = Window::default();
    window.push(row(0.5));
    window.skip(3);
    assert_eq!(window.last(Feature::MemoryRatio, 4), Some(0.5));
    assert_eq!(window.last(Feature::MemoryRatio, 3), None);
}

#[test]
fn the_input_of_a_short_history_ends_with_it() {
    let mut window = Window::default();
    window.push(row(0.25));
    window.push(Row::default());
    let input = window.to_input();
    assert_eq!(input.len(), WINDOW * FEATURES);
    let known: Vec<_> = input.iter().enumerate().filter(|(_, v)| **v != MISSING).collect();
    assert_eq!(known, [((WINDOW - 2) * FEATURES + Feature::MemoryRatio.index(), &0.25)]);
}

#[test]
fn a_constant_replaces_only_what_was_known() {
    let mut window = Window::default();
    window.push(row(0.25));
    window.push(Row::default());
    window.push(row(0.75));
    let calm = window.with_constant(Feature::MemoryRatio, 0.1);
    assert_eq!(calm.series(Feature::MemoryRatio).collect::<Vec<_>>(), [(0, 0.1), (2, 0.1)]);
}
