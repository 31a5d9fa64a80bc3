//! How long a blocking command waits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::wire::{append_request, args};

/// Where the timeout stands among the arguments, and in which unit.
enum Place {
    /// The last argument, in seconds with a fraction.
    LastSeconds,
    /// The one behind the name, in seconds with a fraction.
    FirstSeconds,
    /// Behind the option `BLOCK`, in milliseconds.
    BlockMillis,
}

/// Commands that wait for another client's, by where their timeout stands (the command reference of Redis 7).
const PLACES: &[(Place, &[&str])] = &[
    (Place::LastSeconds, &["BLMOVE", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZPOPMAX", "BZPOPMIN"]),
    (Place::FirstSeconds, &["BLMPOP", "BZMPOP"]),
    (Place::BlockMillis, &["XREAD", "XREADGROUP"]),
];

/// The request with a timeout that is shorter by `waited`. `None`: it waits without end, or not at all, or its timeout is not
/// one that a server takes.
#[must_use]
pub fn with_less_time(frame: &[u8], waited: Duration) -> Option<Bytes> {
    let mut all: Vec<&[u8]> = args(frame).collect();
    let name = all.first()?;
    let (place, _) = PLACES
        .iter()
        .find(|(_, names)| names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)))?;
    let (at, unit) = match place {
        Place::LastSeconds => (all.len() - 1, Duration::from_secs(1)),
        Place::FirstSeconds => (1, Duration::from_secs(1)),
        Place::BlockMillis => {
            let option = all.iter().position(|arg| arg.eq_ignore_ascii_case(b"BLOCK"))?;
            (option + 1, Duration::from_millis(1))
        }
    };
    let timeout: f64 = std::str::from_utf8(all.get(at)?).ok()?.parse().ok()?;
    let timeout =
        Duration::try_from_secs_f64(timeout * unit.as_secs_f64()).ok().filter(|time| !time.is_zero())?;
    // 0 would be without end.
    let left = timeout.saturating_sub(waited).max(Duration::from_millis(1));
    let left =
        if unit.as_secs() > 0 { format!("{:.3}", left.as_secs_f64()) } else { left.as_millis().to_string() };
    all[at] = left.as_bytes();
    let mut shorter = BytesMut::new();
    append_request(&mut shorter, &all);
    Some(shorter.freeze())
}
