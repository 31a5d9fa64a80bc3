//! Writes that have reached the mirror, or the disk.

use redis::aio::MultiplexedConnection;

/// Waits until one mirror has what was written over `connection`. The store itself is asked: what a sidecar's status knows of a
/// mirror is a moment old.
pub(crate) async fn has_arrived(connection: &mut MultiplexedConnection) {
    const WITHIN_MS: u32 = 20_000;
    let mirrors = redis::cmd("WAIT").arg(1).arg(WITHIN_MS).query_async::<i64>(connection).await;
    assert_eq!(mirrors.expect("answers"), 1, "a mirror gets what was written");
}

/// What is written over `connection` from now on outlives the server. By itself Redis may write its log up to two seconds after it has
/// answered, while an earlier part of it is being synced.
pub(crate) async fn sync_each_write(connection: &mut MultiplexedConnection) {
    let mut set = redis::cmd("CONFIG");
    let () = set.arg("SET").arg("appendfsync").arg("always").query_async(connection).await.expect("sets");
}
