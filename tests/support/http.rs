//! HTTP over a plain socket, byte for byte as a test wants it.
#![allow(unreachable_pub, dead_code, reason = "several test binaries use a part each")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Far above what any answer takes.
const LONG: Duration = Duration::from_secs(60);

/// Sends these bytes, and gives all that comes until the other side hangs up.
pub fn said_to(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
    let mut said = Vec::new();
    // It may hang up before it has read all: what it said before that counts.
    stream.write_all(bytes).ok();
    stream.read_to_end(&mut said).ok();
    String::from_utf8_lossy(&said).into_owned()
}

/// One request over a Unix socket: status and body. `headers` are whole lines without their ends.
pub fn ask(socket: &Path, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a socket");
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n{body}",
        body.len()
    );
    let answer = said_to(&mut stream, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}
