//! Each input is scanned whole, cut in two at every byte, and byte by byte: the outcome must be the same.

use proptest::prelude::*;

use super::*;
use crate::wire::inline_to_multibulk;

/// Scans all requests of `bytes`, which come in the pieces that end at `cuts`; with `streamed`, what is scanned is taken
/// off the buffer at once. Returns kinds and whole lengths, and the error that ended it.
fn scan_all(bytes: &[u8], cuts: &[usize], streamed: bool) -> (Vec<(usize, FrameKind)>, Option<Malformed>) {
    let mut scanner = RequestScanner::default();
    let (mut buffer, mut frames, mut removed, mut from) = (Vec::new(), Vec::new(), 0, 0);
    for &cut in cuts.iter().chain([&bytes.len()]) {
        buffer.extend_from_slice(&bytes[from..cut]);
        from = cut;
        loop {
            match scanner.scan(&buffer) {
                Err(error) => return (frames, Some(error)),
                Ok(Scan::Complete(frame)) => {
                    frames.push((frame.len + removed, frame.kind));
                    buffer.drain(..frame.len);
                    removed = 0;
                    assert!(!scanner.mid_request());
                    if buffer.is_empty() {
                        break;
                    }
                }
                Ok(Scan::Incomplete { scanned }) => {
                    assert!(scanned <= buffer.len());
                    if streamed {
                        buffer.drain(..scanned);
                        scanner.removed(scanned);
                        removed += scanned;
                    }
                    break;
                }
            }
        }
    }
    (frames, None)
}

/// Checks that all cuts agree, and returns the outcome.
fn scan_every_way(bytes: &[u8]) -> (Vec<(usize, FrameKind)>, Option<Malformed>) {
    let whole = scan_all(bytes, &[], false);
    for cut in 0..=bytes.len() {
        assert_eq!(
            scan_all(bytes, &[cut], false),
            whole,
            "cut at {cut}: {:?}",
            bytes.escape_ascii().to_string()
        );
        assert_eq!(scan_all(bytes, &[cut], true), whole, "streamed, cut at {cut}");
    }
    let single: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(scan_all(bytes, &single, false), whole);
    assert_eq!(scan_all(bytes, &single, true), whole);
    whole
}

fn encode(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn requests_of_all_forms_are_framed_wherever_they_are_cut() {
    let multibulk = |args| FrameKind::Multibulk { args };
    for (bytes, frames) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], vec![(14, multibulk(1))]),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", vec![(19, multibulk(2))]),
        (b"*1\r\n$4\r\n\r\n\r\n\r\n*1\r\n$1\r\n*\r\n", vec![(14, multibulk(1)), (11, multibulk(1))]),
        (b"*1\r\n$12345678", vec![]),
        (
            b"*0\r\n*-1\r\n*-9000000000\r\nPING\r\n",
            vec![
                (4, FrameKind::Empty),
                (5, FrameKind::Empty),
                (14, FrameKind::Empty),
                (6, FrameKind::Inline),
            ],
        ),
        (
            b"\r\n\n \t\r\nset k \"v w\"\n",
            vec![
                (2, FrameKind::Empty),
                (1, FrameKind::Empty),
                (4, FrameKind::Empty),
                (12, FrameKind::Inline),
            ],
        ),
        (b"", vec![]),
        (b"*", vec![]),
        (b"*1\r", vec![]),
        (b"get k", vec![]),
    ] {
        assert_eq!(scan_every_way(bytes), (frames, None), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_redis_refuses_or_reads_loosely_is_refused_wherever_it_is_cut() {
    for (bytes, error) in [
        (&b"*x\r\n"[..], Malformed::InvalidCount),
        (b"*\r\n", Malformed::InvalidCount),
        (b"*01\r\n", Malformed::InvalidCount),
        (b"*+1\r\n", Malformed::InvalidCount),
        (b"*2147483648\r\n", Malformed::InvalidCount),
        (b"*1\rx$4\r\nPING\r\n", Malformed::InvalidCount),
        (b"*1\r\n:4\r\n", Malformed::ExpectedDollar(b':')),
        (b"*1\r\n\r\n", Malformed::ExpectedDollar(b'\r')),
        (b"*1\r\n$-1\r\n", Malformed::InvalidLength),
        (b"*1\r\n$536870913\r\n", Malformed::InvalidLength),
        (b"*1\r\n$99999999999999999999\r\n", Malformed::InvalidLength),
        (b"*1\r\n$4\n\r\nPING\r\n", Malformed::InvalidLength),
        (b"*1\r\n$4\r\nPING__", Malformed::BulkEnd),
        (b"*1\r\n$4\r\nPING\r_", Malformed::BulkEnd),
        (b"set \"k\r\n", Malformed::UnbalancedQuotes),
        (b"set k\0\r\n", Malformed::InlineNul),
    ] {
        assert_eq!(scan_every_way(bytes).1, Some(error), "{}", bytes.escape_ascii());
    }
    assert_eq!(
        &Malformed::ExpectedDollar(b'\n').reply()[..],
        b"-ERR Protocol error: expected '$', got ' '\r\n"
    );
    assert_eq!(&Malformed::InvalidCount.reply()[..], b"-ERR Protocol error: invalid multibulk length\r\n");
}

#[test]
fn lines_end_at_their_bound_exactly() {
    let scan = |bytes: &[u8]| {
        let whole = scan_all(bytes, &[], false);
        let near: Vec<usize> = (bytes.len().saturating_sub(40)..bytes.len()).collect();
        assert_eq!(scan_all(bytes, &near, false), whole);
        whole.1
    };
    let spaces = |n| " ".repeat(n);
    assert_eq!(scan(format!("{}\n", spaces(LINE_MAX)).as_bytes()), None);
    assert_eq!(scan(spaces(LINE_MAX).as_bytes()), None);
    assert_eq!(scan(spaces(LINE_MAX + 1).as_bytes()), Some(Malformed::InlineTooLong));
    assert_eq!(scan(format!("{}\n", spaces(LINE_MAX + 1)).as_bytes()), Some(Malformed::InlineTooLong));
    let digits = |n| "9".repeat(n);
    assert_eq!(scan(format!("*{}", digits(LINE_MAX - 1)).as_bytes()), None);
    assert_eq!(scan(format!("*{}\r\n", digits(LINE_MAX - 1)).as_bytes()), Some(Malformed::InvalidCount));
    assert_eq!(scan(format!("*{}", digits(LINE_MAX)).as_bytes()), Some(Malformed::CountTooLong));
    assert_eq!(scan(format!("*{}\r\n", digits(LINE_MAX)).as_bytes()), Some(Malformed::CountTooLong));
    assert_eq!(scan(format!("*1\r\n${}", digits(LINE_MAX)).as_bytes()), Some(Malformed::LengthTooLong));
}

#[test]
fn a_long_request_is_scanned_by_arithmetic_and_without_its_beginning() {
    let mut scanner = RequestScanner::default();
    let head = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbody";
    assert_eq!(scanner.scan(head), Ok(Scan::Incomplete { scanned: head.len() }));
    assert_eq!((scanner.missing(), scanner.arguments()), ((536_870_912 - 4 + 2, true), 3));
    scanner.removed(head.len());
    let piece = vec![b'\r'; 1 << 20];
    for _ in 0..511 {
        assert_eq!(scanner.scan(&piece), Ok(Scan::Incomplete { scanned: piece.len() }));
        scanner.removed(piece.len());
    }
    let mut last = vec![b'\n'; (1 << 20) - 4];
    last.extend_from_slice(b"\r\nPING");
    let kind = FrameKind::Multibulk { args: 3 };
    assert_eq!(scanner.scan(&last), Ok(Scan::Complete(Frame { len: last.len() - 4, kind })));
}

#[test]
fn a_request_of_many_arguments_that_comes_in_pieces_takes_linear_time() {
    // Scanned anew for each piece, this would read some 10^10 headers.
    let bytes = encode(&vec![b"x".to_vec(); 300_000]);
    let mut scanner = RequestScanner::default();
    for end in (1..bytes.len()).step_by(7) {
        assert!(matches!(scanner.scan(&bytes[..end]), Ok(Scan::Incomplete { .. })), "{end}");
    }
    let kind = FrameKind::Multibulk { args: 300_000 };
    assert_eq!(scanner.scan(&bytes), Ok(Scan::Complete(Frame { len: bytes.len(), kind })));
}

#[test]
fn the_beginning_of_a_frame_yields_its_whole_arguments() {
    let bytes = encode(&[b"SET".to_vec(), b"key".to_vec(), b"value".to_vec()]);
    for cut in 0..=bytes.len() {
        let found: Vec<_> = args(&bytes[..cut]).collect();
        let whole = [&b"SET"[..], b"key", b"value"];
        let count = [13, 22, 33].iter().filter(|&&end| end <= cut).count();
        assert_eq!(found, whole[..count], "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn arguments_come_back_as_they_were_sent(
        requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..5), 1..4),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for request in &requests {
            let one = encode(request);
            prop_assert_eq!(&args(&one).map(<[u8]>::to_vec).collect::<Vec<_>>(), request);
            let kind = FrameKind::Multibulk { args: u32::try_from(request.len()).unwrap_or(0) };
            expected.push((one.len(), kind));
            bytes.extend(one);
        }
        prop_assert_eq!(scan_every_way(&bytes), (expected, None));
    }

    #[test]
    fn any_bytes_give_the_same_outcome_however_they_are_cut(bytes in crate::wire::tests::resp_like()) {
        scan_every_way(&bytes);
        args(&bytes).for_each(drop);
        if let Ok(frame) = inline_to_multibulk(&bytes) {
            prop_assert_eq!(scan_all(&frame, &[], false).1, None);
        }
    }
}
