//! What passes, what is kept, and what another server is asked for.

use bytes::BytesMut;
use foretoken_protocol::{Blocks, Carriage};
use foretoken_types::Access;
use proptest::prelude::*;

use super::*;

const NOTHING: Begun = Begun { matched: true, fixed: false, watched: false };

fn batch(line: &str) -> Batch {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    Batch {
        frames: frame::request(&words),
        requests: 1,
        access: Access::Read,
        carriage: Carriage::Relay,
        blocks: Blocks::NONE,
        any_server: false,
        quiet: false,
    }
}

fn relay(resp3: bool, asked: &[&str]) -> RedisRelay {
    let mut relay = RedisRelay::new(resp3, NOTHING, Arc::default());
    for line in asked {
        relay.sent(&batch(line));
    }
    relay
}

/// What passes of this; `|` stands for the end of a line.
fn hear(relay: &mut RedisRelay, said: &str) -> (String, u32) {
    let mut input = BytesMut::from(said.replace('|', "\r\n").as_bytes());
    let passed = relay.received(&mut input).expect("well formed");
    assert!(input.is_empty(), "{input:?}");
    (String::from_utf8_lossy(&passed.bytes).replace("\r\n", "|"), passed.answered)
}

/// The requests that another server is sent, as lines.
fn asks(relay: &mut RedisRelay) -> Option<Vec<String>> {
    let frames = relay.renew(Epoch(7), Duration::from_secs(4))?;
    let (mut lines, mut rest) = (Vec::new(), &frames[..]);
    while !rest.is_empty() {
        let words: Vec<String> = args(rest).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let words_as_bytes: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        rest = &rest[frame::request(&words_as_bytes).len()..];
        lines.push(words.join(" "));
    }
    Some(lines)
}

const A: &str = "*3|$9|subscribe|$1|a|:1|";
const B: &str = "*3|$9|subscribe|$1|b|:2|";

#[test]
fn each_request_is_answered_once_and_messages_answer_nothing() {
    let mut relay = relay(false, &["SUBSCRIBE a b", "PING", "UNSUBSCRIBE", "LRANGE k 0 -1"]);
    assert_eq!(hear(&mut relay, A), (A.to_owned(), 0));
    let message = "*3|$7|message|$1|a|$1|x|";
    assert_eq!(hear(&mut relay, message), (message.to_owned(), 0));
    assert_eq!(hear(&mut relay, B).1, 1);
    assert_eq!(hear(&mut relay, "*2|$4|pong|$0||").1, 1);
    assert_eq!(hear(&mut relay, "*3|$11|unsubscribe|$1|a|:1|").1, 0);
    assert_eq!(hear(&mut relay, "*3|$11|unsubscribe|$1|b|:0|").1, 1);
    // Who is not subscribed gets no message: this is a list.
    assert_eq!(hear(&mut relay, "*3|$7|message|$1|a|$1|x|").1, 1);
    let mut input = BytesMut::from(&b"+OK\r\n"[..]);
    assert!(relay.received(&mut input).is_err(), "an answer to nothing");
}

#[test]
fn another_server_is_asked_for_what_was_confirmed_and_then_for_what_was_not_answered() {
    let mut relay = relay(false, &["SUBSCRIBE a b c", "PSUBSCRIBE p", "PING"]);
    hear(&mut relay, &format!("{A}{B}"));
    assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE a b", "SUBSCRIBE c", "PSUBSCRIBE p", "PING"]);
    // A second server before the first has said anything.
    assert_eq!(asks(&mut relay).expect("moves").len(), 4);
    assert_eq!(hear(&mut relay, &format!("{A}*3|$7|message|$1|a|$1|x|{B}")).0, "*3|$7|message|$1|a|$1|x|");
    let c = "*3|$9|subscribe|$1|c|:3|";
    assert_eq!(hear(&mut relay, c), (c.to_owned(), 1));
    assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE a b c", "PSUBSCRIBE p", "PING"]);
}

#[test]
fn subscriptions_that_another_server_refuses_end_the_relay() {
    let mut relay = relay(true, &["SUBSCRIBE a"]);
    hear(&mut relay, ">3|$9|subscribe|$1|a|:1|");
    asks(&mut relay).expect("moves");
    let mut input = BytesMut::from(&b"-NOPERM no\r\n"[..]);
    assert!(relay.received(&mut input).is_err());
}

#[test]
fn whoever_asked_hears_of_the_gap_behind_the_last_confirmation() {
    let mut relay = relay(true, &["CLIENT TRACKING ON", "SUBSCRIBE __ft:renewed"]);
    let confirmed = ">3|$9|subscribe|$12|__ft:renewed|:1|";
    hear(&mut relay, &format!("+OK|{confirmed}"));
    assert_eq!(asks(&mut relay).expect("moves"), ["CLIENT TRACKING ON", "SUBSCRIBE __ft:renewed"]);
    assert_eq!(hear(&mut relay, "+OK|").0, "");
    let told = hear(&mut relay, confirmed).0;
    assert_eq!(told, ">2|$10|invalidate|_|>3|$7|message|$12|__ft:renewed|$1|7|");
}

#[test]
fn what_cannot_be_known_of_a_connection_keeps_it_where_it_is() {
    for asked in [
        &["SUBSCRIBE a", "CLIENT NO-EVICT ON"][..],
        &["CLIENT TRACKING ON REDIRECT 7"],
        &["SUBSCRIBE a", "SELECT 1"],
        &["CLIENT REPLY OFF"],
        &["SUBSCRIBE a", "HELLO 3"],
    ] {
        let mut relay = relay(true, asked);
        assert_eq!(asks(&mut relay), None, "{asked:?}");
    }
    let mut relay = relay(true, &["CLIENT TRACKING ON OPTIN", "CLIENT CACHING YES", "GET k"]);
    hear(&mut relay, "+OK|");
    assert!(asks(&mut relay).is_some(), "both go again");
    hear(&mut relay, "+OK|+OK|");
    assert_eq!(asks(&mut relay), None, "the command behind it would not be tracked");
    hear(&mut relay, "_|");
}

#[test]
fn who_hears_of_keys_that_another_connection_has_read_stays_where_that_one_sends_them() {
    let mut relay = relay(false, &["CLIENT ID", "SUBSCRIBE a", "SUBSCRIBE __redis__:invalidate"]);
    hear(&mut relay, &format!(":7|{A}"));
    assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE a", "SUBSCRIBE __redis__:invalidate"]);
    hear(&mut relay, &format!("{A}*3|$9|subscribe|$20|__redis__:invalidate|:2|"));
    assert_eq!(asks(&mut relay), None);
}

#[test]
fn watched_keys_and_queued_commands_keep_a_client_where_it_is_until_their_end() {
    let mut relay =
        relay(true, &["WATCH k", "MULTI", "EXEC", "MULTI", "UNWATCH", "DISCARD", "WATCH k", "UNWATCH"]);
    for (said, moves) in [
        // What is not answered goes again.
        ("", true),
        ("+OK|", false),
        ("+OK|", false),
        ("-EXECABORT no|", true),
        ("+OK|", false),
        ("+QUEUED|", false),
        ("+OK|", true),
        ("+OK|", false),
        ("+OK|", true),
    ] {
        hear(&mut relay, said);
        assert_eq!(relay.standing.can_move(), moves, "{said}");
    }
}

#[test]
fn what_an_exec_that_subscribes_is_answered_passes_as_it_is() {
    let mut relay = relay(true, &["MULTI", "SUBSCRIBE a b"]);
    assert!(!relay.is_matched());
    let said = "+OK|+QUEUED|*1|>3|$9|subscribe|$1|a|:1|>3|$9|subscribe|$1|b|:2|>3|$7|message|$1|a|$1|x|";
    assert_eq!(hear(&mut relay, said), (said.to_owned(), 0));
    assert_eq!(asks(&mut relay), None);
}

#[test]
fn a_relayed_session_that_changes_its_version_is_followed() {
    let list = "*2|$7|message|$1|x|";
    let mut relay = relay(false, &["HELLO 3", "SUBSCRIBE a", "LRANGE k 0 -1", "RESET", "LRANGE k 0 -1"]);
    assert_eq!(hear(&mut relay, "%1|$5|proto|:3|").1, 1);
    assert_eq!(hear(&mut relay, ">3|$9|subscribe|$1|a|:1|").1, 1);
    assert_eq!(hear(&mut relay, list).1, 1, "no message: those are pushes now");
    assert_eq!(hear(&mut relay, "+RESET|").1, 1);
    assert_eq!(hear(&mut relay, list).1, 1, "no message: nothing is subscribed to");
}

#[test]
fn a_script_that_a_relayed_client_loads_is_kept_for_another_server() {
    let scripts: Arc<Scripts> = Arc::default();
    let mut relay = RedisRelay::new(true, NOTHING, Arc::clone(&scripts));
    relay.sent(&batch("SCRIPT LOAD text"));
    let anywhere = foretoken_types::Address::Unix("/nowhere".into());
    assert_eq!(scripts.to_load(&anywhere, true), None);
    hear(&mut relay, "$1|0|");
    assert!(scripts.to_load(&anywhere, true).is_some());
}

#[test]
fn a_blocked_command_that_the_server_lets_go_waits_at_another_for_the_rest_of_its_time() {
    let role =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)|";
    let mut relay = relay(true, &["SUBSCRIBE a", "BLPOP q 10", "GET k"]);
    let a = A.replacen('*', ">", 1);
    assert_eq!(hear(&mut relay, &format!("{a}{role}")), (a, 1));
    let mut more = BytesMut::from(&b"+OK\r\n"[..]);
    assert!(relay.received(&mut more).is_err(), "the connection ends there");
    assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE a", "BLPOP q 6.000", "GET k"]);
    hear(&mut relay, &A.replacen('*', ">", 1));
    // Who let it go was another client, and said so.
    let killed = "-UNBLOCKED client unblocked via CLIENT UNBLOCK|";
    assert_eq!(hear(&mut relay, killed), (killed.to_owned(), 1));
}

#[test]
fn a_transaction_that_has_ended_leaves_nothing_behind() {
    for end in ["*0|", "-EXECABORT no|"] {
        let mut relay = relay(true, &["SUBSCRIBE a", "MULTI", "EXEC"]);
        hear(&mut relay, ">3|$9|subscribe|$1|a|:1|+OK|");
        assert_eq!(asks(&mut relay), None);
        hear(&mut relay, end);
        assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE a"]);
    }
}

#[test]
fn a_long_message_passes_in_pieces_and_keeps_the_relay_until_its_end() {
    let mut relay = relay(false, &["SUBSCRIBE a"]);
    hear(&mut relay, A);
    let long = "x".repeat(2 * WHOLE_BYTES);
    let message = format!("*3|$7|message|$1|a|${}|{long}|", long.len());
    let (begin, end) = message.split_at(message.len() / 2 + 100);
    assert_eq!(hear(&mut relay, begin).0, begin);
    assert_eq!(asks(&mut relay), None);
    assert_eq!(hear(&mut relay, end).0, end);
    assert!(asks(&mut relay).is_some());
}

#[test]
fn more_than_is_kept_keeps_a_client_where_it_is() {
    /// Names of 64 KiB and two digits in 1 MiB.
    const NAMES_MOST: usize = 15;
    let long = "n".repeat(64 * 1024);
    let mut relay = relay(false, &[]);
    for number in 0..=NAMES_MOST {
        let name = format!("{long}{number:02}");
        relay.sent(&batch(&format!("SUBSCRIBE {name}")));
        hear(&mut relay, &format!("*3|$9|subscribe|${}|{name}|:1|", name.len()));
        assert_eq!(asks(&mut relay).is_some(), number < NAMES_MOST, "{number}");
        if number < NAMES_MOST {
            for known in 0..=number {
                let name = format!("{long}{known:02}");
                assert_eq!(hear(&mut relay, &format!("*3|$9|subscribe|${}|{name}|:1|", name.len())).0, "");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_passes_does_not_depend_on_the_cuts(resp3: bool, cuts in prop::collection::vec(1..40_usize, 1..20)) {
        let kind = if resp3 { '>' } else { '*' };
        let said = format!(
            "{kind}3|$9|subscribe|$1|a|:1|{kind}3|$9|subscribe|$1|b|:2|{kind}3|$7|message|$1|a|$2|\r\n|{kind}3|$11|unsubscribe|$1|a|:1|"
        ).replace('|', "\r\n");
        let mut relay = relay(resp3, &["SUBSCRIBE a b", "UNSUBSCRIBE a"]);
        let (mut input, mut passed, mut answered) = (BytesMut::new(), Vec::new(), 0);
        let mut rest = said.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            rest = more;
            input.extend_from_slice(piece);
            let part = relay.received(&mut input).expect("well formed");
            passed.extend_from_slice(&part.bytes);
            answered += part.answered;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(String::from_utf8_lossy(&passed), said);
        prop_assert_eq!(answered, 2);
        prop_assert_eq!(asks(&mut relay).expect("moves"), ["SUBSCRIBE b"]);
    }

    #[test]
    fn no_bytes_make_it_panic(resp3: bool, bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1..50_usize) {
        let mut relay = relay(resp3, &["SUBSCRIBE a", "MONITOR", "UNSUBSCRIBE", "GET k"]);
        let mut input = BytesMut::new();
        for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            if relay.received(&mut input).is_err() {
                break;
            }
        }
        relay.renew(Epoch(1), Duration::ZERO);
    }
}

#[test]
fn answers_to_what_we_asked_are_nobody_elses() {
    let mut relay = relay(true, &["CLIENT TRACKING ON"]);
    hear(&mut relay, "+OK|");
    assert_eq!(asks(&mut relay), Some(vec!["CLIENT TRACKING ON".to_owned()]));
    relay.sent(&batch("CLIENT REPLY SKIP"));
    let mut input = BytesMut::from(&b"+OK\r\n"[..]);
    assert_eq!(relay.received(&mut input).expect_err("whose is it?").kind, FaultKind::Pinned);
}

#[test]
fn an_answer_that_is_passed_on_in_pieces_has_begun() {
    let mut relay = relay(true, &["GETDEL k"]);
    let mut input = BytesMut::from(format!("${}\r\n", 2 * WHOLE_BYTES).as_bytes());
    input.resize(input.len() + WHOLE_BYTES, b'x');
    let begun = relay.received(&mut input).expect("well formed");
    assert_eq!((begun.answered, begun.partly), (0, true));
    input.resize(WHOLE_BYTES, b'x');
    input.extend_from_slice(b"\r\n");
    let ended = relay.received(&mut input).expect("well formed");
    assert_eq!((ended.answered, ended.partly), (1, false));
}
