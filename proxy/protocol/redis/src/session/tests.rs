use foretoken_protocol::{Carriage, Relay as _};
use proptest::prelude::*;

use super::batching::LONG_BYTES;
use super::*;

mod blocks;

fn frame(args: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    out
}

fn frames(all: &[&[&str]]) -> BytesMut {
    BytesMut::from(&all.iter().flat_map(|args| frame(args)).collect::<Vec<_>>()[..])
}

/// Steps until more bytes are needed, playing a server that says `+OK` to everything.
fn drive(session: &mut RedisSession, input: &mut BytesMut) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match session.step(input) {
            Step::Starved => return told,
            Step::Batch(batch) => {
                told.push(format!("{:?} {} {:?}", batch.carriage, batch.requests, batch.access));
                if batch.carriage != Carriage::Shared {
                    session.replied(&batch, b"+OK\r\n");
                }
            }
            Step::Long(batch) => told.push(format!("long {:?} {:?}", batch.carriage, batch.access)),
            Step::Piece { last, .. } => told.push(format!("piece {last}")),
            Step::Answer { reply, close } => {
                told.push(format!("answer {} {close}", String::from_utf8_lossy(&reply).trim_end()));
                if close {
                    return told;
                }
            }
        }
    }
}

#[test]
fn plain_requests_travel_together_and_a_whole_transaction_with_them() {
    let mut input = frames(&[
        &["GET", "a"],
        &["SET", "a", "1"],
        &["MULTI"],
        &["INCR", "a"],
        &["EXEC"],
        &["GET", "a"],
        &["BLPOP", "q", "0"],
        &["GET", "a"],
    ]);
    assert_eq!(
        drive(&mut RedisSession::default(), &mut input),
        ["Shared 6 Write", "Blocking 1 Write", "Shared 1 Read"]
    );
}

#[test]
fn a_transaction_that_comes_in_parts_pins_the_session_until_its_end() {
    let mut session = RedisSession::default();
    assert_eq!(
        drive(&mut session, &mut frames(&[&["MULTI"], &["INCR", "a"]])),
        ["Dedicated 1 Read", "Dedicated 1 Read"]
    );
    assert!(session.is_pinned());
    let Restore::Replay { frames: replay, requests } = session.restore() else { panic!("it can be moved") };
    assert_eq!((replay, requests), (frames(&[&["MULTI"], &["INCR", "a"]]).freeze(), 2));
    drive(&mut session, &mut frames(&[&["EXEC"]]));
    assert!(!session.is_pinned());
    assert_eq!(drive(&mut session, &mut frames(&[&["GET", "a"]])), ["Shared 1 Read"]);
}

#[test]
fn login_changes_the_key_only_when_the_server_accepted_it() {
    let mut session = RedisSession::default();
    let fresh = session.key().clone();
    let mut input = frames(&[&["AUTH", "user", "wrong"]]);
    let Step::Batch(batch) = session.step(&mut input) else { panic!("a batch") };
    session.replied(&batch, b"-WRONGPASS invalid\r\n");
    assert!(*session.key() == fresh);
    drive(
        &mut session,
        &mut frames(&[&["HELLO", "3", "AUTH", "user", "right", "SETNAME", "n"], &["SELECT", "4"]]),
    );
    let (preamble, requests) = session.key().preamble();
    let expected =
        frames(&[&["AUTH", "user", "right"], &["HELLO", "3"], &["CLIENT", "SETNAME", "n"], &["SELECT", "4"]]);
    assert_eq!((preamble, requests), (expected.freeze(), 4));
    assert!(!format!("{:?}", session.key()).contains("right"), "a key never shows a credential");
    drive(&mut session, &mut frames(&[&["RESET"]]));
    assert!(*session.key() == fresh);
}

#[test]
fn watched_keys_that_were_left_behind_make_the_next_transaction_fail() {
    let mut session = RedisSession::default();
    drive(&mut session, &mut frames(&[&["WATCH", "a"]]));
    let Step::Batch(get) = session.step(&mut frames(&[&["GET", "a"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&get), None);
    assert_eq!(
        drive(&mut session, &mut frames(&[&["MULTI"], &["SET", "a", "1"], &["EXEC"], &["GET", "a"]])),
        ["answer +OK false", "answer +QUEUED false", "answer *-1 false", "Shared 1 Read"]
    );
}

#[test]
fn keys_that_are_watched_beside_those_left_behind_are_not_watched_longer_than_they() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(get) = session.step(&mut frames(&[&["GET", "a"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&get), None);
    assert_eq!(
        drive(&mut session, &mut frames(&[&["WATCH", "b"], &["MULTI"], &["EXEC"], &["MULTI"], &["EXEC"]])),
        ["answer +OK false", "answer +OK false", "answer *-1 false", "Shared 2 Write"],
        "no server watches b"
    );
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(get) = session.step(&mut frames(&[&["GET", "a"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&get), None);
    assert_eq!(
        drive(&mut session, &mut frames(&[&["WATCH"], &["UNWATCH"], &["WATCH", "b"]])),
        ["Dedicated 1 Read"; 3],
        "a server has the words for what is wrong, and what ends the watch ends this"
    );
}

#[test]
fn a_watch_that_finds_the_others_lost_is_lost_with_them() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(watch) = session.step(&mut frames(&[&["WATCH", "b"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&watch).as_deref(), Some(&b"+OK\r\n"[..]), "no server hears of it");
    assert_eq!(
        drive(&mut session, &mut frames(&[&["MULTI"], &["EXEC"]])),
        ["answer +OK false", "answer *-1 false"]
    );
}

#[test]
fn a_reset_of_a_lost_transaction_resets_the_connection_too() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(select) = session.step(&mut frames(&[&["SELECT", "3"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&select), None);
    session.replied(&select, b"+OK\r\n");
    assert_eq!(drive(&mut session, &mut frames(&[&["MULTI"], &["GET", "a"]])).len(), 2);
    let Step::Batch(reset) = session.step(&mut frames(&[&["RESET"]])) else { panic!("a server resets it") };
    assert_eq!(
        session.restore(),
        Restore::Replay { frames: Bytes::new(), requests: 0 },
        "nothing of it is sent"
    );
    session.replied(&reset, b"+RESET\r\n");
    assert_eq!(session.key(), &SessionKey::default());
    assert_eq!(
        drive(&mut session, &mut frames(&[&["EXEC"], &["GET", "a"]])),
        ["Dedicated 1 Write", "Shared 1 Read"]
    );
}

#[test]
fn a_transaction_that_begins_where_watched_keys_were_not_fails() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(multi) = session.step(&mut frames(&[&["MULTI"]])) else { panic!("a batch") };
    assert_eq!(session.moved(&multi).as_deref(), Some(&b"+OK\r\n"[..]));
    assert_eq!(
        drive(&mut session, &mut frames(&[&["SET", "a", "1"], &["EXEC"], &["GET", "a"]])),
        ["answer +QUEUED false", "answer *-1 false", "Shared 1 Read"]
    );
}

#[test]
fn a_command_that_was_not_queued_makes_its_transaction_fail() {
    let mut session = RedisSession::default();
    drive(&mut session, &mut frames(&[&["MULTI"]]));
    let Step::Batch(batch) = session.step(&mut frames(&[&["SET", "a", "1"]])) else { panic!("a batch") };
    let refusal = session.refuse(&batch, Fault::unknown(FaultKind::Reset), Epoch(3));
    assert_eq!((refusal.in_doubt, refusal.not_executed), (0, 1), "only EXEC executes");
    let told = drive(&mut session, &mut frames(&[&["EXEC"]]));
    assert!(told[0].starts_with("answer -EXECABORT"), "{told:?}");
}

#[test]
fn only_writes_of_a_failed_batch_are_in_doubt() {
    let mut session = RedisSession::default();
    let Step::Batch(batch) = session.step(&mut frames(&[&["GET", "a"], &["SET", "a", "1"]])) else {
        panic!("a batch")
    };
    let refusal = session.refuse(&batch, Fault::unknown(FaultKind::EpochMoved), Epoch(7));
    let words = refusal.words.expect("words");
    assert!(words.starts_with(b"-LOADING "), "{words:?}");
    assert!(
        words.ends_with(b"\r\n-FTINDOUBT write may or may not have been applied (epoch 7)\r\n"),
        "{words:?}"
    );
    assert_eq!((refusal.in_doubt, refusal.not_executed), (1, 1));
}

#[test]
fn a_long_request_is_streamed_in_pieces_and_the_session_goes_on_behind_it() {
    let value = "v".repeat(3 * LONG_BYTES);
    let whole = frame(&["SET", "k", &value]);
    let mut session = RedisSession::default();
    let mut input = BytesMut::new();
    let mut told = Vec::new();
    for piece in whole.chunks(700_000) {
        input.extend_from_slice(piece);
        told.extend(drive(&mut session, &mut input));
        assert!(input.len() <= LONG_BYTES + 700_000, "no more than one piece above the limit is kept");
    }
    assert_eq!(told.first().map(String::as_str), Some("long Dedicated Write"));
    assert_eq!(told.last().map(String::as_str), Some("piece true"));
    assert_eq!(drive(&mut session, &mut frames(&[&["GET", "k"]])), ["Shared 1 Read"]);
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET",
        "set",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH",
        "SELECT",
        "AUTH",
        "HELLO",
        "3",
        "CLIENT",
        "SETNAME",
        "BLPOP",
        "SUBSCRIBE",
        "QUIT",
        "RESET",
        "WAIT",
        "XREAD",
        "BLOCK",
        "NOSUCH",
        "a",
        "",
        "0",
    ]);
    let args = prop::collection::vec(word, 1..5);
    prop_oneof![
        6 => args.clone().prop_map(|args| frame(&args)),
        1 => args.prop_map(|args| (args.join(" ") + "\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_bytes_cut_anywhere_give_the_same_requests_and_never_panic(
        requests in prop::collection::vec(any_request(), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let whole: Vec<u8> = requests.concat();
        // What a session makes of a stream may depend on the cuts only in how requests are grouped.
        let summary = |session: &mut RedisSession, pieces: Vec<&[u8]>| {
            let (mut input, mut sent, mut answers, mut closed) = (BytesMut::new(), Vec::new(), Vec::new(), false);
            for piece in pieces {
                input.extend_from_slice(piece);
                while !closed {
                    match session.step(&mut input) {
                        Step::Starved => break,
                        Step::Batch(batch) => {
                            prop_assert!(batch.requests > 0 && !batch.frames.is_empty());
                            if !batch.quiet {
                                sent.extend_from_slice(&batch.frames);
                            }
                            if batch.carriage != Carriage::Shared {
                                session.replied(&batch, b"+OK\r\n");
                            }
                        }
                        Step::Answer { reply, close } => {
                            answers.push(reply);
                            closed |= close;
                        }
                        Step::Long(_) | Step::Piece { .. } => prop_assert!(false, "nothing here is long"),
                    }
                }
            }
            Ok((sent, answers, closed))
        };
        let at_once = summary(&mut RedisSession::default(), vec![&whole])?;
        let mut pieces = Vec::new();
        let mut rest = &whole[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(summary(&mut RedisSession::default(), pieces)?, at_once);
    }
}

/// One request, and what the server answers to it.
fn reply(session: &mut RedisSession, args: &[&str], reply: &[u8]) -> Retirement {
    let Step::Batch(batch) = session.step(&mut frames(&[args])) else {
        panic!("{args:?} goes to the server")
    };
    session.replied(&batch, reply)
}

#[test]
fn what_a_transaction_set_stays_with_its_connection() {
    for (inside, then, pinned) in [
        (["SELECT", "1"], ["EXEC", "*1\r\n+OK\r\n"], true),
        (["AUTH", "secret"], ["EXEC", "*1\r\n+OK\r\n"], true),
        (["SELECT", "1"], ["DISCARD", "+OK\r\n"], false),
        (["SELECT", "1"], ["EXEC", "-EXECABORT\r\n"], false),
        (["INCR", "a"], ["EXEC", "*1\r\n:1\r\n"], false),
    ] {
        let mut session = RedisSession::default();
        reply(&mut session, &["MULTI"], b"+OK\r\n");
        reply(&mut session, &inside, b"+QUEUED\r\n");
        reply(&mut session, &then[..1], then[1].as_bytes());
        assert_eq!(session.is_pinned(), pinned, "{inside:?} {then:?}");
        let mut relay = session.relay().expect("nothing was lost");
        assert_eq!(relay.renew(Epoch(2), Duration::ZERO).is_none(), pinned, "{inside:?} {then:?}");
    }
}

#[test]
fn scripts_that_a_transaction_has_loaded_are_kept_for_another_server() {
    let requests = [&["SET", "k", "v"][..], &["SCRIPT", "LOAD", "wrong"], &["SCRIPT", "LOAD", "right"]];
    for (end, told, kept) in [
        ("EXEC", "*3\r\n+OK\r\n-ERR Error compiling script\r\n$5\r\nsha-1\r\n", 1),
        ("EXEC", "*3\r\n+OK\r\n$5\r\nsha-0\r\n$5\r\nsha-1\r\n", 2),
        // The beginning of a long answer.
        ("EXEC", "*3\r\n+OK\r\n$5\r\nsha-0\r\n$5\r\n", 1),
        ("EXEC", "*-1\r\n", 0),
        ("EXEC", "-EXECABORT no\r\n", 0),
        ("DISCARD", "+OK\r\n", 0),
    ] {
        let scripts: Arc<Scripts> = Arc::default();
        let mut session = RedisSession::new(SessionKey::default(), None, Arc::clone(&scripts));
        reply(&mut session, &["MULTI"], b"+OK\r\n");
        for request in requests {
            reply(&mut session, request, b"+QUEUED\r\n");
        }
        reply(&mut session, &[end], told.as_bytes());
        let anywhere = foretoken_types::Address::Unix("/nowhere".into());
        assert_eq!(scripts.to_load(&anywhere, true).map_or(0, |(_, count)| count), kept, "{end} {told}");
    }
}

#[test]
fn that_something_was_forgotten_is_true_whoever_is_the_primary() {
    for (begin, end, retirement) in [
        ("MULTI", "DISCARD", Retirement::Told),
        ("WATCH", "UNWATCH", Retirement::Told),
        ("MULTI", "EXEC", Retirement::Spare),
    ] {
        let mut session = RedisSession::default();
        reply(&mut session, &[begin, "k"], b"+OK\r\n");
        assert_eq!(reply(&mut session, &[end], b"+OK\r\n"), retirement, "{end}");
    }
}

#[test]
fn what_the_server_refused_ends_nothing() {
    let words: &[u8] = b"-ERR wrong number of arguments for this command\r\n";
    let mut session = RedisSession::default();
    reply(&mut session, &["SELECT", "3"], b"+OK\r\n");
    let third = session.key().clone();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    for (command, words) in [
        (&["EXEC"][..], &b"-ERR EXEC without MULTI\r\n"[..]),
        (&["DISCARD"], b"-ERR DISCARD without MULTI\r\n"),
        (&["UNWATCH", "x"], words),
        (&["RESET", "x"], words),
    ] {
        assert_eq!(reply(&mut session, command, words), Retirement::Keep, "{command:?}");
        assert!(session.watching && *session.key() == third, "{command:?}");
    }
    reply(&mut session, &["MULTI"], b"+OK\r\n");
    reply(&mut session, &["DISCARD", "x"], words);
    reply(&mut session, &["RESET", "x"], words);
    assert!(session.transaction.is_some(), "it is still open");
    reply(&mut session, &["EXEC", "x"], b"-EXECABORT Transaction discarded because\r\n");
    assert!(!session.is_pinned());
}

#[test]
fn a_transaction_with_a_command_that_was_refused_is_replayed_too() {
    let mut session = RedisSession::default();
    reply(&mut session, &["MULTI"], b"+OK\r\n");
    reply(&mut session, &["GET"], b"-ERR wrong number of arguments for 'get' command\r\n");
    reply(&mut session, &["INCR", "a"], b"+QUEUED\r\n");
    let Restore::Replay { requests: 3, .. } = session.restore() else { panic!("it can be moved") };
    assert_eq!(session.restored(b"+OK\r\n-ERR wrong number\r\n+QUEUED\r\n"), Ok(()));
    for (replies, fault) in [
        (&b"+OK\r\n+QUEUED\r\n+QUEUED\r\n"[..], FaultKind::Pinned),
        (b"+OK\r\n-ERR wrong number\r\n-ERR unknown command\r\n", FaultKind::Pinned),
        (
            b"+OK\r\n-ERR wrong number\r\n-READONLY You can't write against a read only replica.\r\n",
            FaultKind::NotServing,
        ),
    ] {
        assert_eq!(session.restored(replies), Err(fault));
    }
}

#[test]
fn a_command_that_a_server_without_the_role_does_not_queue_goes_again() {
    let readonly = b"+QUEUED\r\n-READONLY You can't write against a read only replica.\r\n";
    let mut session = RedisSession::default();
    assert!(!session.turned_away(readonly), "nothing was to be queued");
    reply(&mut session, &["MULTI"], b"+OK\r\n");
    session.step(&mut frames(&[&["GET", "a"], &["INCR", "a"]]));
    assert!(session.turned_away(readonly));
    for words in [
        &b"+QUEUED\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n"[..],
        b"+QUEUED\r\n+QUEUED\r\n",
    ] {
        assert!(!session.turned_away(words), "that is the client's affair");
    }
    session.step(&mut frames(&[&["EXEC"]]));
    assert!(!session.turned_away(readonly), "these are results");
}

#[test]
fn a_transaction_whose_end_has_an_argument_too_many_is_not_whole() {
    for end in ["EXEC", "DISCARD"] {
        let mut input = frames(&[&["MULTI"], &["INCR", "a"], &[end, "x"]]);
        let Step::Batch(batch) = RedisSession::default().step(&mut input) else { panic!("a batch") };
        assert_eq!((batch.carriage, batch.requests), (Carriage::Dedicated, 1), "{end}");
    }
}

#[test]
fn a_hello_that_failed_behind_an_option_leaves_its_connection_to_nobody() {
    let wrong_option = "-ERR Syntax error in HELLO option 'BAD'\r\n";
    let wrong_password = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let login = ["HELLO", "3", "auth", "user", "secret"];
    for (more, told, pinned) in [
        (&["BAD"][..], wrong_option, true),
        (&[], wrong_password, false),
        (&["SETNAME", "n"], wrong_password, true),
        (&["AUTH", "user", "other"], wrong_password, true),
        (&["BAD"], "-NOPROTO unsupported protocol version\r\n", false),
        (&[], "%0\r\n", false),
    ] {
        let mut session = RedisSession::default();
        let retirement = reply(&mut session, &[&login, more].concat(), told.as_bytes());
        assert_eq!(session.is_pinned(), pinned, "{more:?} {told}");
        assert_eq!(retirement == Retirement::Surplus, !pinned, "{more:?} {told}");
    }
    for (last, pinned) in [("AUTH", true), ("SETNAME", true), ("n", false)] {
        let mut session = RedisSession::default();
        reply(&mut session, &["HELLO", "3", last], wrong_option.as_bytes());
        assert_eq!(session.is_pinned(), pinned, "{last}");
    }
}

#[test]
fn a_relayed_command_inside_of_a_transaction_is_queued_and_its_exec_begins_the_relay() {
    for (inside, told, then) in [
        (&["SUBSCRIBE", "c"][..], &b"+QUEUED\r\n"[..], "Relay"),
        (&["CLIENT", "REPLY", "OFF"], b"+QUEUED\r\n", "Relay"),
        (&["HELLO", "3"], b"+QUEUED\r\n", "Relay"),
        (&["SYNC"], b"-ERR Command not allowed inside a transaction\r\n", "Dedicated"),
    ] {
        for (end, carriage) in [("EXEC", then), ("DISCARD", "Dedicated")] {
            let mut session = RedisSession::default();
            reply(&mut session, &["MULTI"], b"+OK\r\n");
            reply(&mut session, inside, told);
            let Step::Batch(batch) = session.step(&mut frames(&[&[end]])) else { panic!("a batch") };
            assert_eq!(format!("{:?}", batch.carriage), carriage, "{inside:?} {end}");
            if carriage == "Relay" {
                let relay = session.relay().expect("nothing was lost");
                assert!(!relay.is_matched(), "how many answers its EXEC gets is not known");
            }
        }
    }
}

#[test]
fn a_relay_stays_where_its_session_holds_what_cannot_be_moved() {
    for (held, moves) in [
        (&["CLIENT", "ID"][..], true),
        (&["SELECT", "2"], true),
        (&["WATCH", "a"], false),
        (&["READONLY"], false),
    ] {
        let mut session = RedisSession::default();
        reply(&mut session, held, b"+OK\r\n");
        let Step::Batch(batch) = session.step(&mut frames(&[&["SUBSCRIBE", "c"]])) else { panic!("a batch") };
        assert_eq!(batch.carriage, Carriage::Relay, "{held:?}");
        let mut relay = session.relay().expect("nothing was lost");
        assert_eq!(relay.renew(Epoch(2), Duration::ZERO).is_some(), moves, "{held:?}");
    }
}

#[test]
fn no_relay_forgets_that_watched_keys_were_left_behind() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    let Step::Batch(batch) = session.step(&mut frames(&[&["CLIENT", "TRACKING", "ON"]])) else {
        panic!("a batch")
    };
    assert!(session.relay().is_some());
    assert_eq!(session.moved(&batch), None);
    assert!(session.relay().is_none());
}

#[test]
fn words_of_http_end_the_session_before_a_line_behind_them() {
    for first in ["POST / HTTP/1.1", "Host: store"] {
        let mut input = BytesMut::from(&format!("{first}\r\nFLUSHALL\r\n")[..]);
        assert_eq!(drive(&mut RedisSession::default(), &mut input), ["answer  true"], "{first}");
    }
}

#[test]
fn a_pipeline_is_taken_apart_into_reads_and_writes_in_order() {
    let apart = |requests: &[&[&str]]| {
        let mut session = RedisSession::default();
        let Step::Batch(batch) = session.step(&mut frames(requests)) else { panic!("one batch") };
        assert_eq!(batch.requests as usize, requests.len(), "it travels as one");
        let pieces = session.apart(&batch);
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.frames.to_vec()).collect();
        assert!(pieces.is_empty() || joined == batch.frames, "nothing is lost or moved");
        pieces.iter().map(|piece| format!("{} {:?}", piece.requests, piece.access)).collect::<Vec<_>>()
    };
    let (get, set): (&[&str], &[&str]) = (&["GET", "a"], &["SET", "a", "1"]);
    assert_eq!(apart(&[get, get, set, get, set, set]), ["2 Read", "1 Write", "1 Read", "2 Write"]);
    assert_eq!(apart(&[get, get]), [""; 0]);
    assert_eq!(apart(&[set]), [""; 0]);
    assert_eq!(
        apart(&[&["MULTI"], get, set, &["EXEC"], get]),
        ["4 Write", "1 Read"],
        "a transaction is one thing"
    );
}

#[test]
fn a_wait_that_cannot_be_prepared_is_refused_once() {
    let mut session = RedisSession::default();
    let mut input = frames(&[&["WAIT", "1", "10"], &["GET", "a"]]);
    let Step::Batch(quiet) = session.step(&mut input) else { panic!("something harmless first") };
    assert!(quiet.quiet);
    session.refuse(&quiet, Fault::safe(FaultKind::HoldFull), Epoch(1));
    let Step::Answer { reply, close: false } = session.step(&mut input) else { panic!("an answer") };
    assert_eq!(reply, reply::not_executed(FaultKind::HoldFull));
    let Step::Batch(get) = session.step(&mut input) else { panic!("the next request") };
    assert_eq!((get.requests, get.carriage), (1, Carriage::Shared));
}

#[test]
fn where_a_session_that_watches_works_is_told_whoever_is_the_primary() {
    let mut session = RedisSession::default();
    reply(&mut session, &["WATCH", "a"], b"+OK\r\n");
    assert_eq!(reply(&mut session, &["SELECT", "3"], b"+OK\r\n"), Retirement::Told);
    assert_eq!(reply(&mut session, &["SELECT", "x"], b"-ERR\r\n"), Retirement::Keep);
}

#[test]
fn a_wait_that_moves_is_prepared_again() {
    let mut session = RedisSession::default();
    let mut input = frames(&[&["WAIT", "1", "0"]]);
    let Step::Batch(ping) = session.step(&mut input) else { panic!("a batch") };
    assert!(ping.quiet);
    session.replied(&ping, b"+PONG\r\n");
    let Step::Batch(_) = session.step(&mut input) else { panic!("a batch") };
    let Restore::Replay { frames, requests } = session.restore() else { panic!("it can be moved") };
    assert_eq!((&frames[..], requests), (PING, 1));
    assert_eq!(session.restored(b"+PONG\r\n"), Ok(()));
}

#[test]
fn a_command_that_the_server_does_not_know_leaves_nothing_behind() {
    for (reply_of, pins) in [
        (&b"-ERR unknown command 'SOMETHING', with args beginning with: \r\n"[..], false),
        (b"-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n", false),
        (b"-ERR Unknown subcommand or wrong number of arguments for 'X'. Try CLIENT HELP.\r\n", false),
        (b"-ERR unknown key\r\n", true),
        (b"+OK\r\n", true),
    ] {
        let mut session = RedisSession::default();
        reply(&mut session, &["CLIENT", "MAINT_NOTIFICATIONS", "ON"], reply_of);
        assert_eq!(session.is_pinned(), pins, "{}", reply_of.escape_ascii());
    }
}
