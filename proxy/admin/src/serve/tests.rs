//! The listener over real sockets, with stores that exist in name only.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::http::{Method, Request, StatusCode, header};
use foretoken_types::{Epoch, StoreId};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use foretoken_transport::{ClientTls, Clients, Connector, Identity};

use super::*;
use crate::SwitchoverError;
use crate::model::{
    Check, GateNews, Readiness, StoreStatus, SwitchoverOutcome, SwitchoverReport, SwitchoverRequest,
};

/// One store, `cart`. A switchover to `b` is done, to `broken` refused, to `nobody` unknown, to `slow` never ends.
#[derive(Default)]
struct Fake {
    ready: AtomicBool,
    asked: Mutex<Vec<SwitchoverRequest>>,
    exits: AtomicUsize,
    under_way: AtomicBool,
    go_on: tokio::sync::Notify,
}

#[async_trait]
impl Stores for Fake {
    fn list(&self) -> Vec<StoreStatus> {
        vec![StoreStatus::unknown("cart".into())]
    }

    async fn switchover(
        &self,
        store: &StoreId,
        request: SwitchoverRequest,
    ) -> Result<SwitchoverReport, SwitchoverError> {
        if store.as_str() != "cart" {
            return Err(SwitchoverError::UnknownStore(store.clone()));
        }
        self.asked.lock().unwrap().push(request.clone());
        let to = request.to.unwrap_or_else(|| "b".into());
        let outcome = match to.as_str() {
            "broken" => SwitchoverOutcome::Refused,
            "nobody" => {
                return Err(SwitchoverError::UnknownEndpoint { store: store.clone(), endpoint: to });
            }
            "slow" => {
                self.under_way.store(true, Ordering::SeqCst);
                self.go_on.notified().await;
                SwitchoverOutcome::Done
            }
            _ => SwitchoverOutcome::Done,
        };
        let passed = outcome == SwitchoverOutcome::Done;
        Ok(SwitchoverReport {
            store: store.clone(),
            from: Some("a".into()),
            to: Some(to),
            dry_run: request.dry_run,
            outcome,
            checks: vec![Check { name: "lag".into(), passed, detail: "0 bytes".into() }],
            steps: Vec::new(),
            hold_us: None,
            epoch: Epoch(4),
            detail: "told by a fake".into(),
        })
    }

    async fn gate_news(&self, store: &StoreId, known: Option<Epoch>, wait: Duration) -> Option<GateNews> {
        let ttl_ms = u64::try_from(wait.as_millis()).unwrap();
        (store.as_str() == "cart").then(|| GateNews {
            store: store.clone(),
            epoch: known.unwrap_or_default(),
            primary: None,
            ttl_ms,
            keys: Vec::new(),
        })
    }

    fn ready(&self) -> Readiness {
        let ready = self.ready.load(Ordering::SeqCst);
        let reasons = if ready { Vec::new() } else { vec!["store \"cart\": no primary is known".into()] };
        Readiness { started: true, live: true, ready, reasons }
    }

    fn exit(&self) {
        self.exits.fetch_add(1, Ordering::SeqCst);
        self.ready.store(false, Ordering::SeqCst);
    }
}

struct House {
    stores: Arc<Fake>,
    socket: PathBuf,
    address: std::net::SocketAddr,
    secret: String,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn open(admin_open: bool) -> House {
    open_with(admin_open, None).await
}

async fn open_with(admin_open: bool, tls: Option<ServerTls>) -> House {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let path = dir.path().join("admin.secret");
    let secret = Secret::load_or_create(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listeners = Listeners { unix: Some(UnixListener::bind(&socket).unwrap()), tcp: Some(tcp), tls };
    let stores = Arc::new(Fake::default());
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics_recorded(recorder);
    let (stop, stopped) = oneshot::channel();
    let params = Params { secret: Some(secret), open: admin_open };
    let served =
        tokio::spawn(serve(listeners, params, Arc::clone(&stores) as Arc<dyn Stores>, handle, async {
            stopped.await.unwrap_or_default();
        }));
    let secret = std::fs::read_to_string(path).unwrap().trim().to_owned();
    House { stores, socket, address, secret, stop: Some(stop), served, _dir: dir }
}

fn metrics_recorded(recorder: metrics_exporter_prometheus::PrometheusRecorder) {
    metrics::with_local_recorder(&recorder, || metrics::counter!("foretoken_test_total").increment(3));
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// That the answer is a problem document, and of which kind.
    fn problem(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
        document["type"].as_str().unwrap().to_owned()
    }
}

async fn ask_over<S>(stream: S, method: Method, path: &str, bearer: Option<&str>, body: Vec<u8>) -> Answer
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.into_body().collect().await.unwrap().to_bytes();
    driver.abort();
    Answer { status, headers, text: String::from_utf8(text.to_vec()).unwrap() }
}

async fn over_unix(socket: &Path, method: Method, path: &str, body: &str) -> Answer {
    ask_over(UnixStream::connect(socket).await.unwrap(), method, path, None, body.into()).await
}

async fn over_tcp(house: &House, method: Method, path: &str, bearer: Option<&str>, body: &str) -> Answer {
    ask_over(TcpStream::connect(house.address).await.unwrap(), method, path, bearer, body.into()).await
}

const SWITCHOVER: &str = "/v1/stores/cart/switchover";

#[tokio::test]
async fn readiness_is_a_status_and_a_reason() {
    let house = open(false).await;
    for path in ["/startup", "/live"] {
        assert_eq!(over_tcp(&house, Method::GET, path, None, "").await.status, 200, "{path}");
    }
    let answer = over_tcp(&house, Method::GET, "/ready", None, "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reasons"][0], "store \"cart\": no primary is known");
    house.stores.ready.store(true, Ordering::SeqCst);
    let answer = over_unix(&house.socket, Method::GET, "/ready", "").await;
    assert_eq!((answer.status, &answer.json()["ready"]), (200, &Value::Bool(true)));
}

#[tokio::test]
async fn reading_is_free_on_loopback_and_on_the_socket() {
    let house = open(false).await;
    for answer in [
        over_tcp(&house, Method::GET, "/v1/stores", None, "").await,
        over_unix(&house.socket, Method::GET, "/v1/stores", "").await,
    ] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()[0]["store"], "cart");
        assert_eq!(answer.json()[0]["state"], "unavailable");
    }
    let one = over_tcp(&house, Method::GET, "/v1/stores/cart", None, "").await;
    assert_eq!(serde_json::from_str::<StoreStatus>(&one.text).unwrap(), StoreStatus::unknown("cart".into()));
    let metrics = over_tcp(&house, Method::GET, "/metrics", None, "").await;
    assert_eq!(metrics.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.text.contains("foretoken_test_total 3"), "{}", metrics.text);
}

#[tokio::test]
async fn the_same_user_switches_over_the_unix_socket() {
    let house = open(false).await;
    let answer = over_unix(&house.socket, Method::POST, SWITCHOVER, r#"{"to":"b","dry_run":true}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["outcome"], "done");
    let answer = over_unix(&house.socket, Method::POST, SWITCHOVER, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked = house.stores.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [SwitchoverRequest { to: Some("b".into()), dry_run: true }, SwitchoverRequest::default(),]
    );
}

#[tokio::test]
async fn over_tcp_only_the_bearer_of_the_secret_switches() {
    let house = open(false).await;
    let answer = over_tcp(&house, Method::POST, SWITCHOVER, None, "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "urn:foretoken:unauthorized"));
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    let answer = over_tcp(&house, Method::POST, SWITCHOVER, Some("wrong"), "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "urn:foretoken:unauthorized"));
    assert!(house.stores.asked.lock().unwrap().is_empty());
    assert_eq!(over_tcp(&house, Method::POST, SWITCHOVER, Some(&house.secret), "").await.status, 200);
}

#[tokio::test]
async fn an_open_listener_asks_for_no_secret_on_loopback() {
    let house = open(true).await;
    assert_eq!(over_tcp(&house, Method::POST, SWITCHOVER, None, "").await.status, 200);
}

#[tokio::test]
async fn who_may_change_things_may_end_the_sidecar() {
    const EXIT: &str = "/v1/exit";
    let house = open(false).await;
    house.stores.ready.store(true, Ordering::SeqCst);
    let exits = || house.stores.exits.load(Ordering::SeqCst);
    for bearer in [None, Some("wrong")] {
        let answer = over_tcp(&house, Method::POST, EXIT, bearer, "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "urn:foretoken:unauthorized"));
    }
    // A probe, a crawler or a browser that follows a link must not end it.
    let answer = over_unix(&house.socket, Method::GET, EXIT, "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (405, "urn:foretoken:method-not-allowed"));
    assert_eq!(exits(), 0);
    let answer = over_tcp(&house, Method::POST, EXIT, Some(&house.secret), "").await;
    assert_eq!((answer.status, &answer.json()["ready"]), (202, &Value::Bool(false)));
    assert_eq!(over_unix(&house.socket, Method::POST, EXIT, "").await.status, 202);
    assert_eq!(exits(), 2);
    let house = open(true).await;
    assert_eq!(over_tcp(&house, Method::POST, EXIT, None, "").await.status, 202);
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let house = open(false).await;
    for (method, path, body, status, kind) in [
        (Method::GET, "/", "", 404, "urn:foretoken:not-found"),
        (Method::GET, "/v1/stores/", "", 404, "urn:foretoken:not-found"),
        (Method::GET, "/v1/stores/till", "", 404, "urn:foretoken:unknown-store"),
        (Method::GET, "/v1/stores/%ff", "", 400, "urn:foretoken:bad-request"),
        (Method::POST, "/v1/stores", "", 405, "urn:foretoken:method-not-allowed"),
        (Method::GET, SWITCHOVER, "", 405, "urn:foretoken:method-not-allowed"),
        (Method::POST, "/v1/stores/till/switchover", "", 404, "urn:foretoken:unknown-store"),
        (Method::POST, SWITCHOVER, r#"{"to":"nobody"}"#, 422, "urn:foretoken:unknown-endpoint"),
        (Method::POST, SWITCHOVER, r#"{"dryrun":true}"#, 400, "urn:foretoken:bad-request"),
        (Method::POST, SWITCHOVER, "{", 400, "urn:foretoken:bad-request"),
        (Method::POST, SWITCHOVER, r#"{"to":"broken"}"#, 409, "urn:foretoken:switchover-refused"),
    ] {
        let answer = over_unix(&house.socket, method.clone(), path, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, kind), "{method} {path} {body}");
    }
    let answer = over_unix(&house.socket, Method::GET, SWITCHOVER, "").await;
    assert_eq!(answer.headers[header::ALLOW], "POST");
    let answer = over_unix(&house.socket, Method::POST, SWITCHOVER, r#"{"to":"broken"}"#).await;
    assert_eq!(answer.json()["report"]["checks"][0]["passed"], false);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound() {
    let house = open(false).await;
    let fits = format!("{{}}{}", " ".repeat(crate::server::BODY_MAX - 2));
    assert_eq!(over_unix(&house.socket, Method::POST, SWITCHOVER, &fits).await.status, 200);
    let answer = over_unix(&house.socket, Method::POST, SWITCHOVER, &format!("{fits} ")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "urn:foretoken:too-large"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let house = open(false).await;
    for said in ["", "GET /live HTTP/1.1\r\nHos"] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let before = tokio::time::Instant::now();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(before.elapsed() >= HEAD_MAX && before.elapsed() < 2 * HEAD_MAX, "{said:?}");
    }
}

#[tokio::test]
async fn connections_over_the_bound_wait_until_one_ends() {
    let house = open(false).await;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        crowd.push(stream);
    }
    let mut late = TcpStream::connect(house.address).await.unwrap();
    late.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // The other listener has its own bound: an answer there shows that the server has had time to serve the late one too.
    assert_eq!(over_unix(&house.socket, Method::GET, "/live", "").await.status, 200);
    let mut answer = [0; 1024];
    assert_eq!(late.try_read(&mut answer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    crowd.pop();
    assert!(late.read(&mut answer).await.unwrap() > 0);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let house = open(false).await;
    let stream = UnixStream::connect(&house.socket).await.unwrap();
    let asked = tokio::spawn(ask_over(stream, Method::POST, SWITCHOVER, None, br#"{"to":"slow"}"#.to_vec()));
    while !house.stores.under_way.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(REQUEST_MAX).await;
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (504, "urn:foretoken:timed-out"));
}

#[tokio::test]
async fn what_is_under_way_at_the_end_is_answered() {
    let mut house = open(false).await;
    let stream = UnixStream::connect(&house.socket).await.unwrap();
    let asked = tokio::spawn(ask_over(stream, Method::POST, SWITCHOVER, None, br#"{"to":"slow"}"#.to_vec()));
    while !house.stores.under_way.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    house.stop.take().unwrap().send(()).unwrap();
    while UnixStream::connect(&house.socket).await.is_ok() {
        tokio::task::yield_now().await;
    }
    house.stores.go_on.notify_one();
    assert_eq!(asked.await.unwrap().status, StatusCode::OK.as_u16());
    house.served.await.unwrap();
}

/// A CA in `dir`, and a certificate of it for `127.0.0.1` which serves both sides: `ca.pem`, `cert.pem`, `key.pem`.
fn certificates(dir: &Path) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new([]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    for (name, text) in
        [("ca.pem", ca_certificate.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_of_the_clients_ca_is_a_credential_and_none_is_no_obstacle_to_health() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let identity = Identity { cert_file: &cert, key_file: &key };
    let tls = ServerTls::load_for(identity, Clients::Invited(&ca)).unwrap();
    let house = open_with(false, Some(tls)).await;
    let asks = async |identity: Option<Identity<'_>>, method: Method, path: &str, bearer: Option<&str>| {
        let address = house.address.to_string().parse().unwrap();
        let tls = ClientTls::load(Some(&ca), identity, None).unwrap();
        let connector = Connector { tls: Some(tls), ..Connector::plain(address, HEAD_MAX) };
        ask_over(connector.connect().await.unwrap(), method, path, bearer, Vec::new()).await
    };
    assert_eq!(asks(Some(identity), Method::POST, SWITCHOVER, None).await.status, 200);
    assert_eq!(asks(None, Method::POST, SWITCHOVER, None).await.status, 401);
    assert_eq!(asks(None, Method::POST, SWITCHOVER, Some(&house.secret)).await.status, 200);
    assert_eq!(asks(None, Method::GET, "/live", None).await.status, 200);

    // Who speaks in the clear is hung up on, and whoever says nothing holds no place for ever.
    let mut plain = TcpStream::connect(house.address).await.unwrap();
    plain.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), plain.read_to_end(&mut heard)).await;
    ended.expect("it is closed").ok();
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
}

#[tokio::test]
async fn a_gate_asks_for_news_with_what_it_knows_and_how_long_it_waits() {
    let house = open(false).await;
    let ask = async |path: &str| over_tcp(&house, Method::GET, path, None, "").await;
    let news = ask("/v1/gates/cart?epoch=7&wait=600").await.json();
    assert_eq!((&news["epoch"], &news["ttl_ms"]), (&Value::from(7), &Value::from(600)), "{news}");
    let news = ask("/v1/gates/cart?wait=99999999999").await.json();
    assert_eq!(news["ttl_ms"], 10_000, "no question waits for ever");
    assert_eq!(ask("/v1/gates/cart?epoch=x").await.status, 400);
    assert_eq!(ask("/v1/gates/nobody").await.problem(), "urn:foretoken:unknown-store");
}
