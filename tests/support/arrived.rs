//! Writes that have reached the mirror.

use redis::aio::MultiplexedConnection;

/// Waits until one mirror has what was written over `connection`. The store itself is asked: what a sidecar's status knows of a
/// mirror is a moment old.
pub(crate) async fn has_arrived(connection: &mut MultiplexedConnection) {
    const WITHIN_MS: u32 = 20_000;
    let mirrors = redis::cmd("WAIT").arg(1).arg(WITHIN_MS).query_async::<i64>(connection).await;
    assert_eq!(mirrors.expect("answers"), 1, "a mirror gets what was written");
}
