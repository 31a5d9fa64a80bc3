//! Which data blocks a batch touches.

use foretoken_protocol::{BlockMap, Blocks, Carriage};

use super::*;

const CART: Blocks = Blocks::named(0);
const USER: Blocks = Blocks::named(1);

fn session() -> RedisSession {
    RedisSession::new(SessionKey::default(), BlockMap::new([&b"cart:"[..], b"user:"]), Arc::default())
}

/// The blocks of each batch, for a server that says `+OK` to everything.
fn touched(session: &mut RedisSession, input: &mut BytesMut) -> Vec<Blocks> {
    let mut told = Vec::new();
    loop {
        match session.step(input) {
            Step::Batch(batch) => {
                told.push(batch.blocks);
                if batch.carriage != Carriage::Shared {
                    session.replied(&batch, b"+OK\r\n");
                }
            }
            Step::Long(batch) => told.push(batch.blocks),
            Step::Piece { .. } => {}
            Step::Starved | Step::Answer { .. } => return told,
        }
    }
}

fn of(requests: &[&[&str]]) -> Vec<Blocks> {
    touched(&mut session(), &mut frames(requests))
}

#[test]
fn a_batch_touches_what_any_of_its_requests_touches() {
    let get: &[&str] = &["GET", "cart:1"];
    assert_eq!(of(&[get, get]), [CART]);
    assert_eq!(of(&[get, &["GET", "user:1"]]), [CART | USER]);
    assert_eq!(of(&[&["MGET", "cart:1", "other"]]), [CART | Blocks::REST]);
    assert_eq!(of(&[&["PING"]]), [Blocks::REST]);
    assert_eq!(of(&[get, &["FLUSHALL"]]), [Blocks::ALL]);
    assert_eq!(of(&[&["JSON.GET", "cart:1"]]), [Blocks::ALL], "a module's command");
    assert_eq!(of(&[get, &["BLPOP", "user:q", "0"], get]), [CART, USER, CART]);
    let mut inline = BytesMut::from("GET \"cart:\\x31\"\r\nMSET cart:1 a user:1 b\r\n");
    assert_eq!(touched(&mut session(), &mut inline), [CART, CART | USER]);
}

#[test]
fn without_named_blocks_nobody_looks_at_keys() {
    let mut input = frames(&[&["GET", "cart:1"], &["FLUSHALL"], &["MULTI"], &["GET", "a"]]);
    let told = touched(&mut RedisSession::default(), &mut input);
    assert!(told.iter().all(|blocks| *blocks == Blocks::NONE), "{told:?}");
}

#[test]
fn an_exec_touches_what_was_queued_and_nothing_that_was_queued_before() {
    let mut session = session();
    let transaction: &[&[&str]] = &[&["MULTI"], &["SET", "cart:1", "v"], &["INCR", "user:1"]];
    assert_eq!(touched(&mut session, &mut frames(transaction)), [Blocks::REST, CART | USER]);
    assert_eq!(touched(&mut session, &mut frames(&[&["EXEC"]])), [CART | USER]);
    let next: &[&[&str]] = &[&["MULTI"], &["GET", "user:1"]];
    assert_eq!(touched(&mut session, &mut frames(next)), [Blocks::REST, USER]);
    assert_eq!(touched(&mut session, &mut frames(&[&["EXEC"]])), [USER]);
    assert_eq!(touched(&mut session, &mut frames(&[&["EXEC"]])), [Blocks::ALL], "there was no MULTI");
    assert_eq!(of(&[&["MULTI"], &["SET", "cart:1", "v"], &["EXEC"]]), [CART], "one that came whole");
}

#[test]
fn a_long_request_touches_its_keys_or_all() {
    let value = "v".repeat(2 * LONG_BYTES);
    assert_eq!(long(&["SET", "user:1", &value]), [USER]);
    assert_eq!(long(&["MSET", "user:1", &value, "cart:1", "v"]), [Blocks::ALL]);
}

/// The blocks of a request that comes in two parts.
fn long(request: &[&str]) -> Vec<Blocks> {
    let whole = frame(request);
    let (begin, end) = whole.split_at(LONG_BYTES + LONG_BYTES / 2);
    let (mut session, mut input) = (session(), BytesMut::from(begin));
    let mut told = touched(&mut session, &mut input);
    input.extend_from_slice(end);
    told.extend(touched(&mut session, &mut input));
    told
}

#[test]
fn a_pipeline_is_taken_apart_by_blocks_too() {
    let apart = |requests: &[&[&str]]| {
        let mut session = session();
        let Step::Batch(batch) = session.step(&mut frames(requests)) else { panic!("one batch") };
        assert_eq!(batch.requests as usize, requests.len(), "it travels as one");
        let pieces = session.apart(&batch);
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.frames.to_vec()).collect();
        assert!(pieces.is_empty() || joined == batch.frames, "nothing is lost or moved");
        pieces.iter().map(|piece| (piece.requests, piece.access, piece.blocks)).collect::<Vec<_>>()
    };
    let (cart, user): (&[&str], &[&str]) = (&["INCR", "cart:1"], &["INCR", "user:1"]);
    let (one, both) = (Access::Write, CART | USER);
    assert_eq!(apart(&[cart, cart, user]), [(2, one, CART), (1, one, USER)]);
    assert!(apart(&[cart, cart]).is_empty());
    assert!(apart(&[&["DEL", "cart:1", "user:1"]]).is_empty());
    assert_eq!(
        apart(&[cart, &["MULTI"], cart, user, &["EXEC"], &["MULTI"], user, &["EXEC"], &["GET", "user:1"]]),
        [(1, one, CART), (4, one, both), (3, one, USER), (1, Access::Read, USER)]
    );
}

proptest! {
    #[test]
    fn no_bytes_and_no_cut_of_them_make_it_panic(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                Just(frame(&["MGET", "cart:1", "user:1"])),
                Just(frame(&["MULTI"])),
                Just(frame(&["EXEC"])),
                Just(frame(&["EVAL", "s", "9", "cart:1"])),
                Just(b"GET cart:1\r\n".to_vec()),
            ],
            0..6,
        ),
        cut in any::<proptest::sample::Index>(),
    ) {
        let bytes = pieces.concat();
        let (begin, end) = bytes.split_at(cut.index(bytes.len() + 1));
        let (mut session, mut input) = (session(), BytesMut::from(begin));
        touched(&mut session, &mut input);
        input.extend_from_slice(end);
        touched(&mut session, &mut input);
    }
}
