//! What error replies say about the store (PROTOCOL 10.1).

use foretoken_types::ErrorClass;

/// The class of an error reply. `line` is its text, without the type byte; its first [`super::ERROR_PREFIX_MAX`] bytes do.
///
/// `MISCONF` and `BUSY` count as grey although writes fail: reads are served, so the cure is a planned switchover, not a
/// failover. `MOVED` and `ASK` belong to a cluster-aware client and count as the application's.
#[must_use]
pub fn error_class(line: &[u8]) -> ErrorClass {
    match code(line) {
        b"LOADING" | b"MASTERDOWN" | b"CLUSTERDOWN" => ErrorClass::Unavailable,
        b"MISCONF" | b"OOM" | b"BUSY" | b"TRYAGAIN" => ErrorClass::Grey,
        b"READONLY" | b"NOREPLICAS" => ErrorClass::Routing,
        // The other text with this code answers to `CLIENT UNBLOCK ... ERROR`, which a client asked for.
        b"UNBLOCKED" if line.starts_with(UNBLOCKED) => ErrorClass::Routing,
        b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"DENIED" => ErrorClass::Credentials,
        b"ERR" if line.starts_with(MAX_CLIENTS) => ErrorClass::Grey,
        // Redis before 7.0 wraps what a command in a script was answered.
        b"ERR" if line.starts_with(b"ERR Error running script") => match wrapped(line) {
            Some(inner) => error_class(inner),
            None => ErrorClass::Application,
        },
        _ => ErrorClass::Application,
    }
}

/// Whether the server certainly did not execute the request that it answered with this error (column "safe"), so that
/// even a write may be sent again. It does not say that sending again helps: that is a matter of [`error_class`].
///
/// The server's own words must follow the code: scripts answer with codes of their own choice (`BUSY`, `TRYAGAIN`) after
/// they have written. A script may also have written before it met `MISCONF`, whose text is too long for a script's mark
/// at its end to be seen: for that one code the answer holds for everything but scripts.
#[must_use]
pub fn certainly_not_executed(line: &[u8]) -> bool {
    let code = code(line);
    let text = line.get(code.len() + 1..).unwrap_or_default();
    let starts = |words: &str| text.starts_with(words.as_bytes());
    match code {
        b"LOADING" => {
            // The second is what we say ourselves, should one of us stand in front of another.
            contains(text, b" is loading the dataset in memory") || starts("Foretoken ")
        }
        b"MASTERDOWN" => starts("Link with MASTER is down"),
        b"CLUSTERDOWN" => starts("The cluster is down") || starts("Hash slot not served"),
        b"TRYAGAIN" => starts("Multiple keys request during rehashing of slot"),
        b"READONLY" => starts("You can't write against a read only"),
        b"NOREPLICAS" => starts("Not enough good replicas to write") && !contains(text, b"script"),
        b"MISCONF" => contains(text, b"is configured to ") || starts("Errors writing to the AOF file"),
        b"OOM" => starts("command not allowed when used memory > 'maxmemory'"),
        b"BUSY" => {
            contains(text, b" is busy running a script") || contains(text, b" is busy running a module")
        }
        b"UNBLOCKED" => line.starts_with(UNBLOCKED),
        b"MOVED" | b"ASK" => text.first().is_some_and(u8::is_ascii_digit),
        b"NOAUTH" => starts("Authentication required"),
        b"WRONGPASS" => starts("invalid username-password pair"),
        // A script may have written before it came to a command that its user may not run.
        b"NOPERM" => contains(text, b" has no permissions to ") && !contains(text, b"script"),
        b"ERR" => line.starts_with(MAX_CLIENTS),
        _ => false,
    }
}

/// The server certainly did not execute the request because of its role or state, and another one, or the same one a little
/// later, will. The code alone does not say so: a script may answer with any after it has written.
pub(crate) fn is_turned_away(line: &[u8]) -> bool {
    [&b"READONLY "[..], b"LOADING ", b"MASTERDOWN ", b"UNBLOCKED "].iter().any(|code| line.starts_with(code))
        && certainly_not_executed(line)
}

const UNBLOCKED: &[u8] = b"UNBLOCKED force unblock from blocking operation";
const MAX_CLIENTS: &[u8] = b"ERR max number of clients";

/// The first word.
fn code(line: &[u8]) -> &[u8] {
    line.split(|&b| b == b' ').next().unwrap_or_default()
}

/// The error that a script's error wraps, from its code on.
fn wrapped(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(3).position(|w| w[0] == b' ' && w[1] == b'-' && w[2].is_ascii_uppercase())?;
    let inner = line.get(at + 2..)?;
    // One level is all there is; a second would be a script's own text.
    (code(inner) != b"ERR").then_some(inner)
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}
