//! What follows from the answers of a preflight, in plain words.

use foretoken_protocol::{Finding, Severity};
use foretoken_types::{Link, Persistence, Role};

use super::super::info::same_host;
use super::super::probe::persistence;
use super::Facts;
use super::permissions::needed;

/// The smallest backlog without a warning, in bytes. At 10 MB/s of writes it covers a link that is gone for 1.6 s: about a
/// switchover and a reconnect.
const BACKLOG_MIN: u64 = 16 * 1024 * 1024;

/// All findings, in the order in which they are shown.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Finding> {
    [
        version(facts),
        management(facts),
        role(facts),
        writes(facts),
        replicas(facts),
        permissions(facts),
        persists(facts),
        disk(facts),
        fsync(facts),
        settings(facts),
        stale_reads(facts),
        read_only(facts),
        backlog(facts),
        link_credentials(facts),
        min_replicas(facts),
        memory(facts),
        protected(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn good(what: &'static str, detail: impl Into<String>) -> Option<Finding> {
    Some(Finding { severity: Severity::Good, what, detail: detail.into() })
}

fn warning(what: &'static str, detail: impl Into<String>) -> Option<Finding> {
    Some(Finding { severity: Severity::Warning, what, detail: detail.into() })
}

fn blocker(what: &'static str, detail: impl Into<String>) -> Option<Finding> {
    Some(Finding { severity: Severity::Blocker, what, detail: detail.into() })
}

fn role_of(facts: &Facts<'_>) -> Option<Role> {
    facts.info.role(facts.endpoints).ok()
}

fn version(facts: &Facts<'_>) -> Option<Finding> {
    let (server, numbers) = facts.info.version();
    match numbers.first() {
        Some(7..) => good("version", server),
        _ => warning(
            "version",
            format!("{server}: switchovers are proved on version 7; use 7.0 or later to rely on them"),
        ),
    }
}

fn management(facts: &Facts<'_>) -> Option<Finding> {
    if facts.info.managed_by().is_some() {
        blocker(
            "management",
            "it runs in cluster mode, which moves roles and slots by itself and forbids REPLICAOF: commands and their replies \
             pass to and from this one node, MOVED and ASK among them, and nothing is managed: no switchover, no failover, \
             no slots, no redirect that is followed, and a client that follows one goes past Foretoken",
        )
    } else if facts.sentinels > 0 {
        blocker(
            "management",
            format!(
                "{} Sentinel connection(s) watch it and would promote on their own: it is followed, not managed; \
                 remove it from Sentinel to let Foretoken manage it",
                facts.sentinels
            ),
        )
    } else {
        good("management", "neither Sentinel nor cluster mode manages it")
    }
}

fn role(facts: &Facts<'_>) -> Option<Finding> {
    match role_of(facts)? {
        Role::Primary => good("role", "primary"),
        Role::Mirror { of: None, .. } => warning(
            "role",
            format!(
                "mirror of {}:{}, which is no configured endpoint under that name; \
                 configure it under the address that its mirrors use",
                facts.info.get("master_host").unwrap_or("?"),
                facts.info.get("master_port").unwrap_or("?"),
            ),
        ),
        Role::Mirror { of: Some(of), link: Link::Up { .. } } => {
            good("role", format!("mirror of {of}, link up"))
        }
        Role::Mirror { of: Some(of), link: Link::Synchronizing } => warning(
            "role",
            format!("mirror of {of}, still receiving its first copy: not eligible until that is done"),
        ),
        Role::Mirror { of: Some(of), link: Link::Down } => warning(
            "role",
            format!(
                "mirror of {of}, link down: not eligible; see this server's log for why it can't connect"
            ),
        ),
    }
}

fn writes(facts: &Facts<'_>) -> Option<Finding> {
    match (&facts.refusal, role_of(facts)?) {
        (None, Role::Primary) => good("writes", "the write probe passes"),
        (None, Role::Mirror { .. }) => None, // `replica-read-only` below says it with the remedy.
        (Some(text), Role::Mirror { .. }) if text.starts_with("READONLY") => None,
        (Some(text), _) if text.starts_with("NOPERM") => None,
        // The key of the probe is another node's.
        (Some(text), _) if text.starts_with("MOVED ") => None,
        (Some(text), Role::Primary) => {
            // Who is in charge already can still move the role away from it.
            warning(
                "writes",
                format!(
                    "a write would be refused now ({text}): nobody takes charge of it until it takes writes"
                ),
            )
        }
        (Some(text), Role::Mirror { .. }) => {
            warning("writes", format!("a write would be refused now ({text}), and so after a promotion"))
        }
    }
}

fn replicas(facts: &Facts<'_>) -> Option<Finding> {
    let attached: usize = facts.info.number("connected_slaves").unwrap_or(0);
    let others: Vec<_> = facts.endpoints.iter().filter(|dial| dial.endpoint != *facts.this).collect();
    if role_of(facts)? != Role::Primary {
        return match attached {
            0 => None,
            _ => warning(
                "replicas",
                format!(
                    "{attached} server(s) copy this mirror; copy the primary instead, or count on a longer lag"
                ),
            ),
        };
    }
    let strangers: Vec<String> = (0..attached)
        .filter_map(|number| {
            let line = facts.info.get(&format!("slave{number}"))?;
            let field =
                |key: &str| line.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            Some((field("ip")?.to_owned(), field("port")?.to_owned()))
        })
        // A name can't be compared with the address under which the primary knows a mirror: then the port must do.
        .filter(|(ip, port)| {
            !others.iter().any(|dial| {
                let named =
                    dial.host.parse::<std::net::IpAddr>().is_err() && !same_host(&dial.host, "localhost");
                dial.port.to_string() == *port && (named || same_host(&dial.host, ip))
            })
        })
        .map(|(ip, port)| format!("{ip}:{port}"))
        .collect();
    if !strangers.is_empty() {
        let list = strangers.join(", ");
        warning(
            "replicas",
            format!("copied by {list}, no configured endpoint: it will not follow a switchover"),
        )
    } else if attached < others.len() {
        let expected = others.len();
        warning("replicas", format!("{attached} of {expected} configured mirrors are attached"))
    } else {
        good("replicas", format!("{attached} attached, as configured"))
    }
}

fn permissions(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "permissions";
    if let Some(needed) = needed(&facts.lacking) {
        return blocker(WHAT, format!("{needed}; grant them by ACL SETUSER or name another user"));
    }
    if facts.lacking.is_empty() {
        return good(WHAT, "every command that is needed may be run");
    }
    let names: Vec<_> = facts.lacking.iter().map(|lacking| lacking.name).collect();
    let names = names.join(", ");
    warning(
        WHAT,
        format!(
            "the user may not run {names}: settings and Sentinels are not seen; grant them by ACL SETUSER"
        ),
    )
}

fn kept(facts: &Facts<'_>) -> Persistence {
    let scheduled =
        facts.settings.get("save").map_or_else(|| facts.info.has_saved(), |save| !save.trim().is_empty());
    persistence(&facts.info, scheduled)
}

fn persists(facts: &Facts<'_>) -> Option<Finding> {
    match kept(facts) {
        Persistence::Log => good("persistence", "append-only file"),
        Persistence::Snapshot => warning(
            "persistence",
            "snapshots only: a restart brings back an older state, and mirrors take that over; set appendonly yes",
        ),
        Persistence::None => blocker(
            "persistence",
            "none: after a restart it comes up empty and its mirrors empty themselves too, faster than any detection; \
             set appendonly yes",
        ),
    }
}

fn disk(facts: &Facts<'_>) -> Option<Finding> {
    match facts.info.persisting() {
        Some(false) => warning(
            "disk",
            "its last write to disk failed: it may refuse writes (MISCONF) at any time; see its log, free some space",
        ),
        _ => None,
    }
}

fn fsync(facts: &Facts<'_>) -> Option<Finding> {
    if kept(facts) != Persistence::Log {
        return None;
    }
    match facts.settings.get("appendfsync")?.as_str() {
        "no" => warning(
            "appendfsync",
            "no: a power cut loses what the kernel had not written, often 30 s; set appendfsync everysec",
        ),
        policy => good("appendfsync", policy),
    }
}

fn settings(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.settings.is_empty() {
        return None;
    }
    warning(
        "settings",
        "CONFIG GET is not available, so nothing is known of the settings that matter; grant it",
    )
}

fn stale_reads(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "replica-serve-stale-data";
    match facts.settings.get(WHAT)?.as_str() {
        "yes" => good(WHAT, "yes"),
        _ => warning(
            WHAT,
            "no: as a mirror it refuses reads as soon as its link is down, just when they count; set it to yes",
        ),
    }
}

fn read_only(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "replica-read-only";
    match facts.settings.get(WHAT)?.as_str() {
        "yes" => good(WHAT, "yes"),
        _ => blocker(
            WHAT,
            "no: as a mirror it takes writes that nobody else gets, also after a demotion; set it to yes",
        ),
    }
}

fn backlog(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "repl-backlog-size";
    let size: u64 = facts.settings.get(WHAT)?.parse().ok()?;
    let mib = size / (1024 * 1024);
    if size < BACKLOG_MIN {
        warning(
            WHAT,
            format!(
                "{mib} MiB: a mirror that is away while more than this is written needs a full copy when it returns, \
                 also after a switchover; set it to ten minutes of writes, 16 MiB at least"
            ),
        )
    } else {
        good(WHAT, format!("{mib} MiB"))
    }
}

fn link_credentials(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "masterauth";
    let set = !facts.settings.get(WHAT)?.is_empty();
    match (facts.authenticated, set) {
        (false, _) => None,
        (true, true) => good(WHAT, "set"),
        (true, false) => warning(
            WHAT,
            "not set: Foretoken sets masteruser and masterauth before a demotion, but a restart forgets them; \
             put them into the server's configuration",
        ),
    }
}

fn min_replicas(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "min-replicas-to-write";
    let least: usize = facts.settings.get(WHAT)?.parse().ok()?;
    // While the old primary is away the new one has all endpoints but two as mirrors.
    let sure = facts.endpoints.len().saturating_sub(2);
    if least > sure {
        warning(
            WHAT,
            format!(
                "{least}: after a failover only {sure} mirror(s) are left, so the new primary refuses writes until the \
                 old one is back; set it to {sure} or add a mirror"
            ),
        )
    } else {
        good(WHAT, least.to_string())
    }
}

fn memory(facts: &Facts<'_>) -> Option<Finding> {
    let policy = facts.info.get("maxmemory_policy").unwrap_or("unknown policy");
    match facts.info.number::<u64>("maxmemory")? {
        0 => warning(
            "maxmemory",
            "no limit: when memory runs out the kernel ends the server instead of the server refusing writes; set a limit",
        ),
        limit => good("maxmemory", format!("{} MiB, {policy}", limit / (1024 * 1024))),
    }
}

fn protected(facts: &Facts<'_>) -> Option<Finding> {
    const WHAT: &str = "protected-mode";
    let on = facts.settings.get(WHAT)? == "yes";
    let remote = facts.endpoints.iter().any(|dial| !same_host(&dial.host, "localhost"));
    match (on, facts.authenticated) {
        (_, true) => good(WHAT, if on { "on, with a password" } else { "off, with a password" }),
        (true, false) if remote => warning(
            WHAT,
            "on and no password: servers on other hosts are refused and can't copy it; set a password",
        ),
        (true, false) => good(WHAT, "on: without a password only this host may connect"),
        (false, false) => {
            warning(WHAT, "off and no password: whoever reaches the port may do anything; set a password")
        }
    }
}
