use foretoken_protocol::{Control, Severity};
use foretoken_types::{Failure, Link, Role};

use super::support::Server;

#[tokio::test]
async fn credentials_are_missing_wrong_or_unwanted() {
    let server = Server::start(&[]).await;
    let unwanted = server.control_as(None, "secret").observe(false).await.unwrap_err();
    assert_eq!(unwanted.failure, Failure::Credentials, "{unwanted}");
    server.ask("CONFIG SET", &["requirepass", "secret"]).await;
    let missing = server.control().observe(false).await.unwrap_err();
    assert_eq!(missing.failure, Failure::Credentials, "{missing}");
    let wrong = server.control_as(None, "sesame").observe(false).await.unwrap_err();
    assert_eq!(wrong.failure, Failure::Credentials, "{wrong}");
    assert!(!wrong.detail.contains("sesame"));
    server.control_as(None, "secret").observe(true).await.unwrap();
    server.control_as(Some("default"), "secret").observe(true).await.unwrap();
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let server = Server::start(&[]).await;
    server
        .ask(
            "ACL SETUSER",
            &["ft", "on", ">pw", "~__ft:*", "+@all", "-setrange", "-replicaof", "-config|set"],
        )
        .await;
    let mut control = server.control_as(Some("ft"), "pw");
    control.observe(false).await.unwrap();
    let refused = control.observe(true).await.unwrap_err();
    assert_eq!(refused.failure, Failure::Credentials);
    assert!(refused.detail.contains("SETRANGE"), "{refused}");
    let refused = control.promote().await.unwrap_err();
    assert_eq!(refused.failure, Failure::Credentials);
    assert!(refused.detail.contains("REPLICAOF"), "{refused}");
    let refused = control.demote(&server.dial("other")).await.unwrap_err();
    assert!(refused.detail.contains("CONFIG SET"), "{refused}");
    assert_eq!(control.observe(false).await.unwrap().role, Role::Primary);

    let preflight = control.preflight().await.unwrap();
    let finding = preflight.findings.iter().find(|finding| finding.what == "permissions").unwrap();
    assert_eq!(finding.severity, Severity::Blocker);
    assert!(finding.detail.contains("SETRANGE, REPLICAOF, CONFIG SET ("), "{}", finding.detail);
}

#[tokio::test]
async fn keys_out_of_reach_are_named() {
    let server = Server::start(&[]).await;
    server.ask("ACL SETUSER", &["ft", "on", ">pw", "~app:*", "+@all"]).await;
    let refused = server.control_as(Some("ft"), "pw").observe(false).await.unwrap_err();
    assert_eq!(refused.failure, Failure::Credentials);
    assert!(refused.detail.contains("~__ft:*"), "{refused}");
}

#[tokio::test]
async fn a_look_does_without_the_permissions_that_are_only_useful() {
    let server = Server::start(&["--save", "3600 1"]).await;
    server
        .ask("ACL SETUSER", &["ft", "on", ">pw", "~__ft:*", "+@all", "-config", "-pubsub", "-client"])
        .await;
    let mut control = server.control_as(Some("ft"), "pw");
    let seen = control.observe(true).await.unwrap();
    assert!(seen.writable);
    assert_eq!(seen.persistence, foretoken_types::Persistence::None, "unknown counts as none");
    server.ask("SAVE", &[]).await;
    let seen = server.control_as(Some("ft"), "pw").observe(true).await.unwrap();
    assert_eq!(seen.persistence, foretoken_types::Persistence::Snapshot);
}

#[tokio::test]
async fn a_user_who_may_not_open_transactions_changes_nothing_by_the_preflight() {
    let server = Server::start(&[]).await;
    server.ask("ACL SETUSER", &["ft", "on", ">pw", "~*", "+@all", "-multi"]).await;
    server.ask("SET", &["__ft:{orders}:epoch", "7"]).await;
    let preflight = server.control_as(Some("ft"), "pw").preflight().await.unwrap();
    let finding = preflight.findings.iter().find(|finding| finding.what == "permissions").unwrap();
    assert_eq!(finding.severity, Severity::Blocker);
    assert!(finding.detail.contains("MULTI"), "{}", finding.detail);
    assert_eq!(server.ask("GET", &["__ft:{orders}:epoch"]).await.number(), Some(7));
}

#[tokio::test]
async fn a_demotion_brings_the_credentials_of_the_link() {
    let user = ["--user", "ft", "on", ">pw", "~*", "&*", "+@all", "--user", "default", "off"];
    let one = Server::start_with_login(&user, "ft", "pw").await;
    let two = Server::start_with_login(&user, "ft", "pw").await;
    let mut b = two.control_as(Some("ft"), "pw");
    b.demote(&one.dial("one")).await.unwrap();
    let seen = super::roles::caught_up(&mut b, foretoken_types::Position(0)).await;
    assert!(matches!(seen.role, Role::Mirror { link: Link::Up { .. }, .. }));
}
