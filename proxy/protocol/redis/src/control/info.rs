//! What `INFO` says, in our terms.

use std::collections::HashMap;
use std::time::Duration;

use foretoken_protocol::{Dial, Refused};
use foretoken_types::{Capacity, EndpointId, Failure, Home, Link, Position, Role};

/// The fields of some sections of `INFO`.
#[derive(Debug, Default)]
pub(super) struct Info(HashMap<String, String>);

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Info {
    /// Adds the fields of a section's text.
    pub(super) fn add(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((key, value)) = line.split_once(':') {
                self.0.insert(key.to_owned(), value.trim_end().to_owned());
            }
        }
    }

    /// A field's text.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Keys in all databases: lines such as `db0:keys=12,expires=0,avg_ttl=0`.
    pub(super) fn keys(&self) -> u64 {
        let databases = self.0.iter().filter(|(name, _)| name.strip_prefix("db").is_some_and(is_number));
        databases
            .filter_map(|(_, text)| text.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok())
            .sum()
    }

    /// A field's number.
    pub(super) fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.get(key)?.parse().ok()
    }

    /// Whether a field is `1`.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    fn needed(&self, key: &str) -> Result<&str, Refused> {
        self.get(key).ok_or_else(|| Refused::new(Failure::Other, format!("INFO has no field {key}")))
    }

    /// Role, with the mirrored server looked up among `endpoints`.
    pub(super) fn role(&self, endpoints: &[Dial]) -> Result<Role, Refused> {
        match self.needed("role")? {
            "master" => Ok(Role::Primary),
            "slave" => Ok(Role::Mirror { of: self.mirrored(endpoints), link: self.link() }),
            other => Err(Refused::new(Failure::Other, format!("INFO reports the unknown role {other:?}"))),
        }
    }

    fn mirrored(&self, endpoints: &[Dial]) -> Option<EndpointId> {
        let host = self.get("master_host")?;
        let port = self.number("master_port")?;
        endpoints
            .iter()
            .find(|dial| dial.port == port && same_host(&dial.host, host))
            .map(|d| d.endpoint.clone())
    }

    fn link(&self) -> Link {
        if self.is_set("master_sync_in_progress") {
            Link::Synchronizing
        } else if self.get("master_link_status") == Some("up") {
            // -1 where nothing has come yet.
            let silent = self.number::<i64>("master_last_io_seconds_ago").unwrap_or(0);
            Link::Up { silent_for: Duration::from_secs(u64::try_from(silent).unwrap_or(0)) }
        } else {
            Link::Down
        }
    }

    /// The name of the data's history.
    pub(super) fn history(&self) -> Result<String, Refused> {
        self.needed("master_replid").map(str::to_owned)
    }

    /// The history before the last promotion. A mirror may resume from it when its position is not beyond the one given:
    /// `second_repl_offset` is the first byte that it may *not* have (`masterTryPartialResync` in replication.c).
    pub(super) fn previous_history(&self) -> Option<(String, Position)> {
        let history = self.get("master_replid2")?;
        let first_foreign = self.number::<i64>("second_repl_offset")?;
        let last_shared = u64::try_from(first_foreign.checked_sub(1)?).ok()?;
        let absent = history.bytes().all(|digit| digit == b'0');
        (!absent).then(|| (history.to_owned(), Position(last_shared)))
    }

    /// How far the data goes.
    ///
    /// `master_repl_offset`, in both roles: it counts what was applied, belongs to the history that `master_replid` names,
    /// and is what a promotion goes on from. `slave_repl_offset` is the same number while there is a primary to resume
    /// from, but falls back to 1 when a full copy begins, although the old data is still there.
    pub(super) fn position(&self) -> Result<Position, Refused> {
        self.needed("master_repl_offset")?
            .parse()
            .map(Position)
            .map_err(|_| Refused::new(Failure::Other, "INFO reports a position that is not a number"))
    }

    /// Who else manages the server, from the mode that it runs in.
    pub(super) fn managed_by(&self) -> Option<String> {
        match self.get("redis_mode")? {
            "cluster" => Some("cluster".to_owned()),
            _ => None,
        }
    }

    /// Whether a snapshot was ever taken: all that can be known of `save` without the permission for `CONFIG GET`.
    pub(super) fn has_saved(&self) -> bool {
        self.number::<u64>("rdb_saves").is_some_and(|saves| saves > 0)
    }

    /// Whether its last write to disk succeeded.
    pub(super) fn persisting(&self) -> Option<bool> {
        let snapshot = self.get("rdb_last_bgsave_status")?;
        let log = self.get("aof_last_write_status").unwrap_or("ok");
        Some(snapshot == "ok" && log == "ok")
    }

    /// Product and version, as text and as numbers.
    pub(super) fn version(&self) -> (String, Vec<u64>) {
        let (product, version) = match (self.get("valkey_version"), self.get("redis_version")) {
            (Some(version), _) => ("valkey", version),
            (None, version) => ("redis", version.unwrap_or("unknown")),
        };
        let numbers = version.split('.').map_while(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse().ok()
        });
        (format!("{product} {version}"), numbers.collect())
    }

    /// CPU time: user and system together.
    fn cpu_time(&self, of: &str) -> Option<Duration> {
        let seconds =
            |kind: &str| Duration::try_from_secs_f64(self.number(&format!("used_cpu_{kind}{of}"))?).ok();
        seconds("user")?.checked_add(seconds("sys")?)
    }

    /// Whether keys are evicted at the limit. Under a `volatile-` policy that depends on the keys having an expiry.
    fn evicts(&self) -> Option<bool> {
        let policy = self.get("maxmemory_policy")?;
        match policy {
            "noeviction" => Some(false),
            _ if policy.starts_with("allkeys-") => Some(true),
            _ => None,
        }
    }

    /// Where it lives.
    pub(super) fn home(&self) -> Home {
        let program = self.get("executable").and_then(|path| path.rsplit('/').next());
        Home {
            process: self.number("process_id"),
            program: program.filter(|name| !name.is_empty()).map(str::to_owned),
            uptime: self.number("uptime_in_seconds").map(Duration::from_secs),
            cpu_time: self.cpu_time(""),
            directory: None,
        }
    }

    /// Use of limits.
    pub(super) fn capacity(&self) -> Capacity {
        let limit = |key| self.number(key).filter(|limit: &u64| *limit > 0);
        Capacity {
            memory_used_bytes: self.number("used_memory"),
            memory_limit_bytes: limit("maxmemory"),
            memory_evicts: self.evicts(),
            cpu_time: self.cpu_time(""),
            cpu_time_commands: self.cpu_time("_main_thread"),
            // Only a server with a log of writes has these two.
            disk_waiting: self.number("aof_pending_bio_fsync"),
            disk_delayed_total: self.number("aof_delayed_fsync"),
            clients: self.number("connected_clients"),
            clients_limit: limit("maxclients"),
            clients_blocked: self.number("blocked_clients"),
            commands_total: self.number("total_commands_processed"),
            evicted_total: self.number("evicted_keys"),
            rejected_total: self.number("rejected_connections"),
            backlog_bytes: limit("repl_backlog_size"),
            persisting: self.persisting(),
            uptime_seconds: self.number("uptime_in_seconds"),
        }
    }
}

/// Whether two spellings name one host, as far as that can be told without asking a resolver.
pub(super) fn same_host(a: &str, b: &str) -> bool {
    let plain = |host: &str| {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host == "localhost" { "127.0.0.1".to_owned() } else { host }
    };
    match (plain(a).parse::<std::net::IpAddr>(), plain(b).parse::<std::net::IpAddr>()) {
        (Ok(a), Ok(b)) => a == b || (a.is_loopback() && b.is_loopback()),
        _ => plain(a) == plain(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Info {
        let mut info = Info::default();
        info.add(text);
        info
    }

    #[test]
    fn a_mirror_is_told_with_the_endpoint_that_it_copies() {
        let endpoints = [
            Dial { endpoint: "a".into(), host: "10.0.0.1".into(), port: 6379 },
            Dial { endpoint: "b".into(), host: "Localhost".into(), port: 6380 },
        ];
        let text = "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:6380\r\nmaster_link_status:up\r\n\
                    master_last_io_seconds_ago:3\r\nmaster_sync_in_progress:0\r\n";
        let link = Link::Up { silent_for: Duration::from_secs(3) };
        assert_eq!(info(text).role(&endpoints), Ok(Role::Mirror { of: Some("b".into()), link }));
        assert_eq!(info(text).role(&endpoints[..1]), Ok(Role::Mirror { of: None, link }));
        let down = text.replace("up", "down");
        assert_eq!(info(&down).role(&[]), Ok(Role::Mirror { of: None, link: Link::Down }));
        let copying = down.replace("in_progress:0", "in_progress:1");
        assert_eq!(info(&copying).role(&[]), Ok(Role::Mirror { of: None, link: Link::Synchronizing }));
        assert!(info("role:sentinel").role(&[]).is_err());
        assert!(info("").role(&[]).is_err());
    }

    #[test]
    fn the_previous_history_ends_before_the_second_offset() {
        let zeros = "0".repeat(40);
        assert_eq!(info(&format!("master_replid2:{zeros}\nsecond_repl_offset:-1")).previous_history(), None);
        assert_eq!(
            info("master_replid2:abc\nsecond_repl_offset:15").previous_history(),
            Some(("abc".to_owned(), Position(14)))
        );
        assert_eq!(info("master_replid2:abc\nsecond_repl_offset:0").previous_history(), None);
    }

    #[test]
    fn versions_are_read_as_far_as_they_are_numbers() {
        assert_eq!(info("redis_version:7.0.15").version(), ("redis 7.0.15".into(), vec![7, 0, 15]));
        assert_eq!(
            info("redis_version:7.2.4\r\nvalkey_version:8.1.0-rc2").version(),
            ("valkey 8.1.0-rc2".into(), vec![8, 1, 0])
        );
        assert_eq!(info("").version(), ("redis unknown".into(), vec![]));
    }

    #[test]
    fn no_limit_is_none_and_not_zero() {
        let capacity = info("used_memory:10\nmaxmemory:0\nmaxclients:5").capacity();
        assert_eq!(
            (capacity.memory_used_bytes, capacity.memory_limit_bytes, capacity.clients_limit),
            (Some(10), None, Some(5))
        );
        assert_eq!(info("").capacity(), Capacity::default());
    }

    #[test]
    fn hosts_are_compared_as_addresses_where_they_are_addresses() {
        assert!(same_host("::1", "0:0:0:0:0:0:0:1"));
        assert!(same_host("localhost", "127.0.0.1"));
        assert!(same_host("db.example.", "DB.example"));
        assert!(!same_host("10.0.0.1", "10.0.0.2"));
    }
}
