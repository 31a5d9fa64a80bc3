use std::time::Duration;

use foretoken_protocol::Control;
use foretoken_types::{Link, Observation, Persistence, Position, Role};

use super::support::{Server, eventually};
use crate::control::RedisControl;
use crate::control::value::Value;

/// Observes until the mirror's link is up and its position is `position`.
pub(super) async fn caught_up(mirror: &mut RedisControl, position: Position) -> Observation {
    for _ in 0..4000 {
        let seen = mirror.observe(false).await;
        if let Ok(seen) = seen
            && matches!(seen.role, Role::Mirror { link: Link::Up { .. }, .. })
            && seen.position >= position
        {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the mirror does not catch up");
}

#[tokio::test]
async fn a_primary_and_its_mirror_are_told_apart() {
    let (one, two) =
        (Server::start(&["--appendonly", "yes"]).await, Server::start(&["--save", "3600 1"]).await);
    let dials = [one.dial("one"), two.dial("two")];
    let (mut a, mut b) = (one.control_among(&dials), two.control_among(&dials));
    b.demote(&dials[0]).await.unwrap();
    caught_up(&mut b, Position(0)).await;
    one.ask("SET", &["key", "value"]).await;
    let mirror = caught_up(&mut b, Position(1)).await;
    let primary = a.observe(true).await.unwrap();
    assert_eq!((&primary.role, primary.replicas, primary.writable), (&Role::Primary, 1, true));
    assert_eq!((primary.persistence, mirror.persistence), (Persistence::Log, Persistence::Snapshot));
    assert_eq!((primary.previous_history, primary.managed_by), (None, None));
    assert!(!primary.loading && primary.marker.is_none() && primary.owner.is_none());
    assert!(
        matches!(mirror.role, Role::Mirror { of: Some(of), link: Link::Up { .. } } if of == "one".into())
    );
    assert_eq!(mirror.history, primary.history);
    assert_ne!(mirror.run_id, primary.run_id);
    assert_eq!(b.position().await.unwrap(), a.position().await.unwrap());
    assert!(!b.observe(true).await.unwrap().writable, "a mirror is read-only");
    b.promote().await.unwrap();
    b.promote().await.expect("promoting a primary is fine");
}

#[tokio::test]
async fn a_mirror_keeps_position_and_history_when_its_link_goes_down() {
    let (mut one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let mut b = two.control_among(&[one.dial("one")]);
    b.demote(&one.dial("one")).await.unwrap();
    caught_up(&mut b, Position(0)).await;
    one.ask("SET", &["key", "value"]).await;
    let position = one.control().position().await.unwrap().position;
    let before = caught_up(&mut b, position).await;
    one.kill();
    let after = loop {
        let seen = b.observe(true).await.unwrap();
        if matches!(seen.role, Role::Mirror { link: Link::Down, .. }) {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // The primary may have sent a ping or so after the look before.
    assert!(after.position >= before.position);
    assert_eq!(after.history, before.history);
    // A primary that never answers leaves the data and its place in history as they were, too.
    let dead = foretoken_protocol::Dial { port: super::support::free_port(), ..one.dial("gone") };
    b.demote(&dead).await.unwrap();
    let seen = b.observe(false).await.unwrap();
    assert_eq!((seen.position, seen.history), (after.position, after.history));
    assert_eq!(seen.role, Role::Mirror { of: None, link: Link::Down });
}

#[tokio::test]
async fn roles_are_exchanged_without_a_full_copy() {
    let (one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let dials = [one.dial("one"), two.dial("two")];
    let (mut a, mut b) = (one.control_among(&dials), two.control_among(&dials));
    b.demote(&dials[0]).await.unwrap();
    caught_up(&mut b, Position(0)).await;
    one.ask("SET", &["key", "value"]).await;
    let position = a.position().await.unwrap().position;
    let old_history = caught_up(&mut b, position).await.history;
    assert_eq!(two.ask("INFO", &["stats"]).await.text().unwrap().matches("sync_full:0").count(), 1);

    for round in 0..4 {
        let (from, to, of) =
            if round % 2 == 0 { (&mut a, &mut b, &dials[1]) } else { (&mut b, &mut a, &dials[0]) };
        from.pause_writes(Duration::from_secs(5)).await.unwrap();
        let end = from.position().await.unwrap().position;
        while to.position().await.unwrap().position < end {}
        from.demote(of).await.unwrap();
        to.promote().await.unwrap();
        from.resume_writes().await.unwrap();
        from.disconnect_clients().await.unwrap();
        let seen = to.observe(true).await.unwrap();
        assert!(seen.writable && seen.role == Role::Primary);
        let (history, good_to) = seen.previous_history.clone().unwrap();
        if round == 0 {
            assert_eq!(history, old_history);
        }
        assert!(good_to >= end && good_to <= seen.position);
        let mirror = caught_up(from, seen.position).await;
        assert_eq!(mirror.history, seen.history);
    }
    // Round 0 attached `one` to `two`; every attachment after the first must have been a partial resync.
    assert!(two.ask("INFO", &["stats"]).await.text().unwrap().contains("sync_full:0"));
    assert!(one.ask("INFO", &["stats"]).await.text().unwrap().contains("sync_full:1"));
}

#[tokio::test]
async fn a_pause_keeps_writes_waiting_until_it_is_ended() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    control.resume_writes().await.expect("fine without a pause");
    control.pause_writes(Duration::from_secs(60)).await.unwrap();
    let write = server.ask("SET", &["key", "value"]);
    tokio::pin!(write);
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut write).await;
    assert!(waited.is_err(), "the write waits");
    assert_eq!(server.ask("GET", &["key"]).await, Value::Nil);
    control.position().await.expect("looks go on");
    control.resume_writes().await.unwrap();
    assert_eq!(write.await, Value::Simple("OK".into()));
}

#[tokio::test]
async fn ordinary_clients_are_disconnected_and_mirrors_are_not() {
    let (one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let (mut a, mut b) = (one.control(), two.control());
    b.demote(&one.dial("one")).await.unwrap();
    caught_up(&mut b, Position(0)).await;
    let mut other = one.control();
    other.observe(false).await.unwrap();
    a.observe(false).await.unwrap();
    let replicas = || one.ask("INFO", &["replication"]);
    assert!(replicas().await.text().unwrap().contains("connected_slaves:1"));
    assert!(a.disconnect_clients().await.unwrap() >= 1);
    assert!(replicas().await.text().unwrap().contains("connected_slaves:1"));
    // The connection that was closed under it is replaced without a word.
    other.observe(false).await.unwrap();
    assert_eq!(a.disconnect_clients().await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_sentinel_watches_is_reported_as_managed() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    assert_eq!(control.observe(false).await.unwrap().managed_by, None);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sentinel.conf");
    let text = format!("sentinel monitor orders 127.0.0.1 {} 1\n", server.port);
    std::fs::write(&file, text).unwrap();
    let sentinel = Server::start_sentinel(dir, &file).await;
    let managed = loop_until_managed(&server).await;
    assert_eq!(managed, "sentinel");
    drop(sentinel);
}

async fn loop_until_managed(server: &Server) -> String {
    eventually("Sentinel subscribes", || async {
        server.control().observe(false).await.ok().and_then(|seen| seen.managed_by)
    })
    .await
}

#[tokio::test]
async fn cluster_mode_is_reported_as_managed() {
    let bus = super::support::free_port().to_string();
    let server = Server::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
    let seen = server.control().observe(true).await.unwrap();
    assert_eq!(seen.managed_by.as_deref(), Some("cluster"));
}

#[tokio::test]
async fn a_fenced_primary_tells_what_it_had() {
    let (one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let mut old = one.control();
    one.ask("SET", &["key", "value"]).await;
    let before = old.observe(false).await.unwrap();
    let had = old.fence(&two.dial("two"), Duration::from_secs(5)).await.unwrap().unwrap();
    assert_eq!((had.history, had.position), (before.history, before.position));
    let again = old.fence(&two.dial("two"), Duration::from_secs(5)).await.unwrap();
    assert_eq!(again, None, "it was a mirror by then");
}
