//! Keys against the server's own idea of them, and against bytes that are no request.

use proptest::prelude::*;

use super::*;

/// The keys of a request; `None`: they can't be told.
fn told(frame: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let reach = keys(frame, |key| found.push(String::from_utf8_lossy(key).into_owned()));
    (reach == Reach::Told).then_some(found)
}

fn frame(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Requests and their keys.
const TOLD: &[(&str, &str)] = &[
    ("GET k", "k"),
    ("get k", "k"),
    ("SET k v EX 5", "k"),
    ("DEL a b c", "a b c"),
    ("MSET a 1 b 2", "a b"),
    ("MSETEX 2 a 1 b 2 EX 5", "a b"),
    ("COPY a b DB 1", "a b"),
    ("BLPOP a b 0", "a b"),
    ("BLMOVE a b LEFT RIGHT 0", "a b"),
    ("BLMPOP 0 2 a b LEFT", "a b"),
    ("BITOP AND d a b", "d a b"),
    ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
    ("ZINTER 2 a b WITHSCORES", "a b"),
    ("OBJECT encoding k", "k"),
    ("XGROUP CREATE s g $", "s"),
    ("EVAL script 2 a b c", "a b"),
    ("XREAD COUNT 1 BLOCK 0 STREAMS a b 0 1", "a b"),
    ("XREADGROUP GROUP STREAMS c NOACK STREAMS a >", "a"),
    ("SORT k LIMIT 0 1 GET # BY nosort STORE d", "k d"),
    ("SORT k BY STORE STORE d", "k d"),
    ("GEORADIUS k 1 2 3 m STOREDIST d", "k d"),
    ("GEORADIUSBYMEMBER k STORE 3 m STORE d", "k d"),
    ("MIGRATE h 1 k 0 5", "k"),
    ("WATCH a b", "a b"),
    ("PUBLISH k m", ""),
    ("SSUBSCRIBE k", ""),
    ("PING k", ""),
    ("MULTI", ""),
    ("CONFIG GET k", ""),
];

#[test]
fn keys_are_told_wherever_they_stand() {
    for (words, expected) in TOLD {
        let expected: Vec<String> = expected.split_whitespace().map(str::to_owned).collect();
        assert_eq!(told(&request(words)), Some(expected), "{words}");
    }
    let several = ["MIGRATE", "h", "1", "", "0", "5", "COPY", "AUTH", "KEYS", "KEYS", "a", "b"];
    let expected = ["", "a", "b"].map(str::to_owned).to_vec();
    assert_eq!(told(&frame(&several)), Some(expected), "the empty key stands for those behind KEYS");
}

#[test]
fn what_may_touch_any_key_is_said_to() {
    for words in [
        "FLUSHALL",
        "KEYS k*",
        "SCAN 0",
        "RANDOMKEY",
        "DBSIZE",
        "EVAL script 0",
        "EVAL script x k",
        "EVAL script 3 a b",
        "FCALL f 0",
        "EXEC",
        "MONITOR",
        "DEBUG OBJECT k",
        "JSON.GET k",
        "CONFIG",
        "CONFIG NEW",
        "GET",
        "MGET",
        "SORT k BY w_*",
        "SORT_RO k GET o:*->f",
        "XREAD STREAMS a b 0",
        "XREAD STREAMS",
        "ZUNION 99999999999999999999 a",
        "ZUNION 18446744073709551615 a",
        "MSETEX 9223372036854775807 a",
        "LMPOP -1 a LEFT",
        "BLPOP a",
    ] {
        assert_eq!(told(&request(words)), None, "{words}");
    }
    for bytes in
        [&b""[..], b"GET k\r\n", b"*", b"*-1\r\n", b"*2\r\n$3\r\nGET\r\n", b"*9\r\n$3\r\nDEL\r\n$1\r\na\r\n"]
    {
        assert_eq!(told(bytes), None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_key_of_a_request_whose_value_is_on_its_way_is_told() {
    assert_eq!(told(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9000000\r\nxxx"), Some(vec!["k".to_owned()]));
    assert_eq!(told(b"*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$9000000\r\nxxx"), None, "another key may follow");
}

/// Words that mean something in one place or another.
const WORDS: [&str; 28] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "a",
    "b",
    "c",
    "d",
    "",
    "#",
    "$",
    "w_*",
    "STREAMS",
    "STORE",
    "STOREDIST",
    "BY",
    "GET",
    "LIMIT",
    "KEYS",
    "COPY",
    "AUTH",
    "AUTH2",
    "COUNT",
    "BLOCK",
    "GROUP",
    "NOACK",
    "LEFT",
];
/// Requests of each command.
const TRIES: usize = 150;

#[test]
fn keys_agree_with_a_real_server_about_every_command() {
    // It tells channels like keys.
    const CHANNELS: [&str; 3] = ["SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"];
    // Given an option twice, it keeps the last one.
    const MORE: [&str; 5] = ["SORT", "SORT_RO", "GEORADIUS", "GEORADIUSBYMEMBER", "MIGRATE"];

    let server = Server::start();
    let commands = commands(server.connect());
    let mut stream = server.connect();
    let mut replies = BufReader::new(stream.try_clone().expect("a socket"));
    let mut chance = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 17;
        chance ^= chance << 5;
        chance as usize % below
    };
    for (name, _) in
        commands.iter().filter(|(name, _)| !is_container(name) && !CHANNELS.contains(&name.as_str()))
    {
        let own: Vec<&str> = name.split('|').collect();
        let tries: Vec<Vec<&str>> = (0..TRIES)
            .map(|_| own.iter().copied().chain((0..next(10)).map(|_| WORDS[next(WORDS.len())])).collect())
            .collect();
        let asked = tries.iter().flat_map(|words| frame(&[&["COMMAND", "GETKEYS"], &words[..]].concat()));
        stream.write_all(&asked.collect::<Vec<_>>()).expect("sent");
        let (mut with_keys, mut agreed) = (0, 0);
        for words in &tries {
            let ours = told(&frame(words));
            // Without an answer it would refuse such a request.
            let Some(theirs) = of_server(read_reply(&mut replies)) else { continue };
            if (name == "XREADGROUP" && words.get(1) != Some(&"GROUP"))
                || (name.starts_with("XREAD") && words.iter().filter(|word| **word == "STREAMS").count() > 1)
            {
                // It looks for the first STREAMS, or the first behind the place of a GROUP, and not at what stands before.
                continue;
            }
            with_keys += usize::from(!theirs.is_empty());
            let Some(ours) = ours.map(BTreeSet::from_iter) else { continue };
            assert!(ours.is_superset(&theirs), "{words:?}: {ours:?}, and the server says {theirs:?}");
            assert!(
                ours == theirs || MORE.contains(&name.as_str()),
                "{words:?}: {ours:?} is more than {theirs:?}"
            );
            agreed += usize::from(!theirs.is_empty());
        }
        // Of these chance makes hardly any request that means something.
        let rare = matches!(name.as_str(), "XREAD" | "XREADGROUP");
        assert!(
            rare || agreed * 4 >= with_keys,
            "{name}: only {agreed} of {with_keys} requests have keys that we can tell"
        );
    }
}

/// The keys in a reply to `COMMAND GETKEYS`; `None`: the server would refuse the request.
fn of_server(reply: Reply) -> Option<BTreeSet<String>> {
    match reply {
        Reply::Array(keys) => keys
            .into_iter()
            .map(|key| match key {
                Reply::Text(key) => Some(key),
                Reply::Array(_) => None,
            })
            .collect(),
        Reply::Text(error) if error.contains("no key arguments") => Some(BTreeSet::new()),
        Reply::Text(_) => None,
    }
}

#[test]
fn the_examples_agree_with_a_real_server() {
    // Later than the server of this test, and channels that it tells like keys.
    const OTHERWISE: [&str; 2] = ["MSETEX", "SSUBSCRIBE"];
    let server = Server::start();
    let mut stream = server.connect();
    let mut replies = BufReader::new(stream.try_clone().expect("a socket"));
    for (words, expected) in TOLD {
        if OTHERWISE.iter().any(|name| words.starts_with(name)) {
            continue;
        }
        stream.write_all(&request(&format!("COMMAND GETKEYS {words}"))).expect("sent");
        let expected: BTreeSet<_> = expected.split_whitespace().map(str::to_owned).collect();
        assert_eq!(of_server(read_reply(&mut replies)).unwrap_or_default(), expected, "{words}");
    }
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        told(&bytes);
    }

    #[test]
    fn a_beginning_tells_the_keys_of_the_whole_or_none(
        name in prop_oneof![
            Just("MSET"), Just("DEL"), Just("EVAL"), Just("ZUNIONSTORE"), Just("XREAD"), Just("XREADGROUP"), Just("SORT"),
            Just("GEORADIUS"), Just("MIGRATE"), Just("BLPOP"), Just("MSETEX"), Just("GET"), Just("OBJECT"),
        ],
        words in proptest::collection::vec(0..WORDS.len(), 0..10),
        cut in any::<proptest::sample::Index>(),
        flip in any::<(proptest::sample::Index, u8)>(),
    ) {
        let words: Vec<&str> = std::iter::once(name).chain(words.into_iter().map(|word| WORDS[word])).collect();
        let mut whole = frame(&words);
        for end in 0..whole.len() {
            if let Some(keys) = told(&whole[..end]) {
                prop_assert_eq!(Some(keys), told(&whole), "{:?} cut at {}", &words, end);
            }
        }
        let at = flip.0.index(whole.len());
        whole[at] = flip.1;
        whole.truncate(cut.index(whole.len() + 1));
        told(&whole);
    }
}
