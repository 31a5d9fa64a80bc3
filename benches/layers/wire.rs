//! Redis: bytes to batches, and bytes to replies.

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use foretoken_protocol::{BlockMap, Session, Step};
use foretoken_protocol_redis::wire::ReplyScanner;
use foretoken_protocol_redis::{Redis, RedisSession};

/// As redis-benchmark sends them.
pub(crate) fn get() -> Vec<u8> {
    b"*2\r\n$3\r\nGET\r\n$16\r\nkey:__rand_int__\r\n".to_vec()
}

fn set(bytes: usize) -> Vec<u8> {
    let value = "x".repeat(bytes);
    format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:__rand_int__\r\n${bytes}\r\n{value}\r\n").into_bytes()
}

fn value(bytes: usize) -> Vec<u8> {
    format!("${bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes()
}

/// A read of a client is found, classified, and becomes a batch.
pub(crate) fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("requests to a batch");
    let blocks = BlockMap::new([&b"session:"[..], b"cart:"]);
    let with_blocks = Redis { blocks, ..Redis::default() };
    let kinds = [
        ("GET", get(), Redis::default()),
        ("SET 1 KiB", set(1024), Redis::default()),
        ("GET, with two named blocks", get(), with_blocks),
    ];
    for (name, request, protocol) in kinds {
        for requests in [1, 16] {
            group.throughput(Throughput::Elements(requests as u64));
            let bytes = request.repeat(requests);
            let mut session = foretoken_protocol::Protocol::session(&protocol);
            group.bench_function(BenchmarkId::new(name, requests), |bencher| {
                bencher.iter_batched_ref(
                    || BytesMut::from(&bytes[..]),
                    |input| step(&mut session, input, requests),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn step(session: &mut RedisSession, input: &mut BytesMut, requests: usize) {
    match session.step(input) {
        Step::Batch(batch) => assert_eq!(batch.requests as usize, requests),
        other => panic!("a batch was expected: {other:?}"),
    }
}

/// The ends of the replies to a batch are found.
pub(crate) fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replies found");
    let kinds = [("32 B", value(32)), ("1 KiB", value(1024)), ("OK", b"+OK\r\n".to_vec())];
    for (name, reply) in kinds {
        for replies in [1_u32, 16] {
            group.throughput(Throughput::Elements(u64::from(replies)));
            let bytes = reply.repeat(replies as usize);
            let mut scanner = ReplyScanner::default();
            group.bench_function(BenchmarkId::new(name, replies), |bencher| {
                bencher.iter(|| {
                    let found = scanner.scan(&bytes, replies, |_| {}).expect("well formed");
                    assert_eq!((found.complete, found.consumed), (replies, bytes.len()));
                });
            });
        }
    }
}
