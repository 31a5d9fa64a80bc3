use std::time::Duration;

use foretoken_protocol::{Claim, Control};
use foretoken_types::{Epoch, Failure, InstanceId};

use super::support::{Server, eventually};
use crate::control::value::Value;

const LONG: Duration = Duration::from_secs(60);

fn instances() -> (InstanceId, InstanceId) {
    ("first".into(), "second".into())
}

#[tokio::test]
async fn one_instance_holds_the_record_until_it_is_released_or_expires() {
    let server = Server::start(&[]).await;
    let (mut a, mut b) = (server.control(), server.control());
    let (first, second) = instances();
    assert_eq!(a.claim(&first, LONG).await, Ok(Claim::Held));
    assert_eq!(a.claim(&first, LONG).await, Ok(Claim::Held));
    assert_eq!(b.claim(&second, LONG).await, Ok(Claim::HeldBy(first.clone())));
    assert_eq!(b.observe(false).await.unwrap().owner.unwrap().instance, first);
    b.release(&second).await.expect("releasing what is not ours does nothing");
    assert_eq!(b.claim(&second, LONG).await, Ok(Claim::HeldBy(first.clone())));

    a.release(&first).await.unwrap();
    assert_eq!(b.claim(&second, LONG).await, Ok(Claim::Held));
    // A renewal also shortens: the record ends with the last life that was asked for.
    assert_eq!(b.claim(&second, Duration::from_millis(50)).await, Ok(Claim::Held));
    eventually("the record expires", || async {
        (server.control().claim(&first, LONG).await == Ok(Claim::Held)).then_some(())
    })
    .await;
    assert_eq!(b.claim(&second, LONG).await, Ok(Claim::HeldBy(first)));
}

#[tokio::test]
async fn of_many_that_start_at_once_one_gets_the_record() {
    let server = Server::start(&[]).await;
    for round in 0..20 {
        server.ask("FLUSHALL", &[]).await;
        let claims = (0..8).map(|number| {
            let (mut control, instance) = (server.control(), InstanceId::new(format!("{round}-{number}")));
            tokio::spawn(async move { control.claim(&instance, LONG).await })
        });
        let mut held = 0;
        for claim in claims.collect::<Vec<_>>() {
            held += u32::from(claim.await.unwrap().unwrap() == Claim::Held);
        }
        assert_eq!(held, 1);
    }
}

#[tokio::test]
async fn a_mirror_refuses_claims_and_markers() {
    let (one, two) = (Server::start(&[]).await, Server::start(&[]).await);
    let mut b = two.control();
    b.demote(&one.dial("one")).await.unwrap();
    let refused = b.claim(&instances().0, LONG).await.unwrap_err();
    assert_eq!(refused.failure, Failure::NotServing, "{refused}");
    assert!(refused.detail.contains("READONLY"), "{refused}");
    assert_eq!(b.mark(Epoch(3)).await.unwrap_err().failure, Failure::NotServing);
    assert_eq!(b.register_follower(&instances().0, LONG).await.unwrap_err().failure, Failure::NotServing);
    b.promote().await.unwrap();
    assert_eq!(b.claim(&instances().0, LONG).await, Ok(Claim::Held), "a refused claim leaves nothing behind");
}

#[tokio::test]
async fn the_marker_is_read_back_under_the_name_in_the_protocol() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    control.mark(Epoch(41)).await.unwrap();
    assert_eq!(control.observe(false).await.unwrap().marker, Some(Epoch(41)));
    assert_eq!(server.ask("GET", &["__ft:{orders}:epoch"]).await, Value::Bulk(b"41".to_vec()));
    for odd in ["-1", "x", ""] {
        server.ask("SET", &["__ft:{orders}:epoch", odd]).await;
        assert_eq!(control.observe(false).await.unwrap().marker, None);
    }
    server.ask("FLUSHALL", &[]).await;
    server.ask("LPUSH", &["__ft:{orders}:epoch", "1"]).await;
    assert_eq!(control.observe(false).await.unwrap().marker, None);
}

#[tokio::test]
async fn followers_are_counted_while_they_live() {
    let server = Server::start(&[]).await;
    let mut control = server.control();
    let (first, second) = instances();
    control.register_follower(&first, LONG).await.unwrap();
    control.register_follower(&first, LONG).await.unwrap();
    assert_eq!(control.observe(false).await.unwrap().followers, 1);
    control.register_follower(&second, Duration::from_millis(300)).await.unwrap();
    let Value::Integer(left) = server.ask("PTTL", &["__ft:{orders}:followers"]).await else { panic!() };
    assert!(left > 50_000, "the shorter life must not end the longer one");
    eventually("the second is forgotten", || async {
        (server.control().observe(false).await.unwrap().followers == 1).then_some(())
    })
    .await;
    control.register_follower(&first, LONG).await.unwrap();
    assert_eq!(server.ask("ZCARD", &["__ft:{orders}:followers"]).await, Value::Integer(1));
}
