//! How many files this process may have open; each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and returns what is in force then; `None`: there is no limit.
///
/// Shells and services begin with a soft limit of 1024 for the sake of programs that wait with `select`, which can't count
/// further; others are to raise it themselves (systemd.exec(5), `LimitNOFILE=`). No child of ours inherits it: there is none.
pub(crate) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(limit = current, %error, "the limit of open files could not be raised");
            current
        }
    }
}
