use foretoken_protocol::{Control, Preflight, Severity};

use super::support::Server;
use crate::control::value::Value;

/// Severity and text of one finding.
fn finding<'a>(preflight: &'a Preflight, what: &str) -> Option<(Severity, &'a str)> {
    preflight.findings.iter().find(|f| f.what == what).map(|f| (f.severity, f.detail.as_str()))
}

fn severity(preflight: &Preflight, what: &str) -> Option<Severity> {
    finding(preflight, what).map(|(severity, _)| severity)
}

#[tokio::test]
async fn a_pair_that_is_set_up_well_has_only_good_findings() {
    let well = ["--appendonly", "yes", "--repl-backlog-size", "64mb", "--maxmemory", "1gb"];
    let (one, two) = (Server::start(&well).await, Server::start(&well).await);
    let dials = [one.dial("a"), two.dial("b")];
    let mut mirror = two.control_among(&dials);
    mirror.demote(&dials[0]).await.unwrap();
    super::roles::caught_up(&mut mirror, foretoken_types::Position(0)).await;
    for control in [&mut one.control_among(&dials), &mut mirror] {
        let preflight = control.preflight().await.unwrap();
        assert!(preflight.server.starts_with("redis "));
        assert!(preflight.version.len() >= 3);
        let bad: Vec<_> = preflight.findings.iter().filter(|f| f.severity != Severity::Good).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}

#[tokio::test]
async fn each_weakness_is_found_with_its_weight() {
    let weak = [
        "--replica-serve-stale-data",
        "no",
        "--replica-read-only",
        "no",
        "--min-replicas-to-write",
        "1",
        "--protected-mode",
        "no",
    ];
    let server = Server::start(&weak).await;
    let preflight = server.control_among(&[server.dial("a")]).preflight().await.unwrap();
    for (what, expected) in [
        ("version", Severity::Good),
        ("management", Severity::Good),
        ("role", Severity::Good),
        ("writes", Severity::Warning),
        ("replicas", Severity::Good),
        ("permissions", Severity::Good),
        ("persistence", Severity::Blocker),
        ("replica-serve-stale-data", Severity::Warning),
        ("replica-read-only", Severity::Blocker),
        ("repl-backlog-size", Severity::Warning),
        ("min-replicas-to-write", Severity::Warning),
        ("maxmemory", Severity::Warning),
        ("protected-mode", Severity::Warning),
    ] {
        assert_eq!(severity(&preflight, what), Some(expected), "{what}");
    }
    server.ask("CONFIG SET", &["save", "60 1"]).await;
    let preflight = server.control().preflight().await.unwrap();
    assert_eq!(severity(&preflight, "persistence"), Some(Severity::Warning));
    server.ask("CONFIG SET", &["appendonly", "yes"]).await;
    server.ask("CONFIG SET", &["appendfsync", "no"]).await;
    let preflight = server.control().preflight().await.unwrap();
    assert_eq!(severity(&preflight, "persistence"), Some(Severity::Good));
    assert_eq!(severity(&preflight, "appendfsync"), Some(Severity::Warning));
}

#[tokio::test]
async fn unknown_and_missing_mirrors_are_found() {
    let (one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let dials = [one.dial("a"), two.dial("b")];
    let preflight = one.control_among(&dials).preflight().await.unwrap();
    assert_eq!(
        finding(&preflight, "replicas"),
        Some((Severity::Warning, "0 of 1 configured mirrors are attached"))
    );
    let mut mirror = two.control();
    mirror.demote(&dials[0]).await.unwrap();
    super::roles::caught_up(&mut mirror, foretoken_types::Position(0)).await;
    let preflight = one.control_among(&dials[..1]).preflight().await.unwrap();
    let (severity, detail) = finding(&preflight, "replicas").unwrap();
    assert!(severity == Severity::Warning && detail.contains(&two.port.to_string()), "{detail}");
    let (severity, _) = finding(&mirror.preflight().await.unwrap(), "role").unwrap();
    assert_eq!(severity, Severity::Warning, "it copies a server that is not configured");
}

#[tokio::test]
async fn the_password_of_the_link_is_missed_and_never_told() {
    let server = Server::start(&[]).await;
    server.ask("CONFIG SET", &["requirepass", "sesame"]).await;
    let mut control = server.control_as(None, "sesame");
    let preflight = control.preflight().await.unwrap();
    assert_eq!(severity(&preflight, "masterauth"), Some(Severity::Warning));
    control.demote(&server.dial("a")).await.unwrap();
    let preflight = control.preflight().await.unwrap();
    assert_eq!(finding(&preflight, "masterauth"), Some((Severity::Good, "set")));
    assert!(!format!("{preflight:?} {control:?}").contains("sesame"));
}

#[tokio::test]
async fn a_preflight_changes_nothing() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    control.mark(foretoken_types::Epoch(5)).await.unwrap();
    control.preflight().await.unwrap();
    let seen = control.observe(true).await.unwrap();
    assert_eq!((seen.marker, seen.role), (Some(foretoken_types::Epoch(5)), foretoken_types::Role::Primary));
    assert_eq!(server.ask("DBSIZE", &[]).await, Value::Integer(1));
    assert_eq!(server.ask("SET", &["not", "paused"]).await, Value::Simple("OK".into()));
}
