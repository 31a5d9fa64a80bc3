//! What the user of the control connections may do, and has to: the rule in `docs/operations.md` is all of it, and no more.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::running::Sidecar;
use super::{config, err, foretoken, out, status};
use crate::support::servers::RedisServer;

const DOCUMENT: &str = include_str!("../../docs/operations.md");
/// Nothing is worse without them but what is known: the name of a connection, and whether `PSYNC` may be run.
const COURTESIES: [&str; 2] = ["+client|setname", "+acl|dryrun"];

/// The rule of the document in its words, from the name of the user on. Its password is `PASSWORD`.
fn rule() -> Vec<&'static str> {
    let line = DOCUMENT.lines().find(|line| line.trim().starts_with("user foretoken on >PASSWORD "));
    line.expect("the document has the rule").trim().split(' ').skip(1).collect()
}

/// A server with a user of that rule, and another one for applications; nobody else may do anything.
fn server() -> RedisServer {
    let app = ["app", "on", ">app", "~*", "&*", "+@all"];
    let nobody = ["default", "off"];
    let users = [&["--appendonly", "yes", "--user"][..], &rule(), &["--user"], &app, &["--user"], &nobody];
    RedisServer::start(&users.concat())
}

fn app(server: &RedisServer) -> redis::Connection {
    let url = format!("redis://app:app@127.0.0.1:{}", server.port);
    redis::Client::open(url).expect("a URL").get_connection().expect("it runs")
}

/// A configuration whose control connections are that user's.
fn configured(dir: &Path, ports: &[u16]) -> String {
    let password = dir.join("redis.password");
    std::fs::write(&password, "PASSWORD\n").expect("a directory of ours");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    config(dir, ports, "[store.control]\nuser = \"foretoken\"\npassword_file = \"redis.password\"\n")
}

#[test]
fn with_the_rule_of_the_document_a_store_is_managed_and_its_old_primary_becomes_a_mirror() {
    let (a, b) = (server(), server());
    let dir = TempDir::new().expect("a directory");
    let file = configured(dir.path(), &[a.port, b.port]);
    let checked = foretoken(&["check", "--config", &file]);
    assert_eq!(status(&checked), Some(0), "{}{}", out(&checked), err(&checked));
    let granted = out(&checked).lines().filter(|line| line.contains("permissions")).count();
    assert_eq!(granted, 2, "each as it should be: {}", out(&checked));
    assert!(!out(&checked).contains("may not run"), "{}", out(&checked));

    let mut sidecar = Sidecar::start(file.clone());
    sidecar.wait("both servers are whole", |stores| stores[0]["automatic_failover"] == true);
    let moved = foretoken(&["switchover", "cart", "--to", "b", "--config", &file]);
    assert_eq!(status(&moved), Some(0), "{}{}", out(&moved), err(&moved));
    sidecar.wait("the old primary copies the new one", |stores| {
        let a = &stores[0]["endpoints"][0];
        stores[0]["primary"] == "b" && a["copies"] == "b" && a["link"] == "up"
    });
    for server in [&a, &b] {
        let log: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut app(server)).expect("answers");
        assert!(log.is_empty(), "nothing was refused: {log:?}");
    }
}

#[test]
fn each_permission_of_the_document_is_missed_by_name_when_it_lacks() {
    let (a, b) = (server(), server());
    let dir = TempDir::new().expect("a directory");
    let file = configured(dir.path(), &[a.port, b.port]);
    let granted: Vec<_> = rule().into_iter().filter(|word| word.starts_with('+')).collect();
    assert!(COURTESIES.iter().all(|courtesy| granted.contains(courtesy)), "{granted:?}");
    for permission in granted.into_iter().filter(|permission| !COURTESIES.contains(permission)) {
        let name = permission.trim_start_matches('+');
        let grant = |change: &str| {
            let mut rule = redis::cmd("ACL");
            let () = rule.arg(&["SETUSER", "foretoken", change]).query(&mut app(&a)).expect("a user");
        };
        grant(&format!("-{name}"));
        let checked = foretoken(&["check", "--config", &file]);
        let expected = format!("the user may not run {}", name.replace('|', " ").to_uppercase());
        assert!(out(&checked).contains(&expected), "{expected:?} is not in\n{}", out(&checked));
        grant(permission);
    }
}

#[test]
fn all_that_lacks_is_told_in_one_run() {
    let server = server();
    let dir = TempDir::new().expect("a directory");
    let file = configured(dir.path(), &[server.port]);
    for (lacks, expected) in [
        (&["-get", "-exec", "-time"][..], "the user may not run EXEC, GET, TIME ("),
        (&["-info"], "the user may not run EXEC, INFO, GET, TIME ("),
    ] {
        let mut rule = redis::cmd("ACL");
        let () = rule.arg(&["SETUSER", "foretoken"]).arg(lacks).query(&mut app(&server)).expect("a user");
        let checked = foretoken(&["check", "--config", &file]);
        assert_eq!(status(&checked), Some(1), "{}{}", out(&checked), err(&checked));
        assert!(out(&checked).contains(expected), "{expected:?} is not in\n{}", out(&checked));
    }
}
