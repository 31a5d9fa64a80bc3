//! The table against itself and against the `COMMAND` reply of a real server.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use foretoken_types::Access::{Read, Write};

use super::*;

mod keys;
mod page;

fn request(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

#[test]
fn requests_are_classified_whatever_their_case_and_form() {
    for (words, access, kind) in [
        ("GET k", Read, Kind::Plain),
        ("gEt k", Read, Kind::Plain),
        ("SET k v", Write, Kind::Plain),
        ("georadiusbymember_ro k m 1 m", Read, Kind::Plain),
        ("SORT k STORE d", Write, Kind::Plain),
        ("PFCOUNT k", Write, Kind::Plain),
        ("config get maxmemory", Read, Kind::Plain),
        ("CONFIG SET maxmemory 1", Write, Kind::Plain),
        ("client setname x", Read, Kind::ClientSetName),
        ("CLIENT REPLY OFF", Read, Kind::Relay(Relayed::Opaque)),
        ("BLPOP k 0", Write, Kind::Blocking),
        ("WAIT 1 0", Write, Kind::Wait),
        ("XREAD COUNT 1 STREAMS s 0", Read, Kind::Plain),
        ("xread count 1 block 0 streams s 0", Read, Kind::Blocking),
        ("XREAD STREAMS BLOCK 0", Read, Kind::Plain),
        ("XREADGROUP GROUP BLOCK c NOACK STREAMS s >", Write, Kind::Plain),
        ("XREADGROUP GROUP g c BLOCK 5 STREAMS s >", Write, Kind::Blocking),
        ("XREADGROUP NEW BLOCK 5 STREAMS s >", Write, Kind::Blocking),
    ] {
        let class = classify(&request(words));
        assert_eq!((class.access, class.kind, class.known), (access, kind, true), "{words}");
        assert_eq!(classify(format!("{words}\r\n").as_bytes()), class, "{words}, inline");
    }
    assert_eq!(classify(b"\"\\x47ET\" k\r\n").access, Read, "an escaped name");
}

#[test]
fn what_is_not_in_the_table_is_a_write_on_a_connection_of_its_own() {
    let long = "X".repeat(100_000);
    for words in
        ["JSON.GET k", "CONFIG", "CONFIG NEW", "CONFIG|GET x", "GET|", "", "PUT", "CONFIG CONFIG", &long]
    {
        assert_eq!(classify(&request(words)), Class::UNKNOWN, "{words:?}");
    }
    for bytes in [
        &b""[..],
        b"*",
        b"*1\r\n",
        b"*1\r\n$3\r\nGE",
        b"\r\n",
        b"\"GET",
        b"\0",
        b"*2\r\n$6\r\nCONFIG\r\n$3\r\nGE",
    ] {
        assert_eq!(classify(bytes), Class::UNKNOWN, "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_table_has_no_name_twice_and_short_probes() {
    let (mut names, mut total) = (BTreeSet::new(), 0);
    for (name, entry, probes) in table::all() {
        assert!(names.insert(name), "{name} is listed twice");
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b"|-_:".contains(&b)), "{name}");
        assert!(probes < 12, "{name} takes {probes} probes");
        total += probes;
        if let Some((container, sub)) = name.split_once('|') {
            assert_eq!(
                table::subcommand(container.as_bytes(), sub.to_lowercase().as_bytes()),
                Some(entry),
                "{name}"
            );
            assert!(is_container(container), "{name}");
        } else {
            assert_eq!(table::command(name.to_lowercase().as_bytes()), Some(entry), "{name}");
        }
    }
    assert!(total < names.len(), "{total} extra probes for {} names", names.len());
}

fn is_container(name: &str) -> bool {
    table::command(name.as_bytes()).is_some_and(|entry| entry.row == Row::Container)
}

struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; either way it is reaped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "s"])
            .arg("--dir")
            .arg(directory.path())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, directory }
    }

    fn connect(&self) -> UnixStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(self.directory.path().join("s")) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "redis-server does not listen: {error}"),
            }
            std::thread::yield_now();
        }
    }
}

/// A reply as far as `COMMAND` needs it.
enum Reply {
    Text(String),
    Array(Vec<Reply>),
}

fn read_reply(from: &mut impl BufRead) -> Reply {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "*" => {
            let count: i64 = rest.parse().expect("a count");
            Reply::Array((0..count).map(|_| read_reply(from)).collect())
        }
        "$" => {
            let length: usize = rest.parse().expect("a length");
            let mut body = vec![0; length + 2];
            from.read_exact(&mut body).expect("a body");
            Reply::Text(String::from_utf8_lossy(&body[..length]).into_owned())
        }
        _ => Reply::Text(rest.to_owned()),
    }
}

/// (name, flags), sub-commands as `container|name`.
fn collect(commands: &Reply, into: &mut Vec<(String, Vec<String>)>) {
    let Reply::Array(commands) = commands else { panic!("not an array") };
    for command in commands {
        let Reply::Array(fields) = command else { panic!("not an array") };
        let (Some(Reply::Text(name)), Some(Reply::Array(flags))) = (fields.first(), fields.get(2)) else {
            panic!("not a command");
        };
        let flags = flags.iter().filter_map(|flag| match flag {
            Reply::Text(flag) => Some(flag.clone()),
            Reply::Array(_) => None,
        });
        into.push((name.to_uppercase(), flags.collect()));
        if let Some(subcommands) = fields.get(9) {
            collect(subcommands, into);
        }
    }
}

/// All that the server knows, with their flags.
fn commands(mut stream: UnixStream) -> Vec<(String, Vec<String>)> {
    stream.write_all(b"*1\r\n$7\r\nCOMMAND\r\n").expect("sent");
    let mut commands = Vec::new();
    collect(&read_reply(&mut BufReader::new(stream)), &mut commands);
    assert!(commands.len() > 350, "only {} commands", commands.len());
    commands
}

#[test]
fn the_table_agrees_with_a_real_server_about_every_command() {
    // Flagged `readonly`, but it replicates the count that it caches (`may_replicate`, which COMMAND does not show).
    const READONLY_BUT_WRITE: [&str; 1] = ["PFCOUNT"];
    // Not flagged `write`, but these are replicated or run commands that are.
    const UNFLAGGED_WRITES: [&str; 6] = ["EVAL", "EVALSHA", "FCALL", "PUBLISH", "SPUBLISH", "EXEC"];

    let server = Server::start();
    let commands = commands(server.connect());

    for (name, flags) in &commands {
        if is_container(name) {
            continue;
        }
        let words = name.replacen('|', " ", 1);
        let class = classify(&request(&words));
        assert!(class.known, "{name} is not in the table");
        let has = |flag: &str| flags.iter().any(|f| f == flag);
        if has("write") {
            assert_eq!(class.access, Write, "{name}");
        }
        if has("readonly") && !READONLY_BUT_WRITE.contains(&name.as_str()) {
            assert_eq!(class.access, Read, "{name}");
        }
        if has("blocking") {
            assert!(matches!(class.kind, Kind::Blocking | Kind::Wait), "{name} is {:?}", class.kind);
        }
        if has("no_multi") {
            assert_ne!(class.access, Read, "{name}");
        }
        if has("pubsub") && words.ends_with("SUBSCRIBE") {
            assert!(matches!((class.access, class.kind), (Read, Kind::Relay(_))), "{name}");
        }
    }
    for name in UNFLAGGED_WRITES {
        assert_eq!(classify(&request(name)).access, Write, "{name}");
    }
}

#[test]
fn a_blocked_request_that_is_sent_again_waits_for_the_rest_of_its_time() {
    let second = Duration::from_secs(1);
    for (words, shorter) in [
        ("BLPOP a b 3", Some("BLPOP a b 2.000")),
        ("brpoplpush a b 1.5", Some("brpoplpush a b 0.500")),
        ("BLMOVE a b LEFT RIGHT 0.5", Some("BLMOVE a b LEFT RIGHT 0.001")),
        ("BLMPOP 2 1 k LEFT", Some("BLMPOP 1.000 1 k LEFT")),
        ("BZMPOP 1 1 k MIN", Some("BZMPOP 0.001 1 k MIN")),
        ("XREAD COUNT 1 BLOCK 2500 STREAMS s 0", Some("XREAD COUNT 1 BLOCK 1500 STREAMS s 0")),
        ("XREADGROUP GROUP g c block 1 STREAMS s >", Some("XREADGROUP GROUP g c block 1 STREAMS s >")),
        // Without end, without a timeout, with one that no server takes.
        ("BLPOP a 0", None),
        ("XREAD STREAMS s 0", None),
        ("BLPOP a soon", None),
        ("BLPOP a -1", None),
        ("BLPOP a inf", None),
        ("XREAD BLOCK", None),
        ("GET 3", None),
    ] {
        let told = with_less_time(&request(words), second);
        assert_eq!(told.as_deref(), shorter.map(request).as_deref(), "{words}");
    }
}

#[test]
fn only_what_is_about_keys_alone_may_be_asked_of_any_server() {
    for words in
        ["GET a", "MGET a b", "hgetall a", "XREAD STREAMS s 0", "TTL a", "EVAL_RO x 1 a", "XINFO STREAM s"]
    {
        assert!(classify(&request(words)).any_server, "{words}");
    }
    for words in [
        "PING",
        "INFO",
        "DBSIZE",
        "KEYS *",
        "SCAN 0",
        "SSCAN s 0",
        "EVALSHA_RO h 1 a",
        "OBJECT FREQ a",
        "TOUCH a",
        "CONFIG GET x",
        "NOSUCH a",
        "SCRIPT EXISTS h",
        "PUBSUB NUMSUB",
    ] {
        assert!(!classify(&request(words)).any_server, "{words}");
    }
}
