//! What a listener does when the process has no descriptors left. Alone in its process: the limit is the process's.

use std::time::Duration;

use foretoken_transport::{Connector, Error, Listener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn a_listener_without_descriptors_reports_it_and_goes_on() {
    let limit = Duration::from_secs(10);
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), 0o600).await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let _client = Connector::plain(address, limit).connect().await.unwrap();

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    for _ in 0..3 {
        let error = listener.accept().await.unwrap_err();
        assert!(matches!(error, Error::Accept(_)), "{error:?}");
    }

    hoard.clear();
    setrlimit(Resource::Nofile, before).unwrap();
    let client = tokio::time::timeout(limit, listener.accept()).await.unwrap();
    assert!(client.is_ok(), "the client that waited in the kernel's queue is served: {client:?}");
}
