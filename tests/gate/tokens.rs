//! Tokens of every kind, presented over the wire. The test plays a sidecar: it has the keys.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::STORE;
use foretoken_token::{
    Access, Block, Claims, Fingerprint, Form, Keyring, Rotation, Tier, TokenId, UnixMillis, compact,
};
use foretoken_types::{EndpointId, Epoch};
use tempfile::TempDir;

use crate::support::{Gate, LONG, rest, until};

fn now() -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "the gate checks tokens by the wall clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixMillis(u64::try_from(since.as_millis()).expect("in this era"))
}

/// What this sidecar says to gates.
#[derive(Clone)]
struct Said {
    epoch: u64,
    primary: &'static str,
    keys: serde_json::Value,
}

/// Answers every question with what is said at the moment, as a sidecar does, at the latest after the wait.
fn sidecar(said: Arc<Mutex<Said>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), said) = (stream, Arc::clone(&said)) else { return };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
                let (mut line, mut known) = (String::new(), None);
                while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if let Some((_, query)) = line.split_once("?epoch=") {
                        known = query.split('&').next().and_then(|epoch| epoch.parse::<u64>().ok());
                    }
                    if line == "\r\n" {
                        let asked = tokio::time::Instant::now();
                        while asked.elapsed() < Duration::from_millis(500)
                            && Some(said.lock().expect("not poisoned").epoch) == known
                        {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        let said = said.lock().expect("not poisoned").clone();
                        let body = serde_json::json!({
                            "store": STORE, "epoch": said.epoch, "primary": said.primary, "ttl_ms": 2000, "keys": said.keys,
                        })
                        .to_string();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        if stream.write_all((head + &body).as_bytes()).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

/// A gate in front of a server, and the keys that it believes.
pub(crate) struct Stage {
    pub(crate) gate: Gate,
    ring: Keyring,
    said: Arc<Mutex<Said>>,
    server: Server,
    pub(crate) dir: TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::new_with("").await
    }

    async fn new_with(more: &str) -> Self {
        Self::in_dir(TempDir::new().expect("a directory"), more).await
    }

    /// With files of its own in `dir`, and more lines for the gate.
    pub(crate) async fn in_dir(dir: TempDir, more: &str) -> Self {
        let server = Server::start(dir.path(), "a", "here").expect("redis-server is installed");
        let mut ring = Keyring::new(Rotation::default());
        ring.ensure(now()).expect("randomness");
        let keys = serde_json::to_value(ring.public().publish()).expect("JSON");
        let said = Arc::new(Mutex::new(Said { epoch: 7, primary: "a", keys }));
        let api = sidecar(Arc::clone(&said));
        let gate = Gate::start_with(dir.path(), "a", &server.url(), &api, more);
        gate.wait(true).await;
        Self { gate, ring, said, server, dir }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.gate.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        stream
    }

    /// A token that is good on `stream`, but for `change`.
    fn token(&self, stream: &TcpStream, change: impl FnOnce(&mut Claims)) -> Vec<u8> {
        let ends = (stream.local_addr().expect("connected"), stream.peer_addr().expect("connected"));
        self.sealed(|claims| {
            claims.holder = Some(Fingerprint::of(format!("tcp {} {}", ends.0, ends.1).as_bytes()));
            change(claims);
        })
    }

    /// A token without a holder, but for `change`, which has to name one.
    pub(crate) fn sealed(&self, change: impl FnOnce(&mut Claims)) -> Vec<u8> {
        let issued = now();
        let mut claims = Claims {
            id: TokenId(rand::random()),
            service: "foretoken".into(),
            store: STORE.into(),
            block: Block::ALL,
            endpoint: Some(EndpointId::from("a")),
            tier: Tier::Valid,
            access: Access::READ | Access::WRITE,
            epoch: Epoch(7),
            generation: 1,
            issued_at: issued,
            not_before: issued,
            expires_at: issued.after(Duration::from_secs(20)),
            holder: None,
        };
        change(&mut claims);
        compact::seal(&claims, self.ring.signing(Form::Compact, issued).expect("a key"))
            .expect("claims that can be")
    }

    /// What the gate says to a token that is good but for `change`.
    fn says_to(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut stream = self.connect();
        let token = self.token(&stream, change);
        stream.write_all(&frame(&token)).expect("it reads");
        rest(&mut stream)
    }
}

pub(crate) fn frame(token: &[u8]) -> Vec<u8> {
    [format!("*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n${}\r\n", token.len()).as_bytes(), token, b"\r\n"]
        .concat()
}

/// Connects from a port that nobody is given who asks for any: it can be had again.
async fn connect_from_own_port(theirs: SocketAddr) -> TcpStream {
    // Linux gives ports from 32768 on, unless it was told otherwise.
    let port = rand::random_range(20_000..32_000);
    connect_from(SocketAddr::from(([127, 0, 0, 1], port)), theirs).await
}

/// Connects from a port that was in use a moment ago.
async fn connect_from(ours: SocketAddr, theirs: SocketAddr) -> TcpStream {
    let deadline = tokio::time::Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        look.tick().await;
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket");
        let connected = match socket.bind(ours) {
            Ok(()) => socket.connect(theirs).await,
            Err(taken) => Err(taken),
        };
        match connected {
            Ok(stream) => {
                let stream = stream.into_std().expect("a socket");
                stream.set_nonblocking(false).expect("a socket");
                stream.set_read_timeout(Some(LONG)).expect("a socket");
                return stream;
            }
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{ours} to {theirs}: {error}"),
        }
    }
}

/// Reads exactly these bytes.
fn hears(stream: &mut TcpStream, expected: &str) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).expect("it answers");
    assert_eq!(String::from_utf8_lossy(&heard), expected);
}

/// A case of the table: its reason, as metrics have it; words of the answer; and how the token is not good.
type Case = (&'static str, &'static str, fn(&mut Claims));

/// Every kind that is refused, by its reason. What has no row, and why:
/// - *revoked*: a pass is presented once, at once, and is on no list that one could take it back from; its connection ends
///   with the epoch or with the sidecar's word. What the API gives, revoked or not, is no pass: tests/gate/foreign.rs.
/// - *holder over mTLS*: tests/gate/tls.rs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_bad_token_is_refused_in_words_and_a_good_one_opens_the_store_once() {
    const CASES: [Case; 10] = [
        ("expired", "expired at", |c| {
            let then = UnixMillis(c.issued_at.0 - 9000);
            (c.issued_at, c.not_before, c.expires_at) = (then, then, then.after(Duration::from_secs(1)));
        }),
        ("not_yet", "not valid before", |c| c.not_before = c.issued_at.after(Duration::from_secs(9))),
        ("other_service", "given to service checkout", |c| c.service = "checkout".into()),
        ("other_store", "for store orders", |c| c.store = "orders".into()),
        ("other_block", "for block user:", |c| c.block = "user:".parse().expect("a block")),
        ("other_endpoint", "for endpoint b, and this gate stands in front of a", |c| {
            c.endpoint = Some("b".into())
        }),
        ("old_epoch", "of epoch 6, and epoch 7 is in force", |c| c.epoch = Epoch(6)),
        ("future_epoch", "of epoch 8, and only epoch 7 is known", |c| c.epoch = Epoch(8)),
        ("other_holder", "bound to another certificate", |c| c.holder = Some(Fingerprint::of(b"somebody"))),
        ("reads_only", "gives read only", |c| c.access = Access::READ),
    ];
    // One connection says nothing until all the others were refused.
    let stage = Stage::new_with("[limits]\npresent = \"30s\"\n").await;
    let refused = async |reason: &str, words: &str, said: String| {
        assert!(said.starts_with("-WRONGPASS foretoken gate: ") && said.contains(words), "{words}: {said}");
        let label = format!("reason=\"{reason}\"");
        assert_eq!(stage.gate.counter("foretoken_gate_refused_total", &label).await, 1, "{reason}: {said}");
    };
    for (reason, words, change) in CASES {
        refused(reason, words, stage.says_to(change)).await;
    }
    // The bytes themselves: cut, altered, signed by somebody else, and one signature under the words of another.
    let mut stream = connect_from_own_port(stage.gate.address).await;
    let (good, other) = (stage.token(&stream, |_| {}), stage.token(&stream, |_| {}));
    let mut theirs = Keyring::new(Rotation::default());
    theirs.ensure(now()).expect("randomness");
    let key = foretoken_token::compact::key_id(&good).expect("a token");
    let claims = stage.ring.public().find(Form::Compact, key, now()).map(|key| compact::open(&good, key));
    let claims = claims.expect("our key").expect("our token");
    let forged =
        compact::seal(&claims, theirs.signing(Form::Compact, now()).expect("a key")).expect("can be");
    let mut altered = good.clone();
    altered[good.len() / 2] ^= 1;
    let signature = good.len() - 64;
    let mixed = [&good[..signature], &other[signature..]].concat();
    for (reason, words, token) in [
        ("malformed", "this is no token", good[..20].to_vec()),
        ("unknown_key", "is not known", forged),
        ("forged", "the token was altered", mixed),
    ] {
        let mut stream = stage.connect();
        stream.write_all(&frame(&token)).expect("it reads");
        refused(reason, words, rest(&mut stream)).await;
    }
    let mut elsewhere = stage.connect();
    elsewhere.write_all(&frame(&altered)).expect("it reads");
    assert!(rest(&mut elsewhere).contains("the token was altered"));

    // The good one, with a request behind it in the same write: none of that cost it its turn.
    stream.write_all(&[&frame(&good)[..], b"*1\r\n$4\r\nPING\r\n"].concat()).expect("it reads");
    hears(&mut stream, "+OK\r\n+PONG\r\n");
    // What looks like a token later on is the store's affair: bytes pass untouched.
    stream.write_all(&frame(b"x")).expect("it reads");
    hears(&mut stream, "-WRONGPASS ");

    // Replayed, from the same two ends: whoever overheard it has to wait for the port, and is late then.
    let ends = (stream.local_addr().expect("connected"), stream.peer_addr().expect("connected"));
    // The other side hangs up first, so that the port is free at once.
    stream.write_all(b"*1\r\n$4\r\nQUIT\r\n").expect("it reads");
    rest(&mut stream);
    drop(stream);
    let mut again = connect_from(ends.0, ends.1).await;
    again.write_all(&frame(&good)).expect("it reads");
    refused("replayed", "it was presented before", rest(&mut again)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_next_epoch_waits_for_the_word_that_is_on_its_way_and_old_connections_are_cut() {
    let stage = Stage::new().await;
    let mut old = stage.connect();
    let token = stage.token(&old, |_| {});
    old.write_all(&[&frame(&token)[..], b"*1\r\n$4\r\nPING\r\n"].concat()).expect("it reads");
    hears(&mut old, "+OK\r\n+PONG\r\n");

    let mut new = stage.connect();
    let token = stage.token(&new, |claims| claims.epoch = Epoch(8));
    new.write_all(&frame(&token)).expect("it reads");
    stage.said.lock().expect("not poisoned").epoch = 8;
    hears(&mut new, "+OK\r\n");
    assert_eq!(rest(&mut old), "", "the connection of epoch 7 is cut");

    // A sidecar that has lost its memory does not take the gate back, and after a while nobody passes.
    stage.said.lock().expect("not poisoned").epoch = 7;
    stage.gate.wait(false).await;
    assert_eq!(rest(&mut new), "");
    assert!(stage.says_to(|claims| claims.epoch = Epoch(7)).starts_with("-MASTERDOWN"));
    assert_eq!(stage.gate.counter("foretoken_gate_epoch", "").await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_a_gate_are_bounded_in_number_and_in_time() {
    let stage = Stage::new_with("[limits]\nconnections = 2\npresent = \"300ms\"\n").await;
    let silent = [stage.connect(), stage.connect()];
    let third = rest(&mut stage.connect());
    assert_eq!(third, "-ERR max number of clients reached\r\n");
    for mut stream in silent {
        let said = rest(&mut stream);
        assert!(said.starts_with("-NOAUTH foretoken gate: no token was presented within 300ms"), "{said}");
    }
    assert_eq!(stage.gate.counter("foretoken_gate_refused_total", "full").await, 1);
    assert_eq!(stage.gate.counter("foretoken_gate_refused_total", "late").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_makes_the_server_wait_and_the_gate_not_grow() {
    const VALUE: usize = 1 << 20;
    const TIMES: usize = 64;
    let stage = Stage::new().await;
    let mut direct = direct_of(&stage);
    redis::cmd("SET").arg("k").arg(vec![b'x'; VALUE]).query::<()>(&mut direct).expect("answers");

    let mut stream = stage.connect();
    let token = stage.token(&stream, |_| {});
    let asks = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(TIMES);
    stream.write_all(&[frame(&token), asks].concat()).expect("it reads");
    // The replies pile up where they were made: the gate takes no more than it can hand on.
    let piled = async || {
        let mut direct = direct_of(&stage);
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut direct).expect("answers");
        let waiting =
            list.split([' ', '\n']).filter_map(|word| word.strip_prefix("omem=")?.parse::<usize>().ok());
        waiting.max() > Some(TIMES * VALUE / 2)
    };
    until("replies that wait at the server", piled, String::new).await;
    let grown = stage.gate.memory();
    assert!(grown < TIMES * VALUE / 2, "the gate holds {grown} bytes");
    hears(&mut stream, "+OK\r\n");
    let mut left = TIMES * (VALUE + "$1048576\r\n\r\n".len());
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let read = stream.read(&mut buffer).expect("it goes on");
        assert!(read > 0 && read <= left, "{left} bytes are missing");
        left -= read;
    }
}

fn direct_of(stage: &Stage) -> redis::Connection {
    redis::Client::open(stage.server.url()).expect("a URL").get_connection().expect("it runs")
}
