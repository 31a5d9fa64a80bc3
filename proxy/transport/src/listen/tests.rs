use std::os::unix::fs::PermissionsExt;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Connector;
use crate::testing::{LIMIT, listen};

fn unix(dir: &tempfile::TempDir) -> (Address, PathBuf) {
    let path = dir.path().join("ft.sock");
    (Address::Unix(path.clone()), path)
}

fn kind(result: Result<Listener, Error>) -> io::ErrorKind {
    match result {
        Err(Error::Listen { source, .. }) => source.kind(),
        other => panic!("not a refusal to listen: {other:?}"),
    }
}

#[tokio::test]
async fn a_unix_socket_has_the_permissions_that_were_asked_for_and_goes_with_its_listener() {
    let dir = tempfile::tempdir().unwrap();
    let (address, path) = unix(&dir);
    for mode in [0o600, 0o660, 0o777] {
        let listener = Listener::bind(&address, mode).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(listener.local_addr(), None);
        drop(listener);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn bytes_pass_through_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _) = unix(&dir);
    let listener = Listener::bind(&address, 0o600).await.unwrap();
    let mut near = Connector::plain(address, LIMIT).connect().await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer().to_string(), "unix");
    let mut far = accepted.open(None, LIMIT).await.unwrap();
    near.write_all(b"x").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
    drop(far);
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_socket_file_that_a_dead_process_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (address, path) = unix(&dir);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves the file, as a killed process would");
    let listener = Listener::bind(&address, 0o600).await.unwrap();
    let (near, far) = tokio::join!(UnixStream::connect(&path), listener.accept());
    assert!(near.is_ok() && far.is_ok());
}

#[tokio::test]
async fn a_second_listener_on_a_live_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (address, path) = unix(&dir);
    let first = Listener::bind(&address, 0o600).await.unwrap();
    assert_eq!(kind(Listener::bind(&address, 0o600).await), io::ErrorKind::AddrInUse);
    // The question itself is a client that went away; the next one is served.
    let (near, far) = tokio::join!(UnixStream::connect(&path), first.accept());
    assert!(near.is_ok() && far.is_ok());

    let (tcp, address) = listen().await;
    assert_eq!(kind(Listener::bind(&address, 0o600).await), io::ErrorKind::AddrInUse);
    drop(tcp);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (address, path) = unix(&dir);
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(kind(Listener::bind(&address, 0o600).await), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_listener_that_ends_late_leaves_the_file_of_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let (address, path) = unix(&dir);
    let old = Listener::bind(&address, 0o600).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _new = Listener::bind(&address, 0o600).await.unwrap();
    drop(old);
    assert!(path.exists());
}

#[tokio::test]
async fn clients_over_tcp_are_probed_when_they_fall_silent() {
    let (listener, address) = listen().await;
    let (near, far) = tokio::join!(TcpStream::connect(address.to_string()), listener.accept());
    let Ok(Accepted::Tcp(far)) = far else { panic!("TCP") };
    assert_eq!(far.peer_addr().unwrap(), near.unwrap().local_addr().unwrap());
    let socket = SockRef::from(&far);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive::IDLE);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive::INTERVAL);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive::PROBES);
}
