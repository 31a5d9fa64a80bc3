use socket2::{Domain, SockRef, Socket, Type};

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::testing::{LIMIT, listen, story};

/// A port of `127.0.0.1` on which nobody listens; held, so that nobody else gets it.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A port that answers no connection: its queue is full, so that Linux drops what else comes, like a dead machine.
async fn deaf_port() -> (Vec<TcpStream>, Socket, SocketAddr) {
    let (socket, address) = closed_port();
    socket.listen(0).unwrap();
    let mut queued = Vec::new();
    while let Ok(filler) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(filler.unwrap());
        assert!(queued.len() < 16, "a queue of length 0 takes a few connections");
    }
    (queued, socket, address)
}

#[tokio::test]
async fn a_closed_port_and_a_missing_socket_file_count_as_refused() {
    let (_held, address) = closed_port();
    let error = Connector::plain(address.to_string().parse().unwrap(), LIMIT).connect().await.unwrap_err();
    assert!(error.is_refused() && !error.is_timeout(), "{error:?}");

    let dir = tempfile::tempdir().unwrap();
    let error = Connector::plain(Address::Unix(dir.path().join("none")), LIMIT).connect().await.unwrap_err();
    assert!(error.is_refused(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_a_timeout_and_not_a_refusal() {
    let (_queued, _socket, address) = deaf_port().await;
    let limit = Duration::from_millis(100);
    let error = Connector::plain(address.to_string().parse().unwrap(), limit).connect().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_refused(), "{}", story(&error));
}

#[tokio::test]
async fn every_address_of_a_name_is_tried_within_the_limit() {
    let (listener, _) = listen().await;
    let open = listener.local_addr().unwrap();
    let (_held, closed) = closed_port();
    let (_queued, _socket, deaf) = deaf_port().await;
    let limit = Duration::from_secs(2);
    let socket = first_of(&[closed, deaf, open], Instant::now() + limit).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), open);
}

#[tokio::test]
async fn a_name_counts_as_refused_only_if_all_its_addresses_refuse() {
    let (_held, closed) = closed_port();
    let (_queued, _socket, deaf) = deaf_port().await;
    for order in [[closed, deaf], [deaf, closed]] {
        let error = first_of(&order, Instant::now() + Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
    assert!(refused(&first_of(&[closed, closed], Instant::now() + LIMIT).await.unwrap_err()));
    assert!(!refused(&first_of(&[], Instant::now() + LIMIT).await.unwrap_err()));
}

#[tokio::test]
async fn a_name_is_resolved_by_the_system() {
    let (listener, _) = listen().await;
    let port = listener.local_addr().unwrap().port();
    let connector = Connector::plain(format!("localhost:{port}").parse().unwrap(), LIMIT);
    let (near, far) = tokio::join!(connector.connect(), listener.accept());
    assert!(near.is_ok() && far.is_ok());
}

#[tokio::test]
async fn connections_to_servers_end_when_nothing_is_acknowledged() {
    let (_listener, address) = listen().await;
    let Stream::Tcp(socket) = Connector::plain(address, LIMIT).connect().await.unwrap() else {
        panic!("TCP")
    };
    let socket = SockRef::from(&socket);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive::IDLE);
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(keepalive::UNACKNOWLEDGED_MAX));
}

/// Says `?` and wants to hear `!`; `-` means no, and `0` that nobody is behind.
#[derive(Debug)]
struct Knock;

impl Greeting for Knock {
    fn greet<'a>(&'a self, stream: &'a mut Stream) -> Greeted<'a> {
        Box::pin(async move {
            stream.write_all(b"?").await?;
            match stream.read_u8().await? {
                b'!' => Ok(()),
                b'0' => Err(Unwelcome::NobodyBehind),
                _ => Err(Unwelcome::Refused("not today".to_owned())),
            }
        })
    }
}

/// What a connector that knocks makes of a doorkeeper who says `answer`; `None`: nothing at all.
async fn knock(answer: Option<u8>, limit: Duration) -> Result<Stream, Error> {
    let (listener, address) = listen().await;
    let connector = Connector { greeting: Some(Arc::new(Knock)), ..Connector::plain(address, limit) };
    let door = async {
        let mut stream = listener.accept().await.unwrap().open(None, LIMIT).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'?');
        if let Some(answer) = answer {
            stream.write_all(&[answer]).await.unwrap();
        }
        stream
    };
    let (connected, _door) = tokio::join!(connector.connect(), door);
    connected
}

#[tokio::test]
async fn no_connection_is_handed_out_before_its_greeting_was_answered() {
    knock(Some(b'!'), LIMIT).await.unwrap();
    let refused = knock(Some(b'-'), LIMIT).await.unwrap_err();
    assert!(!refused.is_refused() && !refused.is_timeout());
    assert!(story(&refused).contains("lets nobody in: not today"), "{}", story(&refused));
    let nobody = knock(Some(b'0'), LIMIT).await.unwrap_err();
    assert!(nobody.is_refused(), "whoever is behind the door is down: {}", story(&nobody));
    let silent = knock(None, Duration::from_millis(50)).await.unwrap_err();
    assert!(
        silent.is_timeout() && story(&silent).contains("did not answer the greeting"),
        "{}",
        story(&silent)
    );
}
