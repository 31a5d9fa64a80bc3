//! Where two streams of replies part.

use crate::unlike::alike;

/// Bytes shown on both sides of the place.
const AROUND: usize = 160;

/// In words, if `got` is not what `wanted` is.
pub(crate) fn difference(wanted: &[u8], got: &[u8]) -> Option<String> {
    let (wanted, got) = (alike(wanted), alike(got));
    if wanted == got {
        return None;
    }
    let same = wanted.iter().zip(&got).take_while(|(wanted, got)| wanted == got).count();
    let around = |bytes: &[u8]| {
        let place = &bytes[same.saturating_sub(AROUND)..bytes.len().min(same + AROUND)];
        place.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n      ")
    };
    Some(format!(
        "after {same} equal bytes\n  direct ({} bytes):\n      {}\n  through the sidecar ({} bytes):\n      {}",
        wanted.len(),
        around(&wanted),
        got.len(),
        around(&got)
    ))
}

/// The reply to a transaction of which some keys were watched, and what it is when the role moved before its `EXEC`.
pub(crate) const WATCHED: &[u8] = b"*1\r\n$7\r\nwatched\r\n";
const NULLS: [&[u8]; 2] = [b"*-1\r\n", b"_\r\n"];

/// The same as [`difference`], when the role may have moved: watched keys then count as changed.
pub(crate) fn difference_when_moved(wanted: &[u8], got: &[u8]) -> Option<String> {
    let (wanted, got) = (alike(wanted), alike(got));
    let (mut at, mut rest, mut unmoved) = (0, &got[..], Vec::with_capacity(wanted.len()));
    while let Some(next) = wanted[at..].windows(WATCHED.len()).position(|window| window == WATCHED) {
        let Some((before, behind)) = rest.split_at_checked(next) else { break };
        unmoved.extend_from_slice(before);
        rest = behind;
        at += next + WATCHED.len();
        let reply = NULLS.iter().find(|null| rest.starts_with(null)).copied().unwrap_or(WATCHED);
        let Some(behind) = rest.strip_prefix(reply) else { break };
        unmoved.extend_from_slice(WATCHED);
        rest = behind;
    }
    unmoved.extend_from_slice(rest);
    difference(&wanted, &unmoved)
}

/// Whether `got` is what a client gets that is cut before its end.
pub(crate) fn is_cut(wanted: &[u8], got: &[u8]) -> bool {
    let (wanted, got) = (alike(wanted), alike(got));
    got.len() < wanted.len() && wanted.starts_with(&got)
}
