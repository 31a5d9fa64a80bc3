//! What holds for all bytes. Run by `make fuzz` over what libFuzzer finds, and by `cargo test` over the corpus.
//!
//! The first byte says where the rest is cut; each property must hold however bytes come.
#![allow(unreachable_pub, reason = "a library for some, a module for others")]

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use foretoken_protocol::{Batch, BlockMap, Blocks, Carriage, Protocol as _, Relay as _, Session as _, Step};
use foretoken_protocol_redis::Redis;
use foretoken_protocol_redis::classify::{Reach, classify, keys};
use foretoken_protocol_redis::wire::{FrameKind, ReplyScanner, RequestScanner, Scan, args};
use foretoken_types::{Access, Epoch, Fault, FaultKind};

/// The pieces in which the bytes come.
fn pieces(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (size, rest) = bytes.split_first()?;
    Some(rest.chunks(usize::from(*size).max(1)))
}

/// Requests are found at the same places however they come, and what is found can be read and classified.
pub fn requests(bytes: &[u8]) {
    let Some(pieces) = pieces(bytes) else { return };
    let all = &bytes[1..];
    let mut at_once = Vec::new();
    let mut rest = all;
    let failed = loop {
        match RequestScanner::default().scan(rest) {
            Ok(Scan::Complete(frame)) => {
                let request = &rest[..frame.len];
                if let FrameKind::Multibulk { args: count } = frame.kind {
                    assert_eq!(args(request).count(), count as usize, "each argument can be read");
                }
                read(request);
                at_once.push(frame.len);
                rest = &rest[frame.len..];
            }
            Ok(Scan::Incomplete { scanned }) => {
                assert!(scanned <= rest.len());
                // Of a beginning, too.
                read(rest);
                break false;
            }
            Err(_) => break true,
        }
    };
    let (mut scanner, mut buffer, mut in_pieces, mut refused) =
        (RequestScanner::default(), BytesMut::new(), Vec::new(), false);
    'all: for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.scan(&buffer) {
                Ok(Scan::Complete(frame)) => {
                    in_pieces.push(frame.len);
                    buffer.advance(frame.len);
                }
                Ok(Scan::Incomplete { .. }) => break,
                Err(_) => {
                    refused = true;
                    break 'all;
                }
            }
        }
    }
    assert_eq!((at_once, failed), (in_pieces, refused));
}

/// Whatever it is, it is of some class and has some keys, which lie in it.
fn read(request: &[u8]) {
    let class = classify(request);
    assert!(class.known || class.access == Access::Write, "what is not known may write");
    let mut bytes = 0;
    if keys(request, |key| bytes += key.len()) == Reach::Told {
        assert!(bytes <= request.len());
    }
}

/// As many replies end however they come, and none is read past its end.
pub fn replies(bytes: &[u8]) {
    let Some(pieces) = pieces(bytes) else { return };
    let mut whole = ReplyScanner::default();
    let at_once = whole.scan(&bytes[1..], u32::MAX, |text| assert!(text.len() <= 128));
    let (mut scanner, mut complete, mut pushes) = (ReplyScanner::default(), 0, 0);
    for piece in pieces {
        match scanner.scan(piece, u32::MAX, |_| {}) {
            Ok(progress) => {
                assert_eq!(progress.consumed, piece.len());
                complete += progress.complete;
                pushes += progress.pushes;
            }
            Err(malformed) => {
                assert_eq!(at_once, Err(malformed));
                return;
            }
        }
    }
    let at_once = at_once.expect("no piece was malformed");
    assert_eq!((at_once.complete, at_once.pushes), (complete, pushes));
}

/// A session takes any bytes, any reply, any fault and any loss of its connection, in any order, and answers each request once.
pub fn session(bytes: &[u8]) {
    let Some(pieces) = pieces(bytes) else { return };
    let redis = Redis { blocks: BlockMap::new([&b"a"[..], b"b:"]), ..Redis::default() };
    let mut session = redis.session();
    let mut input = BytesMut::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        // What the world does is decided by the bytes, too.
        let fate = piece.first().copied().unwrap_or_default();
        loop {
            let before = input.len();
            match session.step(&mut input) {
                Step::Starved => break,
                Step::Answer { close: true, .. } => return,
                Step::Answer { .. } | Step::Piece { .. } => {}
                Step::Batch(batch) | Step::Long(batch) => {
                    assert!(batch.requests > 0 && !batch.frames.is_empty());
                    meet(&mut session, &batch, fate);
                }
            }
            assert!(input.len() <= before, "a step never makes bytes");
        }
    }
}

/// What becomes of a batch.
fn meet(session: &mut <Redis as foretoken_protocol::Protocol>::Session, batch: &Batch, fate: u8) {
    match fate % 5 {
        0 => {
            session.replied(batch, b"+OK\r\n");
        }
        1 => {
            session.replied(batch, b"-ERR no\r\n");
        }
        2 => {
            session.moved(batch);
            session.restore();
        }
        kind => {
            let fault = if kind == 3 {
                Fault::safe(FaultKind::HoldExpired)
            } else {
                Fault::unknown(FaultKind::Reset)
            };
            let refusal = session.refuse(batch, fault, Epoch(1));
            assert_eq!(refusal.in_doubt + refusal.not_executed, batch.requests, "each is told once");
            if let Some(words) = refusal.words {
                let replies = ReplyScanner::default().scan(&words, u32::MAX, |_| {}).expect("well formed");
                assert_eq!(replies.complete, batch.requests);
            }
        }
    }
    if batch.carriage == Carriage::Shared {
        let requests: u32 = session.apart(batch).iter().map(|piece| piece.requests).sum();
        assert!(requests == 0 || requests == batch.requests, "taken apart, none is lost");
    }
}

/// A relay takes any requests and any bytes of a server, passes on no more than came, and can always say whether it can be renewed.
pub fn relay(bytes: &[u8]) {
    let Some((split, rest)) = bytes.split_first() else { return };
    let (asked, said) = rest.split_at(usize::from(*split).min(rest.len()));
    let redis = Redis::default();
    let mut relay = redis.relay(&redis.session()).expect("a new session has lost nothing");
    let mut left = asked;
    while let Ok(Scan::Complete(frame)) = RequestScanner::default().scan(left) {
        let frames = bytes::Bytes::copy_from_slice(&left[..frame.len]);
        left = &left[frame.len..];
        let (access, carriage, blocks) = (Access::Read, Carriage::Relay, Blocks::NONE);
        relay.sent(&Batch { frames, requests: 1, access, carriage, blocks, any_server: false, quiet: false });
    }
    let mut input = BytesMut::new();
    for piece in said.chunks(7) {
        input.extend_from_slice(piece);
        let before = input.len();
        let Ok(passed) = relay.received(&mut input) else { return };
        assert!(passed.bytes.len() + input.len() <= before);
    }
    relay.renew(Epoch(2), Duration::ZERO);
    relay.renew(Epoch(3), Duration::MAX);
}
