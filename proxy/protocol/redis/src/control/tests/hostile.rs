//! Peers that are no Redis.

use std::time::Duration;

use foretoken_protocol::Control;
use foretoken_types::Failure;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::params;
use crate::control::client::refusal;
use crate::control::{ControlParams, RedisControl};

/// Answers every connection with `answer`, whatever is asked, and then closes it or stays silent.
async fn fake(answer: Vec<u8>, close: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let Ok(1..) = socket.read(&mut asked).await else { return };
                socket.write_all(&answer).await.ok();
                while !close && socket.read(&mut asked).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

async fn every_call_ends(answer: Vec<u8>, close: bool) {
    let port = fake(answer, close).await;
    let mut control = RedisControl::new(ControlParams { timeout: Duration::from_millis(30), ..params(port) });
    let calls = async {
        control.observe(true).await.ok();
        control.capacity().await.ok();
        control.position().await.ok();
        control.preflight().await.ok();
        control.claim(&"x".into(), Duration::from_secs(1)).await.ok();
        control.register_follower(&"x".into(), Duration::from_secs(1)).await.ok();
        control.disconnect_clients().await.ok();
        control.promote().await.ok();
    };
    tokio::time::timeout(Duration::from_secs(20), calls).await.expect("each call keeps its limit");
}

fn run(answer: Vec<u8>, close: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(every_call_ends(answer, close));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_bytes_never_panic_or_hang(
        answer in proptest::collection::vec(any::<u8>(), 0..2000),
        close in any::<bool>(),
    ) {
        run(answer, close);
    }

    #[test]
    fn random_replies_never_panic_or_hang(
        answer in "\\+OK\r\n([*$:+-](-?[0-9]{1,2})?\r\n){0,60}",
        close in any::<bool>(),
    ) {
        run(answer.into_bytes(), close);
    }
}

#[tokio::test]
async fn what_is_not_redis_is_told_as_such() {
    let port = fake(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), true).await;
    let refused = RedisControl::new(params(port)).observe(true).await.unwrap_err();
    assert_eq!(refused.failure, Failure::Other);
    assert!(refused.detail.contains("does not speak the Redis protocol"), "{refused}");
}

#[tokio::test]
async fn an_endless_reply_is_cut_off() {
    let mut answer = b"+OK\r\n*1048576\r\n".to_vec();
    answer.extend(b":1\r\n".repeat(600_000));
    let port = fake(answer, false).await;
    let refused = RedisControl::new(params(port)).position().await.unwrap_err();
    assert_eq!(refused.failure, Failure::Other);
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_no_refusal() {
    let port = fake(Vec::new(), true).await;
    assert_eq!(RedisControl::new(params(port)).observe(true).await.unwrap_err().failure, Failure::Other);
}

#[test]
fn a_server_that_repeats_a_password_is_not_quoted_with_it() {
    let text = "ERR unknown command 'AUTH', with args beginning with: 'me' 'secret' ";
    let refused = refusal("AUTH", text);
    assert_eq!(refused.detail, "AUTH was answered: ERR unknown command 'AUTH'");
}
