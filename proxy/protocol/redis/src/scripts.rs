//! Scripts that clients have loaded.
//!
//! `SCRIPT LOAD` is not replicated (Redis 7 replicates what scripts do, not scripts), so a mirror that becomes the primary
//! would answer `NOSCRIPT` to whoever sends `EVALSHA` only. What was loaded through us is loaded there, too, before a
//! client's first request. Scripts that were only sent by `EVAL` are not kept: whoever uses that has the text at hand.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use foretoken_types::Address;

use crate::wire::{append_request, args};

/// Scripts that are kept.
const SCRIPTS_MOST: usize = 512;
/// Bytes of them.
const BYTES_MOST: usize = 4 * 1024 * 1024;

/// The scripts of one store, for all data threads. It is only looked at when a script is loaded and when a connection is made.
#[derive(Debug, Default)]
pub struct Scripts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    bodies: HashSet<Bytes>,
    bytes: usize,
    /// The server that knows all of them.
    at: Option<Address>,
    /// One was not kept.
    overflown: bool,
}

impl Scripts {
    /// A server has executed this `SCRIPT LOAD` or `SCRIPT FLUSH`.
    pub(crate) fn executed(&self, frame: &[u8]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut args = args(frame).skip(1);
        match (args.next(), args.next()) {
            (Some(sub), Some(body)) if sub.eq_ignore_ascii_case(b"LOAD") => known.keep(body),
            (Some(sub), _) if sub.eq_ignore_ascii_case(b"FLUSH") => *known = Known::default(),
            // Its bytes were not kept.
            _ => {}
        }
    }

    /// What must be sent over a new connection to `address` first, and how many requests that is. `first`: whether other
    /// sessions will use the connection; one that is a session's own finds them loaded, unless the server is another one.
    pub(crate) fn to_load(&self, address: &Address, first: bool) -> Option<(Bytes, u32)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.bodies.is_empty() || (!first && known.at.as_ref() == Some(address)) {
            return None;
        }
        let mut frames = BytesMut::with_capacity(known.bytes + 64 * known.bodies.len());
        for body in &known.bodies {
            append_request(&mut frames, &[b"SCRIPT", b"LOAD", body]);
        }
        Some((frames.freeze(), u32::try_from(known.bodies.len()).unwrap_or(u32::MAX)))
    }

    /// The server at `address` has been told all of them.
    pub(crate) fn loaded(&self, address: &Address) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at = Some(address.clone());
    }
}

impl Known {
    fn keep(&mut self, body: &[u8]) {
        if self.bodies.contains(body) {
            return;
        }
        if self.bodies.len() >= SCRIPTS_MOST || self.bytes + body.len() > BYTES_MOST {
            if !std::mem::replace(&mut self.overflown, true) {
                tracing::warn!(
                    scripts = self.bodies.len(),
                    bytes = self.bytes,
                    "no more scripts are kept: after a change of primary EVALSHA may be answered NOSCRIPT"
                );
            }
            return;
        }
        self.bytes += body.len();
        self.bodies.insert(Bytes::copy_from_slice(body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(args: &[&[u8]]) -> Bytes {
        let mut frame = BytesMut::new();
        append_request(&mut frame, args);
        frame.freeze()
    }

    fn address(port: u16) -> Address {
        Address::Tcp { host: "127.0.0.1".into(), port }
    }

    #[test]
    fn what_was_loaded_is_loaded_at_another_server_and_over_each_connection_that_is_shared() {
        let scripts = Scripts::default();
        assert_eq!(scripts.to_load(&address(1), true), None);
        let load = request(&[b"script", b"load", b"return 1"]);
        scripts.executed(&load);
        scripts.executed(&load);
        let (frames, requests) = scripts.to_load(&address(1), false).expect("nobody has them yet");
        assert_eq!((&frames[..], requests), (&request(&[b"SCRIPT", b"LOAD", b"return 1"])[..], 1));
        scripts.loaded(&address(1));
        assert_eq!(scripts.to_load(&address(1), false), None);
        assert!(scripts.to_load(&address(1), true).is_some(), "it may have been restarted");
        assert!(scripts.to_load(&address(2), false).is_some());
    }

    #[test]
    fn what_was_flushed_is_forgotten() {
        let scripts = Scripts::default();
        scripts.executed(&request(&[b"SCRIPT", b"LOAD", b"return 1"]));
        scripts.executed(&request(&[b"SCRIPT", b"FLUSH"]));
        assert_eq!(scripts.to_load(&address(1), true), None);
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let scripts = Scripts::default();
        for number in 0..=SCRIPTS_MOST {
            scripts.executed(&request(&[b"SCRIPT", b"LOAD", format!("return {number}").as_bytes()]));
        }
        assert_eq!(scripts.to_load(&address(1), true).map(|(_, requests)| requests), Some(512));
        let scripts = Scripts::default();
        let long = vec![b' '; BYTES_MOST / 2];
        for last in [b'1', b'2', b'3'] {
            let body = [&long[1..], &[last]].concat();
            scripts.executed(&request(&[b"SCRIPT", b"LOAD", &body]));
        }
        assert_eq!(scripts.to_load(&address(1), true).map(|(_, requests)| requests), Some(2));
    }

    #[test]
    fn what_was_not_kept_forgets_nothing() {
        let scripts = Scripts::default();
        scripts.executed(&request(&[b"SCRIPT", b"LOAD", b"return 1"]));
        scripts.executed(b"");
        assert!(scripts.to_load(&address(1), true).is_some());
        scripts.executed(&request(&[b"script", b"flush"]));
        assert_eq!(scripts.to_load(&address(1), true), None);
    }
}
