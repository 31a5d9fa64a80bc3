//! How many files this process may have open, each connection being one, and how many clients that is enough for.

use foretoken_admin::CONNECTIONS_MAX;
use foretoken_outbound::REFUSALS_MOST;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the program opens for itself: standard streams, threads, listeners, files of the state directory. About 30.
const OF_PROGRAM: usize = 48;
/// The Unix socket and `admin.listen`.
const ADMIN_LISTENERS: usize = 2;
/// Connections to one endpoint that are no client's: looks, looks for the data threads, fresh connections, orders, and its
/// machine's figures.
const OF_ENDPOINT: usize = 8;
/// Connections of one data thread to one endpoint that clients share. There may be more, one for each user and database that
/// clients speak as; a client that shares one has no connection of its own, and leaves its place for that.
const SHARED: usize = 4;
/// A client's own connection, and one to a server for it alone: it has one at most.
const OF_CLIENT: u64 = 2;

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

/// How many files stay free for what is no client's, with so many endpoints and data threads.
pub(crate) const fn reserve(endpoints: usize, threads: usize) -> u64 {
    let ours = OF_PROGRAM + ADMIN_LISTENERS * CONNECTIONS_MAX + REFUSALS_MOST;
    (ours + endpoints * (OF_ENDPOINT + threads * SHARED)) as u64
}

/// For how many clients there is room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) clients: usize,
    /// What is wrong, if these are fewer than wanted.
    pub(crate) warning: Option<String>,
}

impl Room {
    /// Room for the `wanted` clients of the configuration's `key`, or for as many as `limit` files leave beside `reserve`.
    pub(crate) fn new(limit: Option<u64>, reserve: u64, key: &str, wanted: u32) -> Self {
        let needed = reserve + OF_CLIENT * u64::from(wanted);
        let Some(limit) = limit.filter(|limit| *limit < needed) else {
            return Self { clients: wanted as usize, warning: None };
        };
        // Fewer than `wanted`, which is a `u32`.
        let clients = (limit.saturating_sub(reserve) / OF_CLIENT) as usize;
        let warning = format!(
            "at most {clients} clients are let in, and not {key} = {wanted}: this process may have {limit} files open, and \
             {wanted} clients may take {needed}; raise the limit (LimitNOFILE= of the service, `ulimit -n`) or lower {key}"
        );
        Self { clients, warning: Some(warning) }
    }

    /// Logs what is wrong.
    pub(crate) fn tell(&self) {
        if let Some(why) = &self.warning {
            tracing::warn!(%why, "the limit of open files is low");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_two_files_and_the_rest_of_the_program_its_reserve() {
        let clients = |limit, wanted| Room::new(limit, 100, "key", wanted).clients;
        assert_eq!((clients(None, 50), clients(Some(1 << 30), 50)), (50, 50));
        assert_eq!((clients(Some(200), 50), clients(Some(199), 50), clients(Some(198), 50)), (50, 49, 49));
        assert_eq!((clients(Some(101), 50), clients(Some(100), 50), clients(Some(3), 50)), (0, 0, 0));
        assert_eq!(clients(Some(1024), u32::MAX), 462);
    }

    #[test]
    fn fewer_clients_than_configured_are_told_with_numbers_and_what_to_do() {
        assert_eq!(Room::new(Some(200), 100, "max_connections", 50).warning, None);
        let told = Room::new(Some(199), 100, "max_connections", 50).warning.unwrap();
        let words =
            ["at most 49 clients", "max_connections = 50", "199 files", "200", "LimitNOFILE=", "ulimit -n"];
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
    }

    #[test]
    fn the_reserve_grows_with_endpoints_and_with_threads() {
        let alone = reserve(0, 1);
        assert_eq!(alone, 192);
        assert_eq!(reserve(2, 1), alone + 24);
        assert_eq!(reserve(2, 4), alone + 48);
    }
}
