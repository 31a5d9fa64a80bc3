//! Help, bad arguments, bad configurations, and sidecars that are not there.

use tempfile::TempDir;

use super::{config, dead_port, err, foretoken, out, status};
use crate::support::servers::RedisServer;

const USAGE: Option<i32> = Some(64);
const UNREACHABLE: Option<i32> = Some(69);

#[test]
fn every_command_has_help() {
    let top = foretoken(&["--help"]);
    assert_eq!(status(&top), Some(0));
    let text = out(&top);
    let commands: Vec<_> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What goes on over several lines is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for expected in ["run", "check", "status", "switchover"] {
        assert!(commands.contains(&expected), "{expected} is not among {commands:?}");
    }
    for command in commands.into_iter().filter(|command| *command != "help") {
        let help = foretoken(&[command, "--help"]);
        assert_eq!(status(&help), Some(0), "{command}");
        assert!(out(&help).contains(&format!("Usage: foretoken {command}")), "{}", out(&help));
        assert_eq!(err(&help), "", "help is no fault");
    }
    for code in ["64  bad arguments", "69  no sidecar", "75  the switchover"] {
        assert!(text.contains(code), "{code} in\n{text}");
    }
    let version = foretoken(&["--version"]);
    assert_eq!(status(&version), Some(0));
    assert!(out(&version).starts_with(concat!("foretoken ", env!("CARGO_PKG_VERSION"))), "{}", out(&version));
}

#[test]
fn arguments_that_make_no_sense_are_told_with_status_64() {
    for arguments in [
        &[][..],
        &["walk"],
        &["run"],
        &["run", "--primary", "no-url"],
        &["run", "--primary", "redis://127.0.0.1:1", "--listen", "nowhere"],
        &["check"],
        &["status", "--admin", "nowhere"],
        &["status"],
        &["run", "--config", "x", "--log-level", "loud"],
        &["run", "--primary", "redis://127.0.0.1:1", "--log-level", "warning"],
        &["switchover"],
    ] {
        let output = foretoken(arguments);
        assert_eq!(status(&output), USAGE, "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
        assert!(!err(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_bad_configuration_is_told_with_all_its_faults_and_their_lines() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("bad.toml");
    let text = "[data]\nthreds = 1\n\
        [[store]]\nname = \"A b\"\nprotocol = \"redis\"\nlisten = [\"nowhere\"]\nhold_max = \"1s\"\n\
        [[store.endpoint]]\nname = \"a\"\nurl = \"redis://user:hunter2@h:1\"\nrole = \"boss\"\n";
    std::fs::write(&file, text).expect("a directory of ours");
    let file = file.display().to_string();
    for arguments in [
        &["check", "--config", &file][..],
        &["run", "--config", &file],
        &["status", "--config", &file],
        &["switchover", "cart", "--config", &file],
    ] {
        let output = foretoken(arguments);
        let told = err(&output);
        assert_eq!(status(&output), USAGE, "{told}");
        assert_eq!(out(&output), "");
        for (line, part) in [
            (2, "did you mean threads?"),
            (4, "is not a name"),
            (6, "nowhere"),
            (7, "switchover.hold_deadline"),
            (10, "url"),
            (11, "write one of: \"primary\", \"mirror\""),
        ] {
            let at = format!("bad.toml:{line}: ");
            assert!(told.lines().any(|l| l.contains(&at) && l.contains(part)), "{at}{part} in\n{told}");
        }
        assert!(!told.contains("hunter2"), "a credential is never shown:\n{told}");
    }
    let missing = foretoken(&["check", "--config", "/nonexistent/foretoken.toml"]);
    assert_eq!(status(&missing), USAGE);
    assert!(err(&missing).contains("/nonexistent/foretoken.toml: can't be read"), "{}", err(&missing));
}

#[test]
fn a_secret_that_can_not_be_read_is_told_with_its_key_and_both_files() {
    let dir = TempDir::new().expect("a directory");
    let (port, _held) = dead_port();
    let service =
        "[[service]]\nname = \"shop\"\nsecret_file = \"none\"\n[[service.grant]]\nstore = \"cart\"\n";
    for (more, key) in [
        ("[store.control]\npassword_file = \"none\"\n", "store.cart.control.password_file"),
        ("auth = \"stored\"\n[store.login]\npassword_file = \"none\"\n", "store.cart.login.password_file"),
        (service, "service.shop.secret_file"),
    ] {
        let file = config(dir.path(), &[port], more);
        let secret = dir.path().join("none").display().to_string();
        let output = foretoken(&["run", "--config", &file]);
        let told = err(&output);
        assert_eq!(status(&output), USAGE, "{told}");
        for part in [
            &format!("foretoken: {file}: {key}: "),
            &secret,
            "can't be read",
            "correct the path",
            "No such file",
        ] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
    }
}

#[test]
fn a_sidecar_that_is_not_there_is_told_with_status_69() {
    let dir = TempDir::new().expect("a directory");
    let (port, _held) = dead_port();
    let socket = dir.path().join("admin.sock").display().to_string();
    let tcp = format!("127.0.0.1:{port}");
    let unix = format!("unix:{socket}");
    for admin in [&socket, &unix, &tcp] {
        for arguments in [&["status", "--admin", admin][..], &["switchover", "cart", "--admin", admin]] {
            let output = foretoken(arguments);
            let told = err(&output);
            assert_eq!(status(&output), UNREACHABLE, "{told}");
            assert_eq!(out(&output), "");
            let address = if *admin == tcp { &tcp } else { &socket };
            assert!(told.contains("no sidecar answers") && told.contains(address.as_str()), "{told}");
        }
    }
}

#[test]
fn who_is_no_sidecar_is_told_apart() {
    let server = RedisServer::start(&[]);
    let output = foretoken(&["status", "--admin", &format!("127.0.0.1:{}", server.port)]);
    assert_eq!(status(&output), UNREACHABLE, "{}", err(&output));
    assert!(err(&output).contains("does not speak as a sidecar does"), "{}", err(&output));
}

#[test]
fn a_report_that_can_not_be_written_is_told_before_anything_is_started() {
    let dir = TempDir::new().expect("a directory");
    let report = dir.path().join("missing").join("report.html");
    let output = foretoken(&["demo", "--report", report.to_str().expect("UTF-8")]);
    assert_eq!(status(&output), Some(1));
    assert_eq!(out(&output), "");
    let words = err(&output);
    assert!(words.contains("missing/report.html can't be written") && words.contains("--report"), "{words}");
}
