//! Replies that Foretoken gives itself, in words that drivers know.

use bytes::Bytes;
use foretoken_types::{Epoch, FaultKind};

/// Whether it is a null, in any version: what a blocking command is answered when its time is over.
pub(crate) fn is_null(reply: &[u8]) -> bool {
    [&b"*-1\r\n"[..], b"$-1\r\n", b"_\r\n"].contains(&reply)
}

/// Whether it says that the server knows no such command, or no such sub-command (`commandCheckExistence` in `server.c`, and
/// `addReplySubcommandSyntaxError` in `networking.c`).
pub(crate) fn is_of_no_command(reply: &[u8]) -> bool {
    [&b"-ERR unknown command"[..], b"-ERR unknown subcommand", b"-ERR Unknown subcommand"]
        .iter()
        .any(|words| reply.starts_with(words))
}

/// The reply to a write of which nobody knows whether it was executed (PROTOCOL 10.4).
///
/// A code of its own on purpose: every driver hands an unknown code to the application as it is, and none sends the
/// command again, which is what must not happen by itself.
#[must_use]
pub fn in_doubt(epoch: Epoch) -> Bytes {
    format!("-FTINDOUBT write may or may not have been applied (epoch {epoch})\r\n").into()
}

/// The refusal of a request that certainly was not executed.
///
/// The code is always `LOADING`, because it is the one that drivers agree on: not executed, the server will be back, try
/// again. go-redis retries it with back-off, redis-py raises `BusyLoadingError`, a connection error that its retry policy
/// covers, redis-rs sorts it under `RetryMethod::WaitAndRetry`, Lettuce has a type for it. The others say something else:
/// - `READONLY` makes drivers look for another server (go-redis drops the connection, redis-py's Sentinel client asks its
///   Sentinels anew) or give up (redis-rs: `RetryMethod::NoRetry`), but this address stays the right one;
/// - `CLUSTERDOWN` and `TRYAGAIN` mean something to cluster clients only: others raise them as plain errors;
/// - `MASTERDOWN` says that a replica won't serve stale reads: redis-py and others raise it as a plain error.
///
/// The text says who speaks, so that nobody looks for a store that loads. After [`FaultKind::Pinned`] and
/// [`FaultKind::Draining`] the session ends: trying again over the same connection would be without its state.
#[must_use]
pub fn not_executed(kind: FaultKind) -> Bytes {
    Bytes::from_static(match kind {
        FaultKind::Connect => b"-LOADING Foretoken can't reach the server: not executed, try again\r\n",
        FaultKind::OpenFiles => {
            b"-LOADING Foretoken has too many open files to reach the server: not executed, try again\r\n"
        }
        FaultKind::Reset => b"-LOADING Foretoken lost the server: not executed, try again\r\n",
        FaultKind::EpochMoved => b"-LOADING Foretoken changed the primary: not executed, try again\r\n",
        FaultKind::LeaseEnded => b"-LOADING Foretoken has no right to write now: not executed, try again\r\n",
        FaultKind::HoldExpired => {
            b"-LOADING Foretoken waited in vain for a primary: not executed, try again\r\n"
        }
        FaultKind::HoldFull => {
            b"-LOADING Foretoken has no room for waiting requests: not executed, try again\r\n"
        }
        FaultKind::HoldRefused => {
            b"-LOADING Foretoken can't write now, and this data's writes don't wait: not executed, try again\r\n"
        }
        FaultKind::NotServing => {
            b"-LOADING Foretoken found the server not serving: not executed, try again\r\n"
        }
        FaultKind::Draining => b"-LOADING Foretoken is shutting down: not executed, try again\r\n",
        FaultKind::Pinned => {
            b"-LOADING Foretoken lost this connection's state: not executed, connect again\r\n"
        }
        FaultKind::NotDurable => {
            b"-LOADING Foretoken found no mirror that confirms the write: not executed, try again\r\n"
        }
        FaultKind::Malformed => b"-LOADING Foretoken got a malformed reply: not executed, try again\r\n",
    })
}

/// The refusal of an `EXEC`: the transaction is gone and nothing of it was executed. Redis words it so when `EXEC` itself
/// is refused (`execCommandAbort` in `multi.c`).
#[must_use]
pub fn exec_aborted(kind: FaultKind) -> Bytes {
    let cause = not_executed(kind);
    let mut reply = b"-EXECABORT Transaction discarded because of: ".to_vec();
    reply.extend_from_slice(cause.get(1..).unwrap_or_default());
    reply.into()
}

/// The reply of an `EXEC` whose watched keys have changed: the client begins again.
#[must_use]
pub fn null_exec(resp3: bool) -> Bytes {
    Bytes::from_static(if resp3 { b"_\r\n" } else { b"*-1\r\n" })
}

/// The reply of most commands that only succeed.
#[must_use]
pub fn ok() -> Bytes {
    Bytes::from_static(b"+OK\r\n")
}

/// The reply of a command inside of `MULTI`.
#[must_use]
pub fn queued() -> Bytes {
    Bytes::from_static(b"+QUEUED\r\n")
}

/// The reply of `RESET`.
#[must_use]
pub fn reset() -> Bytes {
    Bytes::from_static(b"+RESET\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ReplyScanner, certainly_not_executed};

    #[test]
    fn each_reply_is_one_reply() {
        let mut replies =
            vec![in_doubt(Epoch(7)), null_exec(false), null_exec(true), ok(), queued(), reset()];
        for kind in FaultKind::ALL {
            replies.extend([not_executed(kind), exec_aborted(kind)]);
        }
        for reply in replies {
            let progress = ReplyScanner::default().scan(&reply, 2, |_| ()).expect("well formed");
            assert_eq!((progress.consumed, progress.complete), (reply.len(), 1), "{reply:?}");
        }
        assert_eq!(
            &in_doubt(Epoch(7))[..],
            b"-FTINDOUBT write may or may not have been applied (epoch 7)\r\n"
        );
    }

    #[test]
    fn another_sidecar_in_front_reads_a_refusal_as_not_executed_and_a_doubt_as_unknown() {
        for kind in FaultKind::ALL {
            assert!(certainly_not_executed(&not_executed(kind)[1..]), "{kind:?}");
            assert!(!certainly_not_executed(&exec_aborted(kind)[1..]), "{kind:?}");
        }
        assert!(!certainly_not_executed(&in_doubt(Epoch(7))[1..]));
    }
}
