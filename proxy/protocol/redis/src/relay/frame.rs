//! What a frame of the server is: an answer, the confirmation of a subscription, or said without being asked.

use bytes::{Bytes, BytesMut};

use super::standing::Standing;
use crate::classify::{Kind, Relayed, Topic};
use crate::wire::{append_bulk, append_request, args};

/// A client-side cache must be emptied (`sendTrackingMessage` in `tracking.c`: a null instead of keys means all of them).
pub(super) const INVALIDATE_ALL: &[u8] = b">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The answer to the oldest request.
    Answer,
    /// A subscription was begun or ended.
    Confirmed(Confirmation),
    /// A message, a line of `MONITOR`, keys that have become invalid.
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirmation {
    pub(super) change: Relayed,
}

impl Confirmation {
    /// Which channel or pattern; `None`: there was none to leave.
    pub(super) fn name(self, frame: &[u8]) -> Option<&[u8]> {
        args(frame).nth(1)
    }

    fn of(word: &[u8]) -> Option<Self> {
        use Relayed::{Subscribe, Unsubscribe};
        let change = match word {
            b"subscribe" => Subscribe(Topic::Channel),
            b"psubscribe" => Subscribe(Topic::Pattern),
            b"ssubscribe" => Subscribe(Topic::Shard),
            b"unsubscribe" => Unsubscribe(Topic::Channel),
            b"punsubscribe" => Unsubscribe(Topic::Pattern),
            b"sunsubscribe" => Unsubscribe(Topic::Shard),
            _ => return None,
        };
        Some(Self { change })
    }
}

/// Sorts a frame by its beginning. `asked`: the oldest request without an answer.
///
/// RESP3 says which frames are pushes. In RESP2 they are arrays like others, told apart as drivers do it: a client that is
/// subscribed gets no other array but `pong`, and one that is not gets no message.
pub(super) fn sort(head: &[u8], resp3: bool, standing: &Standing, asked: Option<Kind>) -> Said {
    let push = head.first() == Some(&b'>');
    if standing.monitors() && is_monitor_line(head) {
        return Said::Message;
    }
    let Some(word) = args(head).next().filter(|_| push || !resp3) else { return Said::Answer };
    let changes = matches!(asked, Some(Kind::Relay(Relayed::Subscribe(_) | Relayed::Unsubscribe(_))));
    match Confirmation::of(word) {
        Some(confirmation) if push || changes || standing.is_subscribed() => Said::Confirmed(confirmation),
        _ if push => Said::Message,
        _ if standing.is_subscribed() && [&b"message"[..], b"pmessage", b"smessage"].contains(&word) => {
            Said::Message
        }
        _ => Said::Answer,
    }
}

/// `+1700000000.123456 [0 127.0.0.1:50000] "get" "key"` (`replicationFeedMonitors` in `replication.c`).
fn is_monitor_line(head: &[u8]) -> bool {
    matches!(head, [b'+', b'0'..=b'9', rest @ ..] if rest.iter().take(32).any(|byte| *byte == b'['))
}

/// A message on a channel, as the server would say it.
pub(super) fn message(resp3: bool, channel: &[u8], text: &str) -> Bytes {
    let mut frame = BytesMut::from(if resp3 { &b">3\r\n"[..] } else { b"*3\r\n" });
    for part in [b"message", channel, text.as_bytes()] {
        append_bulk(&mut frame, part);
    }
    frame.freeze()
}

/// A request of these arguments.
pub(super) fn request(args: &[&[u8]]) -> Bytes {
    let mut frame = BytesMut::new();
    append_request(&mut frame, args);
    frame.freeze()
}

/// The request without the names that are confirmed already: so many, the last ones, are not.
pub(super) fn without_confirmed(frame: &Bytes, kind: Kind, left: usize) -> Bytes {
    let names = args(frame).total().saturating_sub(1);
    let changes = matches!(kind, Kind::Relay(Relayed::Subscribe(_) | Relayed::Unsubscribe(_)));
    if !changes || left == 0 || left >= names {
        return frame.clone();
    }
    let name = args(frame).take(1);
    request(&name.chain(args(frame).skip(1 + names - left)).collect::<Vec<_>>())
}
