use foretoken_types::BootInstant;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::{Disk, Evidence};

/// The page after `export` with the handles of one endpoint.
fn page(export: impl FnOnce(&EndpointMetrics)) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        export(&EndpointMetrics::new(&"cart".into(), &"a".into()));
    });
    handle.render()
}

/// What the page says of this endpoint; `None` where it says nothing.
fn value(page: &str, name: &str) -> Option<f64> {
    let sample = format!(r#"foretoken_health_{name}{{store="cart",endpoint="a"}} "#);
    page.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok())
}

fn shows(page: &str, expected: &[(&str, f64)]) {
    for (name, number) in expected {
        assert_eq!(value(page, name), Some(*number), "{name} in {page}");
    }
}

fn is_nan(page: &str, names: &[&str]) {
    for name in names {
        assert!(value(page, name).is_some_and(f64::is_nan), "{name} in {page}");
    }
}

#[test]
fn what_is_not_known_yet_is_no_number_or_absent() {
    let page = page(|_| ());
    is_nan(&page, &["verdict", "disk_used_bytes", "disk_size_bytes", "cpu_ratio", "cpu_throttled_ratio"]);
    assert_eq!(value(&page, "memory_limit_bytes"), None, "a limit of 0 would be a lie");
    assert!(page.contains("# HELP foretoken_health_verdict what is thought of the endpoint"), "{page}");
}

#[test]
fn a_window_without_replies_has_no_latency() {
    let mut figures = Figures {
        rate: 12.5,
        answered: 125,
        latency_p50: Some(Duration::from_millis(2)),
        latency_p99: Some(Duration::from_millis(40)),
        error_ratio: [0.25, 0.5, 0.0, 0.0, 0.0],
        connect_failures: 0,
        resets: 0,
        timeouts: 0,
        in_flight: 1,
        oldest_unanswered: Some(Duration::from_millis(1500)),
    };
    shows(
        &page(|metrics| metrics.window(&figures)),
        &[
            ("answers_per_second", 12.5),
            ("latency_p50_seconds", 0.002),
            ("latency_p99_seconds", 0.04),
            ("unavailable_ratio", 0.25),
            ("grey_ratio", 0.5),
            ("unanswered_seconds", 1.5),
        ],
    );
    (figures.latency_p50, figures.latency_p99, figures.oldest_unanswered) = (None, None, None);
    let idle = page(|metrics| metrics.window(&figures));
    is_nan(&idle, &["latency_p50_seconds", "latency_p99_seconds"]);
    shows(&idle, &[("unanswered_seconds", 0.0)]);
}

#[test]
fn a_verdict_is_a_number() {
    let (since, evidence) = (BootInstant::default(), Evidence::Loading);
    for (verdict, number) in [
        (Verdict::Up, 0.0),
        (Verdict::Suspect { since, evidence }, 1.0),
        (Verdict::Down { since, evidence }, 2.0),
    ] {
        shows(&page(|metrics| metrics.verdict(&verdict)), &[("verdict", number)]);
    }
}

#[test]
fn looks_are_counted_and_those_that_failed_by_their_failure() {
    let page = page(|metrics| {
        metrics.looked(None, Duration::from_millis(1));
        metrics.looked(Some(Failure::Timeout), Duration::from_millis(500));
        metrics.looked(Some(Failure::Timeout), Duration::from_millis(250));
    });
    shows(&page, &[("probes_total", 3.0), ("probe_seconds", 0.25)]);
    for (failure, times) in [("timeout", 2), ("refused", 0), ("other", 0)] {
        let line = format!(
            r#"foretoken_health_probe_failures_total{{store="cart",endpoint="a",failure="{failure}"}} {times}"#
        );
        assert!(page.lines().any(|told| told == line), "{line} in {page}");
    }
}

#[test]
fn what_the_store_and_its_machine_have_is_told_where_it_is_known() {
    let capacity = Capacity {
        memory_used_bytes: Some(48),
        memory_limit_bytes: Some(64),
        clients: Some(5),
        ..Capacity::default()
    };
    let host = HostFigures {
        memory_available_bytes: Some(7),
        load1: Some(0.5),
        disk: Some(Disk { used_bytes: 30, size_bytes: 100, device: 1 }),
        ..HostFigures::default()
    };
    let page = page(|metrics| {
        metrics.capacity(&capacity);
        metrics.host(&host);
        metrics.cpu(Some(0.75), Some(0.125));
    });
    shows(
        &page,
        &[
            ("memory_used_bytes", 48.0),
            ("memory_limit_bytes", 64.0),
            ("clients", 5.0),
            ("host_memory_available_bytes", 7.0),
            ("host_load1", 0.5),
            ("disk_used_bytes", 30.0),
            ("disk_size_bytes", 100.0),
            ("cpu_ratio", 0.75),
            ("cpu_throttled_ratio", 0.125),
        ],
    );
    assert_eq!(value(&page, "clients_limit"), None);
    assert_eq!(value(&page, "host_disk_available_bytes"), None);
}

#[test]
fn handles_are_shown_by_the_name_of_their_endpoint() {
    let metrics = EndpointMetrics::new(&"cart".into(), &"a".into());
    assert_eq!(format!("{metrics:?}"), r#"EndpointMetrics { endpoint: "a", .. }"#);
}
