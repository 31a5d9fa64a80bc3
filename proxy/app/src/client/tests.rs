//! The client against the real listener, over real sockets.

use std::sync::Arc;

use foretoken_admin::model::{GateNews, SwitchoverOutcome};
use foretoken_admin::{Listeners, MetricsRecorder, Params, Stores, SwitchoverError, serve};
use foretoken_types::Epoch;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::*;

struct Fake;

/// Ends in a space: names are escaped on their way.
const STORE: &str = "the cart ";

impl Fake {
    fn report(request: &SwitchoverRequest, outcome: SwitchoverOutcome) -> SwitchoverReport {
        SwitchoverReport {
            store: STORE.into(),
            from: Some("a".into()),
            to: request.to.clone(),
            dry_run: request.dry_run,
            outcome,
            checks: Vec::new(),
            steps: Vec::new(),
            hold_us: Some(2900),
            epoch: Epoch(5),
            detail: "told by a fake".into(),
        }
    }
}

#[async_trait::async_trait]
impl Stores for Fake {
    fn list(&self) -> Vec<StoreStatus> {
        vec![StoreStatus::unknown(STORE.into())]
    }

    async fn switchover(
        &self,
        store: &StoreId,
        request: SwitchoverRequest,
    ) -> Result<SwitchoverReport, SwitchoverError> {
        match (store.as_str(), request.to.as_ref().map(|to| to.as_str())) {
            (STORE, Some("broken")) => Ok(Self::report(&request, SwitchoverOutcome::Aborted)),
            (STORE, _) => Ok(Self::report(&request, SwitchoverOutcome::Done)),
            _ => Err(SwitchoverError::UnknownStore(store.clone())),
        }
    }

    async fn gate_news(&self, _: &StoreId, _: Option<Epoch>, _: Duration) -> Option<GateNews> {
        None
    }

    fn ready(&self) -> Readiness {
        Readiness { started: true, live: true, ready: false, reasons: vec!["no primary".into()] }
    }

    fn exit(&self) {}
}

/// A client over the socket, a client over TCP, and the path of the secret.
async fn open(dir: &Path) -> (Client, Client, PathBuf) {
    let socket = dir.join("admin.sock");
    let secret = dir.join("admin.secret");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let listeners = Listeners { unix: Some(UnixListener::bind(&socket).unwrap()), tcp: Some(tcp), tls: None };
    let params = Params { secret: Some(Secret::load_or_create(&secret).unwrap()), ..Params::default() };
    let page = MetricsRecorder::default().page();
    tokio::spawn(serve(listeners, params, Arc::new(Fake), None, page, std::future::pending()));
    (Client::unix(socket), Client::tcp("127.0.0.1", port), secret)
}

#[tokio::test]
async fn both_ways_in_give_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (unix, tcp, secret) = open(dir.path()).await;
    let tcp = tcp.with_secret_file(&secret).unwrap();
    for client in [unix, tcp] {
        assert_eq!(client.stores().await.unwrap(), [StoreStatus::unknown(STORE.into())]);
        assert_eq!(client.store(&STORE.into()).await.unwrap().store.as_str(), STORE);
        assert_eq!(client.ready().await.unwrap().reasons, ["no primary"]);
        client.metrics().await.unwrap();
        let request = SwitchoverRequest { to: Some("b".into()), dry_run: true };
        let report = client.switchover(&STORE.into(), &request).await.unwrap();
        assert_eq!(report, Fake::report(&request, SwitchoverOutcome::Done));
    }
}

#[tokio::test]
async fn a_switchover_that_was_taken_back_is_a_report_too() {
    let dir = tempfile::tempdir().unwrap();
    let (unix, ..) = open(dir.path()).await;
    let request = SwitchoverRequest { to: Some("broken".into()), dry_run: false };
    let report = unix.switchover(&STORE.into(), &request).await.unwrap();
    assert_eq!(report.outcome, SwitchoverOutcome::Aborted);
}

#[tokio::test]
async fn refusals_are_told_in_the_words_of_the_sidecar() {
    let dir = tempfile::tempdir().unwrap();
    let (unix, tcp, _) = open(dir.path()).await;
    let unknown = unix.store(&"till".into()).await.unwrap_err();
    assert!(!unknown.is_unreachable());
    assert_eq!(unknown.to_string(), "no such store: there is no store \"till\" in the configuration");
    let refused = tcp.switchover(&STORE.into(), &SwitchoverRequest::default()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Problem(problem) if problem.status == 401), "{refused}");
}

#[tokio::test]
async fn where_no_sidecar_is_the_error_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Client::unix(dir.path().join("admin.sock")).stores().await.unwrap_err();
    assert!(matches!(missing, ClientError::NoAnswer { .. }) && missing.is_unreachable(), "{missing}");
    assert!(missing.to_string().contains("Is it running?"), "{missing}");

    // Bound and not listening: connections are refused, and no other test can get the port.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = held.local_addr().unwrap().port();
    let refused = Client::tcp("127.0.0.1", port).ready().await.unwrap_err();
    assert!(matches!(refused, ClientError::NoAnswer { .. }), "{refused}");

    let redis = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = redis.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = redis.accept().await.unwrap();
        stream.write_all(b"-ERR unknown command 'GET'\r\n").await.unwrap();
    });
    let strange = Client::tcp("127.0.0.1", port).stores().await.unwrap_err();
    assert!(matches!(strange, ClientError::Strange { .. }), "{strange}");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let given_up = Client::tcp("127.0.0.1", port).stores().await.unwrap_err();
    assert!(matches!(given_up, ClientError::Timeout { after: READ_MAX, .. }), "{given_up}");
}
