//! Each input is scanned whole, cut in two at every byte, and byte by byte: the outcome must be the same.

use foretoken_types::ErrorClass;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    complete: u32,
    pushes: u32,
    errors: Vec<Vec<u8>>,
    mid_reply: bool,
    malformed: Option<Malformed>,
}

fn scan_all(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let (mut scanner, mut outcome, mut from) = (ReplyScanner::default(), Outcome::default(), 0);
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let result = scanner.scan(&bytes[from..cut], u32::MAX, |line| outcome.errors.push(line.to_vec()));
        match result {
            Ok(progress) => {
                assert_eq!(progress.consumed, cut - from);
                outcome.complete += progress.complete;
                outcome.pushes += progress.pushes;
            }
            Err(malformed) => {
                // How many replies a failing call had counted is lost with it, so they can't be compared.
                return Outcome { malformed: Some(malformed), ..Outcome::default() };
            }
        }
        from = cut;
    }
    outcome.mid_reply = scanner.mid_reply();
    outcome
}

fn scan_every_way(bytes: &[u8]) -> Outcome {
    let whole = scan_all(bytes, &[]);
    for cut in 0..=bytes.len() {
        assert_eq!(scan_all(bytes, &[cut]), whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    assert_eq!(scan_all(bytes, &(0..bytes.len()).collect::<Vec<_>>()), whole);
    whole
}

#[test]
fn every_type_of_resp2_and_resp3_is_one_reply() {
    for reply in [
        "+OK\r\n",
        "+\r\n",
        "-ERR no\r\n",
        ":-12\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$5\r\n\r\n\r\n\n\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "*3\r\n*0\r\n*-1\r\n$-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",-1.5e3\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "!5\r\nERR x\r\n",
        "=7\r\ntxt:abc\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n",
        "~2\r\n+a\r\n+b\r\n",
        "|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n*1\r\n+b\r\n:2\r\n",
        "|0\r\n|1\r\n-a\r\n-b\r\n+OK\r\n",
        "*2\r\n>2\r\n+a\r\n*1\r\n+b\r\n:1\r\n>0\r\n:2\r\n",
    ] {
        let outcome = scan_every_way(reply.as_bytes());
        assert_eq!((outcome.complete, outcome.pushes, outcome.mid_reply), (1, 0, false), "{reply:?}");
        let doubled = scan_every_way(reply.repeat(2).as_bytes());
        assert_eq!((doubled.complete, doubled.mid_reply), (2, false), "{reply:?}");
        for cut in 1..reply.len() {
            let part = scan_all(&reply.as_bytes()[..cut], &[]);
            assert_eq!((part.complete, part.mid_reply), (0, true), "{reply:?} cut at {cut}");
        }
    }
}

#[test]
fn pushes_are_not_replies() {
    let outcome = scan_every_way(b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n+OK\r\n>0\r\n>1\r\n-x\r\n:1\r\n");
    assert_eq!((outcome.complete, outcome.pushes, outcome.mid_reply), (2, 3, false));
    assert!(outcome.errors.is_empty());
}

#[test]
fn it_stops_behind_the_last_reply_that_is_wanted() {
    let mut scanner = ReplyScanner::default();
    let bytes = b"+a\r\n*1\r\n+b\r\n>1\r\n+p\r\n+c\r\n";
    let first = scanner.scan(bytes, 2, |_| ()).expect("well formed");
    assert_eq!(first, Progress { consumed: 12, complete: 2, pushes: 0 });
    // Nothing is wanted: the push is taken, the reply without a request is left.
    let second = scanner.scan(&bytes[12..], 0, |_| ()).expect("well formed");
    assert_eq!(second, Progress { consumed: 8, complete: 0, pushes: 1 });
    let third = scanner.scan(&bytes[20..], 1, |_| ()).expect("well formed");
    assert_eq!(third, Progress { consumed: 4, complete: 1, pushes: 0 });
    assert_eq!(scanner.scan(b"", 1, |_| ()), Ok(Progress::default()));
}

#[test]
fn only_top_level_errors_are_told_with_a_bounded_text() {
    let long = "x".repeat(ERROR_PREFIX_MAX + 7);
    let bytes = format!(
        "*2\r\n-IN\r\n!1\r\na\r\n-ERR a\r\n|1\r\n-k\r\n-v\r\n-ERR b\r\n!5\r\nERR c\r\n-{long}\r\n!{}\r\n{long}\r\n",
        long.len()
    );
    let outcome = scan_every_way(bytes.as_bytes());
    let cut = &long.as_bytes()[..ERROR_PREFIX_MAX];
    assert_eq!(outcome.errors, [&b"ERR a"[..], b"ERR b", b"ERR c", cut, cut]);
    assert_eq!(outcome.complete, 6);
}

#[test]
fn what_is_no_reply_is_refused_wherever_it_is_cut() {
    for (bytes, malformed) in [
        (&b"x\r\n"[..], Malformed::UnknownType(b'x')),
        (b"\r\n", Malformed::UnknownType(b'\r')),
        (b"|0\r\n>0\r\n", Malformed::UnknownType(b'>')),
        (b"$?\r\n", Malformed::InvalidReplyLength),
        (b"$-2\r\n", Malformed::InvalidReplyLength),
        (b"%-1\r\n", Malformed::InvalidReplyLength),
        (b"=-1\r\n", Malformed::InvalidReplyLength),
        (b"~-1\r\n", Malformed::InvalidReplyLength),
        (b"*9223372036854775808\r\n", Malformed::InvalidReplyLength),
        (b"$000000000000000000000000000000000000001\r\n", Malformed::InvalidReplyLength),
        (b"*2\r\n%9223372036854775807\r\n%9223372036854775807\r\n", Malformed::InvalidReplyLength),
        (b"+a\rb\r\n", Malformed::ReplyLineEnd),
        (b"+a\nb\r\n", Malformed::ReplyLineEnd),
        (b"$1\r\nab\r\n", Malformed::BulkEnd),
        (b"$1\r\na\rb", Malformed::BulkEnd),
    ] {
        assert_eq!(scan_every_way(bytes).malformed, Some(malformed), "{}", bytes.escape_ascii());
    }
}

#[test]
fn deep_nesting_and_huge_lengths_cost_nothing() {
    let mut deep = b"*1\r\n".repeat(100_000);
    deep.extend_from_slice(b":1\r\n:2\r\n");
    let outcome = scan_all(&deep, &(0..deep.len()).collect::<Vec<_>>());
    assert_eq!((outcome.complete, outcome.mid_reply), (2, false));
    for endless in
        ["$9223372036854775807\r\nabc", "*9223372036854775807\r\n:1\r\n", "%4611686018427387904\r\n:1\r\n"]
    {
        let outcome = scan_every_way(endless.as_bytes());
        assert_eq!((outcome.complete, outcome.mid_reply, outcome.malformed), (0, true, None), "{endless}");
    }
}

#[derive(Clone, Debug)]
enum Value {
    Line(String),
    Bulk(char, Vec<u8>),
    Aggregate(char, Vec<Value>),
    Described(Vec<Value>, Box<Value>),
}

impl Value {
    fn encode(&self, out: &mut Vec<u8>) {
        let header =
            |out: &mut Vec<u8>, kind: char, n: usize| out.extend(format!("{kind}{n}\r\n").into_bytes());
        match self {
            Self::Line(line) => out.extend(format!("{line}\r\n").into_bytes()),
            Self::Bulk(kind, body) => {
                header(out, *kind, body.len());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            Self::Aggregate(kind, values) => {
                let pairs = if *kind == '%' { 2 } else { 1 };
                let values = &values[..values.len() / pairs * pairs];
                header(out, *kind, values.len() / pairs);
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Described(attribute, value) => {
                let attribute = &attribute[..attribute.len() / 2 * 2];
                header(out, '|', attribute.len() / 2);
                attribute.iter().for_each(|value| value.encode(out));
                value.encode(out);
            }
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[-+:_#,(][ -~]{0,6}".prop_map(Value::Line),
        Just(Value::Line("$-1".into())),
        Just(Value::Line("*-1".into())),
        (prop::sample::select(vec!['$', '=', '!']), prop::collection::vec(any::<u8>(), 0..14))
            .prop_map(|(kind, body)| Value::Bulk(kind, body)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            3 => (prop::sample::select(vec!['*', '~', '%']), many()).prop_map(|(kind, all)| Value::Aggregate(kind, all)),
            1 => (many(), inner.clone()).prop_map(|(all, value)| Value::Described(all, Box::new(value))),
        ]
    })
}

proptest! {
    #[test]
    fn as_many_replies_are_found_as_were_sent(values in prop::collection::vec(value(), 1..4)) {
        let mut bytes = Vec::new();
        let mut scanner = ReplyScanner::default();
        for value in &values {
            let start = bytes.len();
            value.encode(&mut bytes);
            let progress = scanner.scan(&bytes[start..], 1, |_| ()).expect("well formed");
            prop_assert_eq!(progress, Progress { consumed: bytes.len() - start, complete: 1, pushes: 0 });
        }
        let outcome = scan_every_way(&bytes);
        prop_assert_eq!(outcome.complete as usize, values.len());
        prop_assert!(!outcome.mid_reply && outcome.malformed.is_none());
    }

    #[test]
    fn any_bytes_give_the_same_outcome_however_they_are_cut(bytes in crate::wire::tests::resp_like()) {
        scan_every_way(&bytes);
        // Neither answer matters here, only that there is one.
        prop_assert!(!(certainly_not_executed(&bytes) && bytes.is_empty()));
        prop_assert!(ErrorClass::ALL.contains(&error_class(&bytes)));
    }
}

#[test]
fn errors_are_sorted_as_the_protocol_document_says() {
    use ErrorClass::{Application, Credentials, Grey, Routing, Unavailable};
    for (class, safe, line) in [
        (Unavailable, true, "LOADING Redis is loading the dataset in memory"),
        (
            Unavailable,
            true,
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        ),
        (Unavailable, true, "CLUSTERDOWN The cluster is down"),
        (Grey, true, "TRYAGAIN Multiple keys request during rehashing of slot"),
        (
            Grey,
            true,
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        ),
        (Grey, true, "MISCONF Errors writing to the AOF file: No space left on device"),
        (Grey, true, "OOM command not allowed when used memory > 'maxmemory'."),
        (
            Grey,
            true,
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        ),
        (Grey, true, "ERR max number of clients reached"),
        (Routing, true, "READONLY You can't write against a read only replica."),
        (Routing, true, "NOREPLICAS Not enough good replicas to write."),
        (
            Routing,
            true,
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        ),
        (Application, false, "UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        (Application, true, "MOVED 3999 127.0.0.1:6381"),
        (Credentials, true, "NOAUTH Authentication required."),
        (Credentials, true, "WRONGPASS invalid username-password pair or user is disabled."),
        (Credentials, true, "NOPERM this user has no permissions to run the 'set' command"),
        (Application, false, "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (Application, false, "ERR unknown command 'X'"),
        (Application, false, "EXECABORT Transaction discarded because of previous errors."),
        (Application, false, "BUSYGROUP Consumer Group name already exists"),
        (Application, false, "BUSYKEY Target key name already exists."),
        (Application, false, "NOSCRIPT No matching script. Please use EVAL."),
        // A script's own words after a real code: nobody knows what it did before.
        (Grey, false, "BUSY locked by another worker"),
        (Grey, false, "TRYAGAIN later"),
        (Application, false, ""),
        (
            Routing,
            false,
            "ERR Error running script (call to f_e0e1f9fabfc9d4800c877a703b823ac0578ff8db): @user_script:1: @user_script: 1: -READONLY You",
        ),
        (Application, false, "ERR Error running script (call to f_1): @user_script:1: -ERR x -READONLY y"),
    ] {
        let line = &line.as_bytes()[..line.len().min(ERROR_PREFIX_MAX)];
        assert_eq!(error_class(line), class, "{}", line.escape_ascii());
        assert_eq!(certainly_not_executed(line), safe, "{}", line.escape_ascii());
    }
}
