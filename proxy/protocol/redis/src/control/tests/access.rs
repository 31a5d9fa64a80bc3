use foretoken_protocol::{Control, Severity};
use foretoken_types::{Failure, Link, Role};

use super::support::{Server, credentials, params};
use crate::control::{ControlParams, RedisControl};

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
    assert!(finding.detail.contains("run MULTI ("), "{}", finding.detail);
    assert!(finding.detail.contains("is not seen without MULTI"), "{}", finding.detail);
    assert_eq!(server.ask("GET", &["__ft:{orders}:epoch"]).await.number(), Some(7));
}

/// The finding about permissions where the user is granted `rules`, of an endpoint beside others or alone.
async fn permissions(server: &Server, rules: &[&str], alone: bool) -> (Severity, String) {
    let reset = ["ft", "reset", "on", ">pw", "~__ft:*"];
    server.ask("ACL SETUSER", &[&reset, rules].concat()).await;
    let mut dials = vec![server.dial("a"), server.dial("b")];
    dials.truncate(if alone { 1 } else { 2 });
    let credentials = Some(credentials(Some("ft"), "pw"));
    let params = ControlParams { endpoints: dials, credentials, ..params(server.port) };
    let preflight = RedisControl::new(params).preflight().await.unwrap();
    let finding = preflight.findings.into_iter().find(|finding| finding.what == "permissions").unwrap();
    (finding.severity, finding.detail)
}

#[tokio::test]
async fn a_transaction_that_may_be_opened_and_not_executed_is_noticed() {
    let server = Server::start(&[]).await;
    let (severity, told) = permissions(&server, &["+@all", "-exec"], false).await;
    assert_eq!(severity, Severity::Blocker);
    assert!(told.contains("may not run EXEC ("), "{told}");
}

#[tokio::test]
async fn a_user_whom_mirrors_copy_as_needs_the_permissions_for_that() {
    let server = Server::start(&[]).await;
    for (rules, lacks) in [
        (&["+@all", "-replconf"][..], "may not run REPLCONF ("),
        (&["+@all", "-replconf", "-acl"], "may not run REPLCONF ("),
        (&["+@all", "-psync"], "may not run PSYNC ("),
        (&["+@all", "-replconf", "-psync"], "may not run REPLCONF, PSYNC ("),
    ] {
        let (severity, told) = permissions(&server, rules, false).await;
        assert_eq!(severity, Severity::Blocker, "{rules:?}: {told}");
        assert!(told.contains(lacks), "{rules:?}: {told}");
        assert!(told.contains("mirrors copy as this user (masteruser), by REPLCONF and PSYNC"), "{told}");
        // Nobody copies it.
        assert_eq!(permissions(&server, rules, true).await.0, Severity::Good, "{rules:?}");
    }
    // The server does not tell this user of PSYNC.
    let (severity, told) = permissions(&server, &["+@all", "-psync", "-acl"], false).await;
    assert_eq!(severity, Severity::Good, "{told}");
    let copies = server.ask("INFO", &["replication"]).await.text().unwrap();
    assert!(copies.contains("connected_slaves:0"), "no copy was begun: {copies}");
}

#[tokio::test]
async fn a_user_who_may_not_even_look_hears_of_everything_that_lacks_at_once() {
    let server = Server::start(&[]).await;
    let rules = ["ft", "on", ">pw", "~__ft:*", "+@all", "-info", "-get", "-time", "-config"];
    server.ask("ACL SETUSER", &rules).await;
    let refused = server.control_as(Some("ft"), "pw").preflight().await.unwrap_err();
    assert_eq!(refused.failure, Failure::Credentials);
    assert!(refused.detail.starts_with("the user may not run INFO, GET, TIME, CONFIG SET ("), "{refused}");
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
