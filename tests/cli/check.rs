//! `foretoken check` with real servers.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::running::Sidecar;
use super::{config, dead_port, err, foretoken, out, status};
use crate::support::servers::RedisServer;

const LOG: [&str; 2] = ["--appendonly", "yes"];

#[test]
fn a_pair_with_a_log_is_manageable() {
    let a = RedisServer::start(&LOG);
    let b = RedisServer::start(&[LOG[0], LOG[1], "--replicaof", "127.0.0.1", &a.port.to_string()]);
    let dir = TempDir::new().expect("a directory");
    let file = config(dir.path(), &[a.port, b.port], "");
    let deadline = Instant::now() + Duration::from_secs(20);
    let told = loop {
        let output = foretoken(&["check", "--config", &file]);
        assert_eq!(status(&output), Some(0), "{}{}", out(&output), err(&output));
        let told = out(&output);
        // The first copy may be under way.
        if told.contains("yes   planned switchover") {
            break told;
        }
        assert!(Instant::now() < deadline, "{told}");
    };
    assert!(told.contains("yes   automatic failover"), "{told}");
    assert!(told.lines().any(|line| line == "  this store can be managed"), "{told}");
    let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut a.connection()).expect("answers");
    assert!(left.is_empty(), "a check leaves nothing behind: {left:?}");
}

#[test]
fn an_empty_server_becomes_a_mirror_and_one_with_data_of_its_own_does_not() {
    let (a, b) = (RedisServer::start(&LOG), RedisServer::start(&LOG));
    let dir = TempDir::new().expect("a directory");
    let file = config(dir.path(), &[a.port, b.port], "");
    let check = || {
        let output = foretoken(&["check", "--config", &file]);
        (status(&output), out(&output))
    };
    let set = |server: &RedisServer, key: &str| {
        let () = redis::cmd("SET").arg(key).arg(3).query(&mut server.connection()).expect("writes");
    };
    let (ended, told) = check();
    assert_eq!(ended, Some(0), "{told}");
    assert!(told.contains("b copies nobody yet, and is empty"), "{told}");

    set(&b, "mine");
    let (ended, told) = check();
    assert_eq!(ended, Some(1), "{told}");
    assert!(
        told.contains("b has keys and a, the declared primary, has none: are the roles swapped?"),
        "{told}"
    );
    assert!(told.contains("(a has 0 key(s), b has 1 key(s))") && !told.contains("FLUSHALL"), "{told}");

    // A sidecar that begins with a store goes by the marker, which tells whose data counts.
    set(&a, "theirs");
    set(&a, "__ft:{cart}:epoch");
    let (ended, told) = check();
    assert_eq!(ended, Some(0), "{told}");
    assert!(told.contains("has 1 key(s) of its own, which are not overwritten"), "{told}");
    let mut sidecar = Sidecar::start(file.clone());
    let stores = sidecar.wait("it serves", |stores| stores[0]["ready"] == true);
    assert_eq!(stores[0]["primary"], "a", "{stores:#}");
}

#[test]
fn what_keeps_a_store_from_being_managed_is_told_with_status_1() {
    let (with, without) = (RedisServer::start(&LOG), RedisServer::start(&[]));
    let mirror = RedisServer::start(&[LOG[0], LOG[1], "--replicaof", "127.0.0.1", &with.port.to_string()]);
    let locked = RedisServer::start(&[LOG[0], LOG[1], "--requirepass", "right"]);
    let dir = TempDir::new().expect("a directory");
    let password = dir.path().join("redis.password");
    std::fs::write(&password, "wrong\n").expect("a directory of ours");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let (nobody, _held) = dead_port();
    let control = "[store.control]\npassword_file = \"redis.password\"\n";
    for (ports, more, expected) in [
        (&[without.port][..], "", "BLOCK persistence              none"),
        (&[with.port, nobody], "", "nobody listens there"),
        (&[nobody, mirror.port], "", "the primary is not known: it may be a"),
        (&[locked.port], "", "the server asks for a password and none is configured"),
        (&[locked.port], control, "WRONGPASS"),
    ] {
        let output = foretoken(&["check", "--config", &config(dir.path(), ports, more)]);
        let told = out(&output);
        assert_eq!(status(&output), Some(1), "{expected}:\n{told}{}", err(&output));
        assert!(told.contains(expected), "{expected} in\n{told}");
        assert!(told.contains("this store is not ready to be managed:"), "{told}");
        assert!(!told.contains("wrong\n"), "a secret is never shown:\n{told}");
    }
    std::fs::write(&password, "right\n").expect("a file of ours");
    let output = foretoken(&["check", "--config", &config(dir.path(), &[locked.port], control)]);
    assert_eq!(status(&output), Some(0), "{}{}", out(&output), err(&output));
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let output = foretoken(&["check", "--config", &config(dir.path(), &[locked.port], control)]);
    assert_eq!(status(&output), Some(64), "{}", out(&output));
    assert!(err(&output).contains("redis.password has mode 0644"), "{}", err(&output));
}

#[test]
fn a_model_that_does_not_keep_the_contract_is_told_with_status_64_before_anything_starts() {
    let a = RedisServer::start(&LOG);
    let dir = TempDir::new().expect("a directory");
    let embedded = include_bytes!("../../models/risk/model.onnx");
    for (name, bytes, why) in [
        ("empty.onnx", &b""[..], "it is empty"),
        ("text.onnx", b"this is no model", "not a graph that can be run"),
        ("cut.onnx", &embedded[..embedded.len() / 2], "not a graph that can be run"),
        ("gone.onnx", b"", "the model can't be read"),
    ] {
        let path = dir.path().join(name);
        if name != "gone.onnx" {
            std::fs::write(&path, bytes).expect("a directory of ours");
        }
        let file = config(dir.path(), &[a.port], &format!("risk = {{ model = {path:?} }}\n"));
        for command in ["check", "run"] {
            let output = foretoken(&[command, "--config", &file]);
            let told = err(&output);
            assert!(matches!(status(&output), Some(1 | 64)), "{command} {name}: {told}");
            for part in ["store.cart.risk.model", name, why, "make train"] {
                assert!(told.contains(part), "{command}: {part} in {told}");
            }
        }
    }
}
