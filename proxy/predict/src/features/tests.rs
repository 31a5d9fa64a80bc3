use foretoken_health::{Disk, Quota};
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
    assert!(!row.is_empty());
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
        memory_pressure_percent: Some(25.0),
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
        ..Readings::default()
    });
    let near = |feature, value: f32| {
        let found = row.get(feature).expect("it was read");
        assert!((found - value).abs() < 1e-5, "{feature:?}: {found}");
    };
    near(Feature::MemoryRatio, 0.75);
    near(Feature::EvictionRate, 10.0);
    near(Feature::HostMemoryRatio, 0.75);
    near(Feature::IoPressureRatio, 0.125);
    near(Feature::MemoryPressureRatio, 0.25);
    near(Feature::ErrorRatio, 0.3);
    near(Feature::ConnectFailureRatio, 0.1);
    near(Feature::LatencyP99, 20.0);
    for unknown in [Feature::ConnectionsRatio, Feature::RejectedRate, Feature::DiskRatio, Feature::LatencyP50]
    {
        assert_eq!(row.get(unknown), None, "{unknown:?}");
    }
}

fn near(found: Option<f32>, value: f32) {
    assert!(found.is_some_and(|found| (found - value).abs() < 1e-5), "{found:?} is not {value}");
}

#[test]
fn the_nearer_limit_of_cpu_counts_and_a_restart_leaves_it_unknown() {
    let used = |all, commands| Capacity {
        cpu_time: Some(Duration::from_secs(all)),
        cpu_time_commands: Some(Duration::from_secs(commands)),
        ..Capacity::default()
    };
    let quota = |cores| HostFigures {
        cpu_quota: Some(Quota { cores, throttled: None, group: 1 }),
        ..HostFigures::default()
    };
    let (before, now) = (used(10, 5), used(28, 14));
    let minute = Duration::from_secs(20);
    let cpu = |host: Option<&HostFigures>, before: &Capacity| {
        let readings =
            Readings { capacity: Some(&now), before: Some((before, minute)), host, ..Readings::default() };
        (readings.cores(), Row::measured(&readings).get(Feature::CpuRatio))
    };
    near(cpu(None, &before).1, 0.45);
    assert_eq!(cpu(Some(&quota(4.0)), &before).0, Some(Cores { used: 0.45, limit: 1.0 }));
    assert_eq!(cpu(Some(&quota(1.0)), &before).0, Some(Cores { used: 0.9, limit: 1.0 }));
    near(cpu(Some(&quota(0.5)), &before).1, 1.8);
    near(cpu(Some(&quota(0.91)), &before).1, 1.0);
    near(cpu(Some(&quota(0.92)), &before).1, 0.9 / 0.92);
    assert_eq!(cpu(None, &used(30, 20)).1, None, "it has started again");
    let told_less = Capacity { cpu_time_commands: None, ..before };
    near(cpu(None, &told_less).1, 0.9);
    let busy = Capacity { cpu_time: Some(Duration::from_secs(4)), cpu_time_commands: None, ..before };
    assert_eq!(cpu(Some(&quota(4.0)), &busy).0, Some(Cores { used: 1.2, limit: 1.0 }), "more than one core");
    assert_eq!(cpu(None, &Capacity::default()).1, None);
}

#[test]
fn time_kept_from_running_is_counted_once() {
    let figures = |throttled, waited, stopped, group| HostFigures {
        cpu_quota: Some(Quota { cores: 1.0, throttled: Some(Duration::from_secs(throttled)), group }),
        cpu_waited: Some(Duration::from_secs(waited)),
        cpu_stopped: Some(Duration::from_secs(stopped)),
        ..HostFigures::default()
    };
    let kept = |before: HostFigures, now: HostFigures| {
        let before = Some((&before, Duration::from_secs(10)));
        let readings = Readings { host: Some(&now), host_before: before, ..Readings::default() };
        Row::measured(&readings).get(Feature::CpuThrottledRatio)
    };
    near(kept(figures(5, 5, 5, 1), figures(5, 5, 5, 1)), 0.0);
    near(kept(figures(5, 5, 5, 1), figures(8, 7, 5, 1)), 0.3);
    near(kept(figures(5, 5, 5, 1), figures(8, 9, 6, 1)), 0.5);
    near(kept(figures(5, 5, 5, 1), figures(50, 50, 50, 1)), 1.0);
    near(kept(figures(5, 5, 5, 1), figures(9, 6, 5, 2)), 0.1);
    assert_eq!(kept(HostFigures::default(), figures(5, 5, 5, 1)), None);
    let stopped =
        |seconds| HostFigures { cpu_stopped: Some(Duration::from_secs(seconds)), ..HostFigures::default() };
    near(kept(stopped(5), stopped(6)), 0.1);
    let other = HostFigures { cpu_quota: None, cpu_stopped: None, ..figures(0, 1, 0, 1) };
    assert_eq!(kept(figures(5, 5, 5, 1), other), None, "another process");
}

#[test]
fn disk_lag_and_the_word_on_eviction_are_taken_as_they_are() {
    let delayed = |total| Capacity { disk_delayed_total: Some(total), ..Capacity::default() };
    let host = HostFigures {
        disk: Some(Disk { used_bytes: 30, size_bytes: 120, device: 7 }),
        ..HostFigures::default()
    };
    let now = Capacity { disk_waiting: Some(1), memory_evicts: Some(false), ..delayed(9) };
    let readings = Readings {
        capacity: Some(&now),
        before: Some((&delayed(4), Duration::from_secs(1))),
        host: Some(&host),
        lag: Some(Duration::from_millis(1_500)),
        ..Readings::default()
    };
    let row = Row::measured(&readings);
    near(row.get(Feature::DiskRatio), 0.25);
    near(row.get(Feature::DiskPending), 6.0);
    near(row.get(Feature::ReplicationLag), 1.5);
    near(row.get(Feature::MemoryEvicts), 0.0);
    let first = Row::measured(&Readings { before: None, ..readings });
    near(first.get(Feature::DiskPending), 1.0);
    let without_log = Capacity::default();
    let row = Row::measured(&Readings { capacity: Some(&without_log), ..readings });
    assert_eq!((row.get(Feature::DiskPending), row.get(Feature::MemoryEvicts)), (None, None));
}

#[test]
fn a_silent_endpoint_has_no_share_of_errors() {
    let figures = Figures::default();
    let row = Row::measured(&Readings { traffic: Some(&figures), ..Readings::default() });
    assert_eq!(row.get(Feature::ErrorRatio), None);
    assert_eq!(row.get(Feature::ConnectFailureRatio), None);
    assert_eq!(row.get(Feature::TimeoutRatio), None);
    assert_eq!(row.get(Feature::RequestRate), Some(0.0));
    let stuck = Figures { answered: 1, timeouts: 3, ..Figures::default() };
    let row = Row::measured(&Readings { traffic: Some(&stuck), ..Readings::default() });
    near(row.get(Feature::TimeoutRatio), 0.75);
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
fn a_window_is_empty_until_a_row_comes_and_when_it_was_cleared() {
    let mut window = Window::default();
    assert!(window.is_empty() && window.newest().is_none());
    window.push(row(0.25));
    window.push(row(0.5));
    assert_eq!(window.newest().and_then(|newest| newest.get(Feature::MemoryRatio)), Some(0.5));
    assert!(!window.is_empty());
    window.clear();
    assert!(window.is_empty() && window.newest().is_none());
}

#[test]
fn a_limit_of_zero_is_none() {
    assert_eq!(
        (share(Some(5), Some(0)), share(Some(5), None), share(Some(5), Some(10))),
        (None, None, Some(0.5))
    );
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
