//! What a server says of its limits and of where it lives.

use std::path::Path;
use std::time::Duration;

use foretoken_protocol::Control;

use super::support::{Server, eventually};

#[tokio::test]
async fn a_server_says_where_it_lives_and_how_much_cpu_it_used() {
    let server = Server::start(&["--appendonly", "yes"]).await;
    let mut control = server.control();
    let home = control.home().await.unwrap();
    assert_eq!(home.process, Some(server.id()));
    assert_eq!(home.program.as_deref(), Some("redis-server"));
    assert_eq!(home.directory.as_deref(), Some(Path::new(server.dir.path())));
    assert!(home.uptime.is_some_and(|uptime| uptime < Duration::from_secs(60)), "{home:?}");

    let before = control.capacity().await.unwrap();
    assert_eq!((before.disk_waiting, before.disk_delayed_total), (Some(0), Some(0)));
    // Half a second of work for the one thread.
    eventually("CPU time grows", || async {
        server.ask("EVAL", &["for i = 1, 1000000 do end", "0"]).await;
        let now = server.control().capacity().await.unwrap();
        let (all, commands) = (now.cpu_time? - before.cpu_time?, now.cpu_time_commands?);
        (all >= Duration::from_millis(500) && commands <= now.cpu_time?).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_log_nothing_waits_for_its_disk_and_without_permission_the_directory_is_unknown() {
    let server = Server::start(&[]).await;
    let capacity = server.control().capacity().await.unwrap();
    assert_eq!((capacity.disk_waiting, capacity.disk_delayed_total), (None, None));
    server.ask("ACL", &["SETUSER", "watcher", "on", ">secret", "+info", "+ping"]).await;
    let home = server.control_as(Some("watcher"), "secret").home().await.unwrap();
    assert_eq!((home.directory, home.process), (None, Some(server.id())));
}

#[tokio::test]
async fn whether_it_evicts_is_known_unless_it_depends_on_the_keys() {
    let server = Server::start(&["--maxmemory", "64mb"]).await;
    let mut control = server.control();
    for (policy, evicts) in [
        ("noeviction", Some(false)),
        ("allkeys-lru", Some(true)),
        ("allkeys-random", Some(true)),
        ("volatile-ttl", None),
    ] {
        server.ask("CONFIG SET", &["maxmemory-policy", policy]).await;
        assert_eq!(control.capacity().await.unwrap().memory_evicts, evicts, "{policy}");
    }
}
