//! The listener over real sockets, with stores that exist in name only.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::http::{Method, Request, StatusCode, header};
use foretoken_token::Denied;
use foretoken_types::{Epoch, StoreId};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use foretoken_transport::{ClientTls, Clients, Connector, Identity};

use super::*;
use crate::model::{
    Check, EndpointRef, GateNews, Key, KeySet, PredictiveGrant, Readiness, RefreshRequest, Revocation,
    Revoked, StoreEvent, StoreStatus, SwitchoverOutcome, SwitchoverReport, SwitchoverRequest, TokenFilter,
    TokenGrant, TokenRequest, TokenStatus,
};
use crate::{Asker, MetricsRecorder, SwitchoverError, TokenError};

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

/// Gives no token, and remembers who asked for one.
struct FakeTokens {
    askers: Mutex<Vec<(Asker, String)>>,
    epoch: watch::Sender<u64>,
}

impl FakeTokens {
    fn denied(&self, asker: &Asker, what: &str) -> TokenError {
        self.askers.lock().unwrap().push((asker.clone(), what.to_owned()));
        let (new_epoch, endpoint) = (Epoch(8), Some("b".into()));
        let named = EndpointRef { name: "b".to_owned(), address: Some("redis://b:6379".to_owned()) };
        TokenError::Denied { reason: Denied::Moved { new_epoch, endpoint }, endpoint: Some(named) }
    }
}

#[async_trait]
impl Tokens for FakeTokens {
    async fn issue(&self, asker: &Asker, request: TokenRequest) -> Result<TokenGrant, TokenError> {
        Err(self.denied(asker, &request.service_id))
    }

    async fn issue_predictive(
        &self,
        asker: &Asker,
        request: TokenRequest,
    ) -> Result<PredictiveGrant, TokenError> {
        Err(self.denied(asker, &request.data_block_id))
    }

    async fn refresh(&self, asker: &Asker, id: &str, _: RefreshRequest) -> Result<TokenGrant, TokenError> {
        Err(self.denied(asker, id))
    }

    async fn revoke(&self, asker: &Asker, id: &str) -> Result<Revocation, TokenError> {
        Err(self.denied(asker, id))
    }

    fn status(&self, asker: &Asker, id: &str) -> Result<TokenStatus, TokenError> {
        Err(self.denied(asker, id))
    }

    fn list(&self, asker: &Asker, filter: &TokenFilter) -> Result<Vec<TokenStatus>, TokenError> {
        self.denied(asker, filter.service_id.as_deref().unwrap_or_default());
        Ok(Vec::new())
    }

    fn keys(&self) -> KeySet {
        let event = |store: &str| StoreEvent {
            store: store.to_owned(),
            epoch: *self.epoch.borrow(),
            state: "healthy".to_owned(),
            primary: None,
            mode: "asynchronous".to_owned(),
            tier: "valid".to_owned(),
            temporary: false,
            leads: true,
            risk: None,
        };
        let key = Key {
            kid: "00".repeat(8),
            form: "paseto".to_owned(),
            algorithm: "Ed25519".to_owned(),
            // Long, so that a reader who takes nothing is noticed after a few events.
            public_key: "k".repeat(256 * 1024),
            not_before: *self.epoch.borrow(),
            not_after: None,
        };
        let revoked = Revoked { token_id: "11".repeat(16), until: 7 };
        let stores = vec![event("cart"), event("till")];
        KeySet { keys: vec![key], revoked: vec![revoked], stores, lease: 2.0, skew: 0.5 }
    }

    async fn rotate(&self) -> Result<KeySet, TokenError> {
        Err(TokenError::Storage("the disk is full".to_owned()))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    fn unix_ms(&self) -> u64 {
        1_760_000_000_000
    }
}

struct House {
    tokens: Arc<FakeTokens>,
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
    let tokens = Arc::new(FakeTokens { askers: Mutex::default(), epoch: watch::channel(7).0 });
    let asked = Some(Arc::clone(&tokens) as Arc<dyn Tokens>);
    let recorder = MetricsRecorder::default();
    let page = recorder.page();
    metrics::with_local_recorder(&recorder, || metrics::counter!("foretoken_test_total").increment(3));
    let (stop, stopped) = oneshot::channel();
    let params = Params { secret: Some(secret), open: admin_open, ..Params::default() };
    let served =
        tokio::spawn(serve(listeners, params, Arc::clone(&stores) as Arc<dyn Stores>, asked, page, async {
            stopped.await.unwrap_or_default();
        }));
    let secret = std::fs::read_to_string(path).unwrap().trim().to_owned();
    House { tokens, stores, socket, address, secret, stop: Some(stop), served, _dir: dir }
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

#[tokio::test]
async fn who_asks_for_a_token_is_known_before_anything_of_it_is_read() {
    let house = open(false).await;
    let asks = [
        (Method::POST, "/v1/tokens", r#"{"serviceId":"checkout"}"#, 409),
        (Method::POST, "/v1/tokens/predictive", r#"{"serviceId":"checkout","dataBlockId":"carts"}"#, 409),
        (Method::POST, "/v1/tokens/ab/refresh", "", 409),
        (Method::DELETE, "/v1/tokens/ab", "", 409),
        (Method::POST, "/v1/keys/rotate", "", 507),
    ];
    for (method, path, body, status) in asks {
        for bearer in [None, Some("wrong")] {
            let answer = over_tcp(&house, method.clone(), path, bearer, "not even JSON").await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (401, "urn:foretoken:unauthorized"),
                "{path}"
            );
        }
        let answer = over_tcp(&house, method.clone(), path, Some(&house.secret), body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        answer.problem();
        assert_eq!(over_unix(&house.socket, method, path, body).await.status, status, "{path}");
    }
    let asked = house.tokens.askers.lock().unwrap().clone();
    let expected = ["checkout", "carts", "ab", "ab"];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|what| [(Asker::Operator, (*what).to_owned()), (Asker::Operator, (*what).to_owned())])
        .collect();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_moved_epoch_is_told_with_its_number_and_its_endpoint() {
    let house = open(false).await;
    let answer =
        over_unix(&house.socket, Method::POST, "/v1/tokens/ab/refresh", r#"{"acceptEpoch":7}"#).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "urn:foretoken:epoch-moved"));
    let document = answer.json();
    assert_eq!(document["newEpoch"], 8);
    assert_eq!(document["endpoint"]["name"], "b");
    assert_eq!(document["title"], "EPOCH_MOVED");
    let bad = over_unix(&house.socket, Method::POST, "/v1/tokens/ab/refresh", r#"{"epoch":7}"#).await;
    assert_eq!((bad.status, bad.problem().as_str()), (400, "urn:foretoken:bad-request"));
}

#[tokio::test]
async fn reading_about_tokens_is_free_where_reading_is() {
    let house = open(false).await;
    assert_eq!(over_tcp(&house, Method::GET, "/v1/tokens?serviceId=checkout", None, "").await.status, 200);
    assert_eq!(over_unix(&house.socket, Method::GET, "/v1/tokens/ab", "").await.status, 409);
    assert_eq!(over_tcp(&house, Method::GET, "/v1/tokens", Some("wrong"), "").await.status, 401);
    assert_eq!(over_tcp(&house, Method::GET, "/v1/tokens?service=x", None, "").await.status, 400);
    let asked = house.tokens.askers.lock().unwrap().clone();
    assert_eq!(asked, [(Asker::Reader, "checkout".to_owned()), (Asker::Operator, "ab".to_owned())]);
    let keys = over_tcp(&house, Method::GET, "/v1/keys", None, "").await.json();
    assert_eq!((&keys["keys"][0]["form"], &keys["stores"][1]["epoch"]), (&"paseto".into(), &7.into()));
}

/// Every route that is served is described, with the models that its answers have, and nothing else is.
#[tokio::test]
async fn the_document_describes_what_is_served() {
    let house = open(false).await;
    let document = over_tcp(&house, Method::GET, "/v1/openapi.json", None, "").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.push(format!("{} {path}", method.to_uppercase()));
            let real = path.replace("{store}", "nowhere").replace("{tokenId}", "ab");
            let method = method.to_uppercase().parse::<Method>().unwrap();
            // A stream has no end; its own test reads it.
            if path == "/v1/events" {
                continue;
            }
            // Without a right to it: it is there, and nothing happens.
            let answer = over_tcp(&house, method.clone(), &real, Some("wrong"), "").await;
            let there = !answer.text.contains("urn:foretoken:not-found") && answer.status != 405;
            assert!(there, "{method} {path}: {}", answer.text);
        }
    }
    described.sort();
    let expected = [
        "DELETE /v1/tokens/{tokenId}",
        "GET /live",
        "GET /metrics",
        "GET /ready",
        "GET /startup",
        "GET /v1/events",
        "GET /v1/gates/{store}",
        "GET /v1/keys",
        "GET /v1/stores",
        "GET /v1/stores/{store}",
        "GET /v1/tokens",
        "GET /v1/tokens/{tokenId}",
        "POST /v1/exit",
        "POST /v1/keys/rotate",
        "POST /v1/stores/{store}/switchover",
        "POST /v1/tokens",
        "POST /v1/tokens/predictive",
        "POST /v1/tokens/{tokenId}/refresh",
    ];
    assert_eq!(described, expected);
    let schemas = &document["components"]["schemas"];
    let has = |schema: &str, value: &Value| {
        let known = schemas[schema]["properties"].as_object().unwrap_or_else(|| panic!("no schema {schema}"));
        for key in value.as_object().unwrap().keys() {
            assert!(known.contains_key(key), "{schema} lacks {key}");
        }
    };
    has("StoreStatus", &serde_json::to_value(StoreStatus::unknown("cart".into())).unwrap());
    has("KeySet", &serde_json::to_value(house.tokens.keys()).unwrap());
    has("StoreEvent", &serde_json::to_value(&house.tokens.keys().stores[0]).unwrap());
}

/// Reads events until one of that name has come.
async fn event(stream: &mut TcpStream, read: &mut String, name: &str) -> Value {
    let head = format!("event: {name}\ndata: ");
    loop {
        if let Some(at) = read.find(&head)
            && let Some(length) = read[at..].find("\n\n")
        {
            let data = read[at + head.len()..at + length].to_owned();
            read.drain(..at + length);
            return serde_json::from_str(&data).unwrap();
        }
        let mut more = vec![0; 64 * 1024];
        let count = stream.read(&mut more).await.unwrap();
        assert!(count > 0, "the stream ended before {name}: {read}");
        read.push_str(std::str::from_utf8(&more[..count]).unwrap());
    }
}

async fn follow(house: &House, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn events_tell_everything_at_first_then_what_changes_and_beat_all_along() {
    let house = open(false).await;
    let (mut stream, mut read) = (follow(&house, "/v1/events?store=cart").await, String::new());
    event(&mut stream, &mut read, "keys").await;
    assert_eq!(event(&mut stream, &mut read, "revoked").await[0]["until"], 7);
    let first = event(&mut stream, &mut read, "store").await;
    assert_eq!((&first["store"], &first["epoch"]), (&"cart".into(), &7.into()));
    let beat = event(&mut stream, &mut read, "heartbeat").await;
    assert_eq!(beat["stores"], serde_json::json!([{"store": "cart", "epoch": 7, "leads": true}]));
    house.tokens.epoch.send_replace(8);
    let moved = event(&mut stream, &mut read, "store").await;
    assert_eq!((&moved["store"], &moved["epoch"]), (&"cart".into(), &8.into()));
    assert!(!read.contains("till"), "only that store was asked for: {read}");
    let answer = over_tcp(&house, Method::GET, "/v1/events?store=nowhere", None, "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "urn:foretoken:unknown-store"));
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_server() {
    let mut house = open(false).await;
    let mut streams = Vec::new();
    for _ in 0..crate::events::STREAMS_MAX {
        let (mut stream, mut read) = (follow(&house, "/v1/events").await, String::new());
        event(&mut stream, &mut read, "revoked").await;
        streams.push((stream, read));
    }
    let answer = over_unix(&house.socket, Method::GET, "/v1/events", "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "urn:foretoken:crowded"));
    drop(streams.pop());
    // The place is free when the server has noticed.
    loop {
        let (mut stream, mut first) = (follow(&house, "/v1/events").await, [0; 16]);
        stream.read_exact(&mut first).await.unwrap();
        if first.starts_with(b"HTTP/1.1 200") {
            break;
        }
    }
    house.stop.take().unwrap().send(()).unwrap();
    house.served.await.unwrap();
    for (mut stream, _) in streams {
        let mut rest = Vec::new();
        // The end of the stream, or of the connection: either way it does not hang.
        stream.read_to_end(&mut rest).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_cut() {
    let house = open(false).await;
    let mut stream = follow(&house, "/v1/events").await;
    let mut began = [0; 16];
    stream.read_exact(&mut began).await.unwrap();
    // Each epoch is news of 256 KiB: more than all buffers in between hold.
    let turning = tokio::spawn({
        let tokens = Arc::clone(&house.tokens);
        async move {
            loop {
                tokens.epoch.send_modify(|epoch| *epoch += 1);
                tokio::time::sleep(crate::events::HEARTBEAT).await;
            }
        }
    });
    // Not read until the server has let go of it: its place among the connections is free again.
    let before = tokio::time::Instant::now();
    while house.tokens.epoch.receiver_count() > 0 {
        tokio::time::sleep(crate::events::SLOW_MAX).await;
        assert!(before.elapsed() < Duration::from_secs(120), "it is still waited for");
    }
    turning.abort();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it was cut, and not brought to an end");
}
