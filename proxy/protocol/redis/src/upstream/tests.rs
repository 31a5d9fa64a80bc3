//! What a connection does that nobody asked anything yet, and when it gives its socket away; the test is the server.

use bytes::Bytes;
use foretoken_protocol::Blocks;
use foretoken_transport::Connector;
use foretoken_types::{Access, Address, ErrorClass};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;

/// Counts nothing.
struct Uncounted;

impl Meter for Uncounted {
    fn answered(&self, _: u32, _: Duration) {}
    fn error(&self, _: ErrorClass) {}
    fn reset(&self) {}
    fn timed_out(&self, _: u32) {}
    fn late(&self, _: u32) {}
    fn now(&self) -> BootInstant {
        BootInstant::default()
    }
    fn just_now(&self) -> BootInstant {
        BootInstant::default()
    }
    fn sent(&self, _: u32, _: BootInstant) {}
    fn settled(&self, _: u32, _: BootInstant) {}
}

/// A connection, and its server's side.
async fn connected() -> (RedisUpstream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let address = Address::Tcp { host: "127.0.0.1".into(), port };
    let stream = Connector::plain(address, Duration::from_secs(5)).connect().await.expect("connects");
    let (server, _) = listener.accept().await.expect("accepts");
    (RedisUpstream::start(stream, false, Rc::new(Uncounted)), server)
}

fn ping() -> Batch {
    Batch {
        frames: Bytes::from_static(b"PING\r\n"),
        requests: 1,
        access: Access::Read,
        carriage: Carriage::Dedicated,
        blocks: Blocks::NONE,
        any_server: false,
        quiet: false,
    }
}

/// Nothing comes of it while the connection's task has something to do.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let mut future = Pin::new(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn what_a_server_says_that_turns_a_connection_away_answers_the_first_request() {
    const WORDS: &str = "-ERR max number of clients reached\r\n";
    let test = async {
        let (upstream, mut server) = connected().await;
        server.write_all(WORDS.as_bytes()).await.expect("is taken");
        drop(server);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(upstream.send(&ping()).await.expect("is answered").first, WORDS);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_socket_is_given_away_behind_the_last_reply_and_the_last_whole_push() {
    let test = async {
        let (upstream, mut server) = connected().await;
        let reply = upstream.send(&ping());
        let mut asked = [0; 6];
        server.read_exact(&mut asked).await.expect("is sent");
        let mut given = Box::pin(upstream.hand_over());
        assert!(is_pending(&mut given).await, "a reply is outstanding");
        assert!(upstream.send(&ping()).await.is_err(), "it takes nothing more");
        server.write_all(b"+PONG\r\n>1\r\n").await.expect("is taken");
        assert_eq!(reply.await.expect("is answered").first, "+PONG\r\n");
        assert!(is_pending(&mut given).await, "a push has begun");
        server.write_all(b"+x\r\n").await.expect("is taken");
        let mut stream = given.await.expect("is given");
        server.write_all(b"+next\r\n").await.expect("is taken");
        let mut next = [0; 7];
        stream.read_exact(&mut next).await.expect("is there");
        assert_eq!(&next, b"+next\r\n");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_fence_reaches_a_connection_before_its_heir_does() {
    let test = async {
        let (upstream, _server) = connected().await;
        let _reply = upstream.send(&ping());
        let mut given = Box::pin(upstream.hand_over());
        assert!(is_pending(&mut given).await, "a reply is outstanding");
        upstream.retire(Retire::Fence);
        assert!(given.await.is_none());
        assert!(upstream.hand_over().await.is_none(), "nobody gets it later");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_socket_that_the_server_has_closed_is_given_to_nobody() {
    let test = async {
        let (upstream, mut server) = connected().await;
        let _reply = upstream.send(&ping());
        // Unread, it would take the answer away with it.
        server.read_exact(&mut [0; 6]).await.expect("is sent");
        let mut given = Box::pin(upstream.hand_over());
        assert!(is_pending(&mut given).await, "a reply is outstanding");
        server.writable().await.expect("is there");
        assert_eq!(server.try_write(b"+PONG\r\n").expect("is taken"), 7);
        drop(server);
        assert!(given.await.is_none());
    };
    LocalSet::new().run_until(test).await;
}
