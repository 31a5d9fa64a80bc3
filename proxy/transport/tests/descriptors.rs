//! What a listener and a connector do when the process has no descriptors left. Alone in its process: the limit is the process's.

use std::time::Duration;

use foretoken_transport::{Connector, Error, Listener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn without_descriptors_it_is_told_whose_fault_that_is_and_a_listener_goes_on() {
    let limit = Duration::from_secs(10);
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), 0o600).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _client =
        Connector::plain(format!("127.0.0.1:{port}").parse().unwrap(), limit).connect().await.unwrap();

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    for _ in 0..3 {
        let error = listener.accept().await.unwrap_err();
        assert!(matches!(error, Error::Accept(_)) && error.is_open_files(), "{error:?}");
        assert_eq!(error.in_full(), "accept a client: Too many open files (os error 24)");
    }
    // A resolver that can't open its files only says that the name is unknown.
    for host in ["127.0.0.1", "localhost"] {
        let address = format!("{host}:{port}").parse().unwrap();
        let error = Connector::plain(address, limit).connect().await.unwrap_err();
        assert!(error.is_open_files() && !error.is_refused() && !error.is_timeout(), "{error:?}");
    }

    hoard.clear();
    setrlimit(Resource::Nofile, before).unwrap();
    let client = tokio::time::timeout(limit, listener.accept()).await.unwrap();
    assert!(client.is_ok(), "the client that waited in the kernel's queue is served: {client:?}");
}
