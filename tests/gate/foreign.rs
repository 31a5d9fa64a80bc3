//! Tokens that the API gives, before a gate that belongs to its sidecar: they are for services beside the store.

use std::io::Write as _;
use std::net::TcpStream;

use foretoken_token::{Fingerprint, TokenId};
use serde_json::Value;

use crate::http::ask;
use crate::support::{House, LONG, rest};
use crate::tokens::frame;

/// Asks for a compact token in the sidecar's own name, bound to these two ends: the closest that one comes to a pass.
fn token(house: &House, stream: &TcpStream) -> (Vec<u8>, String) {
    let ends = (stream.local_addr().expect("connected"), stream.peer_addr().expect("connected"));
    let holder = Fingerprint::of(format!("tcp {} {}", ends.0, ends.1).as_bytes());
    let body = format!(r#"{{"serviceId":"foretoken","form":"compact","holder":"{holder}"}}"#);
    let (status, answer) = ask(&house.socket(), "POST", "/v1/tokens", &[], &body);
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let (token, id) =
        (answer["token"].as_str().expect("a token"), answer["tokenId"].as_str().expect("an id"));
    (bytes(token), id.to_owned())
}

/// From base64url without padding.
fn bytes(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |byte| DIGITS.iter().position(|digit| *digit == byte).expect("base64url") as u32;
    let mut bytes = Vec::new();
    for piece in text.as_bytes().chunks(4) {
        let bits = piece.iter().fold(0, |bits, byte| bits << 6 | digit(*byte)) << (6 * (4 - piece.len()));
        bytes.extend(&bits.to_be_bytes()[1..piece.len()]);
    }
    bytes
}

/// The gate knows the keys of passes only. So a token of the API is worth nothing there, whoever asked for it, and there is
/// nothing to take back that a gate would have to hear of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_of_the_api_opens_a_gate_revoked_or_not() {
    let house = House::start(1).await;
    let gate = &house.gates[0];
    for revoked in [false, true] {
        let mut stream = TcpStream::connect(gate.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        let (token, id) = token(&house, &stream);
        assert!(id.parse::<TokenId>().is_ok());
        if revoked {
            let (status, answer) = ask(&house.socket(), "DELETE", &format!("/v1/tokens/{id}"), &[], "");
            assert_eq!(status, 200, "{answer}");
        }
        stream.write_all(&[&frame(&token)[..], b"*1\r\n$4\r\nPING\r\n"].concat()).expect("it reads");
        let said = rest(&mut stream);
        assert!(said.starts_with("-WRONGPASS foretoken gate: key ") && !said.contains("PONG"), "{said}");
    }
    assert_eq!(gate.counter("foretoken_gate_refused_total", "unknown_key").await, 2);
}
