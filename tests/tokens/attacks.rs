//! What somebody tries who means no good: to read a token where it does not belong, and to make the API fall over.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use foretoken_demo::servers::free_port;
use foretoken_token::Fingerprint;

use crate::http::{ask, said_to};
use crate::support::{House, LONG, LONG_LEASE, until};

/// The connections of a listener and the time for a request's head, as docs/token.md states them.
const CONNECTIONS_MAX: usize = 64;
const HEAD_MAX: Duration = Duration::from_secs(5);

async fn house(process: &str) -> (House, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let house = House::open(|setup, _| {
        setup.store = LONG_LEASE.to_owned();
        setup.process = format!("[admin]\nlisten = \"{address}\"\n{process}");
    })
    .await;
    (house, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a socket");
    stream
}

/// A token is shown to whoever guards the data, and stands nowhere else: in no log of any level, no error, no metric, no list
/// and no event, also where somebody put it into the wrong place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_ever_repeated() {
    let (house, address) = house("[log]\nlevel = \"trace\"\n").await;
    let socket = house.socket();
    let holder = Fingerprint::of(b"a certificate");
    let whole = house.ask("/v1/tokens", r#"{"serviceId":"checkout"}"#);
    let next = house.ask(&format!("/v1/tokens/{}/refresh", whole.text("tokenId")), "");
    let compact = format!(r#"{{"serviceId":"checkout","form":"compact","holder":"{holder}"}}"#);
    let compact = house.ask("/v1/tokens", &compact);
    let tokens = [whole.text("token"), next.text("token"), compact.text("token")];

    let mut told = String::new();
    let mut tell = |(_, body): (u16, String)| told.push_str(&(body + "\n"));
    for token in &tokens {
        let credential = format!("Authorization: Bearer {token}");
        let inside = |template: &str| template.replace('T', token);
        for (method, path) in [
            ("GET", "/v1/tokens/T"),
            ("DELETE", "/v1/tokens/T"),
            ("PUT", "/v1/tokens/T"),
            ("POST", "/v1/tokens/T/refresh"),
            ("GET", "/v1/tokens/T/nothing"),
            ("GET", "/T"),
            ("GET", "/v1/tokens?serviceId=T"),
            ("GET", "/v1/tokens?store=T"),
            ("GET", "/v1/tokens?T=1"),
            ("GET", "/v1/events?store=T"),
            ("GET", "/v1/stores/T"),
            ("POST", "/v1/stores/T/switchover"),
            ("GET", "/v1/gates/T"),
            ("GET", "/v1/gates/demo?epoch=T"),
        ] {
            tell(ask(&socket, method, &inside(path), &[], ""));
            // Without a right, and with the token in place of the secret.
            for header in ["X-Nothing: 1", credential.as_str()] {
                let request = format!(
                    "{method} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n",
                    inside(path)
                );
                tell((0, said_to(&mut connect(address), request.as_bytes())));
            }
        }
        for body in [
            r#"{"serviceId":"T"}"#,
            r#"{"serviceId":"checkout","dataBlockId":"T"}"#,
            r#"{"serviceId":"checkout","dataBlockId":"T/T"}"#,
            r#"{"serviceId":"checkout","store":"T"}"#,
            r#"{"serviceId":"checkout","access":["T"]}"#,
            r#"{"serviceId":"checkout","form":"T"}"#,
            r#"{"serviceId":"checkout","holder":"T"}"#,
            r#"{"T":"checkout"}"#,
            r#"{"acceptEpoch":"T"}"#,
            r#"{"to":"T"}"#,
            r#""T""#,
            "T",
        ] {
            for path in ["/v1/tokens", "/v1/tokens/predictive", "/v1/stores/demo/switchover"] {
                tell(ask(&socket, "POST", path, &[], &inside(body)));
            }
            let refresh = format!("/v1/tokens/{}/refresh", whole.text("tokenId"));
            tell(ask(&socket, "POST", &refresh, &[], &inside(body)));
        }
        // The store's port, where a client may take the token for a password.
        let client = redis::Client::open(house.sidecar.url()).expect("a URL");
        let mut client = client.get_connection().expect("it serves");
        redis::cmd("AUTH")
            .arg("ft-token")
            .arg(token)
            .exec(&mut client)
            .expect_err("the store knows no such user");
    }
    for path in ["/metrics", "/v1/stores", "/v1/tokens", "/v1/keys"] {
        tell(ask(&socket, "GET", path, &[], ""));
    }
    let mut events = connect(address);
    events.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut heard = String::new();
    while !heard.contains("event: heartbeat") {
        let mut piece = [0; 4096];
        let read = events.read(&mut piece).expect("it tells");
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    told.push_str(&heard);
    let log = std::fs::read_to_string(house.sidecar.log()).expect("it logs");
    assert!(log.contains("DEBUG") && told.contains("event: store"), "there was something to look at");
    for token in &tokens {
        // Its end is the signature, and what comes behind it: without that it is no token.
        let secret = &token[token.len() / 2..];
        for (place, text) in [("the log", &log), ("what was answered", &told)] {
            let found =
                text.find(secret).map(|at| text[..at].lines().next_back().unwrap_or_default().to_owned());
            assert_eq!(found, None, "a token stands in {place}");
        }
    }
    // It was the store that said no, and not our log: ids are there to be found.
    assert!(told.contains(&whole.text("tokenId")));
}

/// Each is answered with a refusal or hung up on, and the API goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_and_hurts_nobody() {
    let (mut house, address) = house("").await;
    let socket = house.socket();
    let deep = |open: &str, close: &str, times| open.repeat(times) + &close.repeat(times);
    for body in [
        deep("[", "]", 8000),
        deep(r#"{"serviceId":"#, "}", 1000),
        r#"{"serviceId":"#.repeat(1000),
        format!(r#"{{"serviceId":"checkout","access":{}}}"#, deep("[", "]", 4000)),
        r#"{"serviceId":"\ud800"}"#.to_owned(),
        r#"{"serviceId":"a\u0000b"}"#.to_owned(),
        r#"{"serviceId":"a","serviceId":"b"}"#.to_owned(),
        r#"{"serviceId":1e400}"#.to_owned(),
        r#"{"serviceId":""}"#.to_owned(),
        format!(r#"{{"serviceId":"{}"}}"#, "x".repeat(16_000)),
        format!(r#"{{"serviceId":"checkout","access":[{}"read"]}}"#, r#""reed","#.repeat(1000)),
        r#"{"serviceId":"checkout"} {}"#.to_owned(),
        "\u{feff}{}".to_owned(),
        String::new(),
    ] {
        let (status, answer) = ask(&socket, "POST", "/v1/tokens", &[], &body);
        let start: String = body.chars().take(40).collect();
        assert!(status == 400 && answer.contains("urn:foretoken:"), "{start}: {status} {answer}");
        assert!(answer.len() < 1024, "an answer is shorter than what it refuses: {answer}");
    }
    for body in [
        r#"{"acceptEpoch":18446744073709551616}"#,
        r#"{"acceptEpoch":-1}"#,
        r#"{"acceptEpoch":1.5}"#,
        r#"{"holder":["a"]}"#,
    ] {
        let path = format!("/v1/tokens/{}/refresh", "0".repeat(32));
        assert_eq!(ask(&socket, "POST", &path, &[], body).0, 400, "{body}");
    }
    for path in ["/v1/tokens/%00", "/v1/tokens/..%2f..%2fkeys", "/v1/tokens/%ff", "/v1/stores/%f0%9f"] {
        let (status, answer) = ask(&socket, "GET", path, &[], "");
        assert!(
            matches!(status, 400 | 404) && answer.contains("urn:foretoken:"),
            "{path}: {status} {answer}"
        );
    }

    // Over TCP, without a right to anything.
    let head = "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let long = format!("X: {}\r\n", "x".repeat(1 << 20));
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let rows: [(&str, Vec<u8>, &[&str]); 10] = [
        ("a body of 10 GB that never comes", format!("{head}Content-Length: 10000000000\r\n\r\n").into(), &["401"]),
        ("a length that is none", format!("{head}Content-Length: x\r\n\r\n").into(), &["400"]),
        ("two lengths", format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n").into(), &["400"]),
        (
            "a length and pieces, and a request behind them",
            format!("{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/keys HTTP/1.1\r\n\r\n")
                .into(),
            &["400", "401"],
        ),
        ("two hundred headers", format!("{head}{many}\r\n").into(), &["431"]),
        ("a header of 1 MiB", format!("{head}{long}\r\n").into(), &["431", ""]),
        ("a path of 1 MiB", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).into(), &["414", "431", ""]),
        ("no HTTP", garbage, &["400", ""]),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(50), &["400", ""]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &["400", "505", ""]),
    ];
    for (what, bytes, expected) in rows {
        let said = said_to(&mut connect(address), &bytes);
        let status = said.split(' ').nth(1).unwrap_or_default();
        assert!(expected.contains(&status), "{what}: {said}");
        assert_eq!(
            said.matches("HTTP/1.1 ").count(),
            usize::from(!said.is_empty()),
            "{what}: one answer: {said}"
        );
    }
    assert_eq!(ask(&socket, "GET", "/live", &[], "").0, 200);
    house.wait("the store to be served as before", |status| status.ready).await;
}

/// Who holds all connections of the TCP listener and says nothing keeps nobody from the Unix socket, and not for long from TCP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_holds_the_door_for_seconds_and_the_operators_not_at_all() {
    let (house, address) = house("").await;
    let began = tokio::time::Instant::now();
    let mut crowd: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(address)).collect();
    for (number, stream) in crowd.iter_mut().enumerate() {
        // Half of them begin a request and do not end it.
        if number % 2 == 0 {
            stream.write_all(b"GET /live HTTP/1.1\r\nHos").expect("it reads");
        }
    }
    assert_eq!(ask(&house.socket(), "GET", "/ready", &[], "").0, 200, "the operator's door is another");
    let mut late = connect(address);
    let said = said_to(&mut late, b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(began.elapsed() < 4 * HEAD_MAX, "after {:?}", began.elapsed());
    for stream in &mut crowd {
        // Hung up on, with a word or without.
        said_to(stream, b"");
    }
    until("a free door", async || {
        said_to(&mut connect(address), b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    })
    .await;
}
