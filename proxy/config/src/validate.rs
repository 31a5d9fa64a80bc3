//! Relations between values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use foretoken_types::Address;

use crate::model::{
    Config, DataBlock, Endpoint, EndpointRole, EndpointTls, Gate, Manage, ServiceGrant, Store,
};
use crate::read::Findings;

mod clients;

/// Longest path of a Unix socket: `sun_path` has 108 bytes with the NUL after it (`unix(7)`).
const SOCKET_PATH_MAX: usize = 107;

/// Adds a fault for each relation between sound values that is broken.
pub(crate) fn relations(config: &Config, findings: &mut Findings) {
    let mut check = Check { findings };
    check.admin(config);
    check.unique(
        config
            .store
            .iter()
            .enumerate()
            .map(|(s, store)| (format!("store[{s}].name"), store.name.to_string())),
        "choose another name: each store has its own",
    );
    check.listeners(config);
    check.servers(config);
    for (s, store) in config.store.iter().enumerate() {
        let path = format!("store[{s}]");
        check.endpoints(&path, store);
        check.advertised(&path, store);
        check.timing(&path, store);
        check.blocks(&path, store);
        check.login(&path, store);
        check.regions(&path, store, config);
    }
    check.services(config);
}

/// The same for a gate.
pub(crate) fn gate(gate: &Gate, findings: &mut Findings) {
    let mut check = Check { findings };
    match &gate.listen {
        Address::Unix(_) => check.broken(
            &["listen"],
            "is a Unix socket",
            "write host:port: tokens are bound to a certificate or to addresses",
        ),
        Address::Tcp { host, .. } if !is_loopback(host) && gate.tls.is_none() => check.broken(
            &["listen", "tls"],
            format!("{} is reachable from other machines and there is no TLS", gate.listen),
            "listen on 127.0.0.1, or add the table [tls]",
        ),
        Address::Tcp { .. } => {}
    }
    match (&gate.sidecar.api, &gate.sidecar.tls) {
        (Address::Unix(_), Some(_)) => check.broken(
            &["sidecar.tls", "sidecar.api"],
            "is set, and the API is a Unix socket",
            "remove the table: the socket's permissions protect it",
        ),
        (Address::Tcp { host, .. }, None) if !is_loopback(host) => check.broken(
            &["sidecar.api", "sidecar.tls"],
            format!(
                "{} is another machine and there is no TLS: whoever answers there could open the gate",
                gate.sidecar.api
            ),
            "add the table [sidecar.tls] with ca_file, cert_file and key_file",
        ),
        _ => {}
    }
    if let Some(tls) = &gate.sidecar.tls {
        check.pair("sidecar.tls", tls);
    }
    if let Some(tls) = &gate.server_tls {
        check.pair("server_tls", tls);
        if !gate.url.tls {
            check.broken(
                &["server_tls", "url"],
                format!("is set, and {} is not a TLS URL", gate.url),
                "write rediss:// in url, or remove the table",
            );
        }
    }
    match &gate.admin {
        Some(Address::Tcp { host, .. }) if is_loopback(host) => {}
        Some(address) => check.broken(
            &["admin"],
            format!("{address} is not loopback"),
            "write 127.0.0.1:port: whoever asks is not asked who it is",
        ),
        None => {}
    }
    if gate.listen == gate.url.address {
        check.broken(
            &["url", "listen"],
            format!("{} is our own listener", gate.listen),
            "give the address of the server",
        );
    }
    let limits = &gate.limits;
    if limits.guard >= limits.ttl / 2 {
        check.broken(
            &["limits.guard", "limits.ttl"],
            format!(
                "must be below half of limits.ttl ({} >= {})",
                crate::value::show(limits.guard),
                crate::value::show(limits.ttl / 2)
            ),
            "lower it: otherwise the gate is closed between two words of the sidecar",
        );
    }
}

/// Whether only this machine reaches `host`.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().map_or(host == "localhost", |ip| ip.to_canonical().is_loopback())
}

/// Whether callers on admin.listen must show a certificate.
fn asks_for_certificates(config: &Config) -> bool {
    config.admin.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some())
}

struct Check<'a> {
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// A fault at the first of `paths`, unless one of them has one already: then its value isn't known.
    fn broken(&mut self, paths: &[&str], problem: impl Into<String>, remedy: impl Into<String>) {
        if paths.iter().all(|path| self.findings.sound(path)) {
            self.findings.fault(paths[0], problem.into(), remedy.into());
        }
    }

    /// A fault for each value that an earlier path has, too.
    fn unique(&mut self, values: impl IntoIterator<Item = (String, String)>, remedy: &str) {
        let mut seen = BTreeMap::<String, String>::new();
        for (path, value) in values {
            if let Some(first) = seen.get(&value) {
                let label = self.findings.places.find(first).label;
                self.broken(&[&path, first], format!("{value} is taken by {label}"), remedy);
            } else {
                seen.insert(value, path);
            }
        }
    }

    fn admin(&mut self, config: &Config) {
        let known = config.admin.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        if let Some(listen) = &config.admin.listen {
            match listen {
                Address::Unix(_) => self.broken(
                    &["admin.listen"],
                    "is a Unix socket, not a TCP address",
                    "write host:port here, or set admin.socket",
                ),
                Address::Tcp { host, .. }
                    if !is_loopback(host) && config.admin.bearer_file.is_none() && !known =>
                {
                    self.broken(
                        &["admin.listen", "admin.bearer_file", "admin.tls"],
                        format!("{listen} is reachable from other machines and admin.bearer_file is not set"),
                        "listen on 127.0.0.1, or set admin.bearer_file, or admin.tls with client_ca_file",
                    );
                }
                Address::Tcp { .. } => {}
            }
        } else if config.admin.tls.is_some() {
            self.broken(
                &["admin.tls", "admin.listen"],
                "is set without admin.listen",
                "set admin.listen: the Unix socket needs no TLS",
            );
        }
        if let Some(operators) = config.admin.tls.as_ref().and_then(|tls| tls.operator_sha256.as_ref()) {
            let own = "admin.tls.operator_sha256";
            if !known {
                self.broken(
                    &[own, "admin.tls"],
                    "can't be seen: callers are asked for no certificate",
                    "set admin.tls.client_ca_file",
                );
            }
            for (s, service) in config.service.iter().enumerate() {
                if service.certificate_sha256.as_ref().is_some_and(|hash| operators.contains(hash)) {
                    self.broken(
                        &[own, &format!("service[{s}].certificate_sha256")],
                        format!("has the certificate of service {}, too", service.name),
                        "give operators certificates of their own: a service changes nothing",
                    );
                }
            }
        }
        let socket = config.admin_socket();
        let path = if config.admin.socket.is_some() { "admin.socket" } else { "state_dir" };
        self.socket_path(path, &socket, "set admin.socket to a shorter path");
    }

    fn blocks(&mut self, path: &str, store: &Store) {
        let all = |key: &str, text: fn(&DataBlock) -> &str| {
            let values = store.block.iter().enumerate();
            values.map(|(b, block)| (format!("{path}.block[{b}].{key}"), text(block).to_owned())).collect()
        };
        let (names, prefixes): (Vec<_>, Vec<_>) =
            (all("name", |block| block.name.as_str()), all("prefix", |block| block.prefix.as_str()));
        for (name, _) in names.iter().filter(|(_, name)| name == "*") {
            self.broken(&[name], "is *, which is all of the store", "choose a name of its own");
        }
        self.unique(names, "choose another name: each block of a store has its own");
        self.unique(prefixes, "choose another prefix: each block of a store has its own");
        if store.block.len() > DataBlock::MOST {
            let problem = format!("is there {} times, more than {}", store.block.len(), DataBlock::MOST);
            self.broken(&[&format!("{path}.block")], problem, "let blocks with the same keys be one");
        }
        for (b, block) in store.block.iter().enumerate() {
            if let Some(own) = block.read_lag_max.filter(|own| *own > store.read_lag_max) {
                let (ours, stores) =
                    (format!("{path}.block[{b}].read_lag_max"), format!("{path}.read_lag_max"));
                let (own, limit) = (crate::value::show(own), crate::value::show(store.read_lag_max));
                self.broken(
                    &[&ours, &stores],
                    format!("must be at most the store's read_lag_max ({own} > {limit})"),
                    "lower it, or raise the store's: a mirror further behind than that serves nobody",
                );
            }
        }
    }

    fn services(&mut self, config: &Config) {
        let services =
            || config.service.iter().enumerate().map(|(s, service)| (format!("service[{s}]"), service));
        self.unique(
            services().map(|(path, service)| (format!("{path}.name"), service.name.to_string())),
            "choose another name: each service has its own",
        );
        self.unique(
            services().filter_map(|(path, service)| Some((format!("{path}.uid"), service.uid?.to_string()))),
            "each service runs as a user of its own, or has a secret_file",
        );
        self.unique(
            services().filter_map(|(path, service)| {
                let hash = service.certificate_sha256.as_ref()?;
                Some((format!("{path}.certificate_sha256"), hash.as_str().to_owned()))
            }),
            "each service has a certificate of its own",
        );
        self.unique(
            services().filter_map(|(path, service)| {
                Some((format!("{path}.secret_file"), service.secret_file.as_ref()?.display().to_string()))
            }),
            "each service has a secret of its own",
        );
        for (path, service) in services() {
            if service.secret_file.is_none() && service.certificate_sha256.is_none() && service.uid.is_none()
            {
                let problem = "can't be recognised by anything";
                self.broken(&[&path], problem, "give it a secret_file, a certificate_sha256 or a uid");
            }
            if service.certificate_sha256.is_some() && !asks_for_certificates(config) {
                let own = format!("{path}.certificate_sha256");
                let problem = "can't be seen: admin.tls asks callers for no certificate";
                self.broken(&[&own, "admin.tls"], problem, "set admin.tls.client_ca_file");
            }
            for (g, grant) in service.grant.iter().enumerate() {
                self.grant(&format!("{path}.grant[{g}]"), grant, config);
            }
        }
    }

    fn grant(&mut self, path: &str, grant: &ServiceGrant, config: &Config) {
        let (at_store, at_block) = (format!("{path}.store"), format!("{path}.block"));
        match config.store.iter().find(|store| store.name == grant.store) {
            None => self.broken(
                &[&at_store, "store"],
                format!("there is no store {}", grant.store),
                "name one of the stores",
            ),
            Some(store) => {
                let known = store.block.iter().any(|block| block.name == grant.block);
                if !known && grant.block.as_str() != "*" {
                    let problem = format!("store {} has no block {}", grant.store, grant.block);
                    self.broken(&[&at_block, &at_store], problem, "name one of its blocks, or \"*\"");
                }
            }
        }
    }

    fn socket_path(&mut self, path: &str, socket: &Path, remedy: &str) {
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            let problem = format!("the path of the socket has {length} bytes, more than {SOCKET_PATH_MAX}");
            self.broken(&[path], problem, remedy);
        }
    }

    fn listeners(&mut self, config: &Config) {
        let mut all = Vec::new();
        for (s, store) in config.store.iter().enumerate() {
            for address in &store.listen {
                let path = format!("store[{s}].listen");
                if let Address::Unix(socket) = address {
                    self.socket_path(&path, socket, "choose a shorter path");
                }
                all.push((path, address.clone()));
            }
        }
        all.extend(config.admin.listen.clone().map(|address| ("admin.listen".to_owned(), address)));
        all.push(("admin.socket".to_owned(), Address::Unix(config.admin_socket())));
        // Port 0 asks for any free port, as often as it is asked.
        all.retain(|(_, address)| !matches!(address, Address::Tcp { port: 0, .. }));
        self.unique(
            all.into_iter().map(|(path, address)| (path, address.to_string())),
            "choose another address: each listener has its own",
        );
    }

    fn servers(&mut self, config: &Config) {
        let mut urls = Vec::new();
        let mut listeners = BTreeMap::new();
        for (s, store) in config.store.iter().enumerate() {
            let listen = format!("store[{s}].listen");
            listeners
                .extend(store.listen.iter().map(|address| (address.clone().to_string(), listen.clone())));
            for (e, endpoint) in store.endpoint.iter().enumerate() {
                urls.push((format!("store[{s}].endpoint[{e}].url"), endpoint.url.address.to_string()));
            }
        }
        for (path, address) in &urls {
            if let Some(listen) = listeners.get(address) {
                let label = self.findings.places.find(listen).label;
                self.broken(
                    &[path, listen],
                    format!("{address} is our own listener ({label})"),
                    "give the address of the server itself",
                );
            }
        }
        self.unique(urls, "name each server once: a server has one role in one store");
    }

    fn endpoints(&mut self, store_path: &str, store: &Store) {
        let path = |e: usize, key: &str| format!("{store_path}.endpoint[{e}].{key}");
        self.unique(
            store
                .endpoint
                .iter()
                .enumerate()
                .map(|(e, endpoint)| (path(e, "name"), endpoint.name.to_string())),
            "choose another name: each endpoint of a store has its own",
        );
        let roles: Vec<String> = (0..store.endpoint.len()).map(|e| path(e, "role")).collect();
        let all_sound = roles.iter().all(|role| self.findings.sound(role));
        let mut primaries =
            (0..store.endpoint.len()).filter(|e| store.endpoint[*e].role == EndpointRole::Primary);
        match (primaries.next(), all_sound && !store.endpoint.is_empty()) {
            (None, true) => self.findings.fault(
                store_path,
                format!("has {} endpoints and none of them is the primary", store.endpoint.len()),
                "set role = \"primary\" for the one that takes the writes now".to_owned(),
            ),
            (Some(first), true) => {
                for second in primaries {
                    self.broken(
                        &[&roles[second]],
                        format!("is the primary, and so is {}", store.endpoint[first].name),
                        "set role = \"mirror\" for all but one",
                    );
                }
            }
            (_, false) => {}
        }
        for (e, endpoint) in store.endpoint.iter().enumerate() {
            let Some(tls) = &endpoint.tls else { continue };
            if !endpoint.url.tls {
                self.broken(
                    &[&path(e, "tls"), &path(e, "url")],
                    format!("is set, and {} is not a TLS URL", endpoint.url),
                    "write rediss:// in url, or remove the table",
                );
            }
            self.pair(&path(e, "tls"), tls);
        }
        for (e, endpoint) in store.endpoint.iter().enumerate().filter(|(_, endpoint)| endpoint.gate) {
            let (gate, url) = (path(e, "gate"), path(e, "url"));
            let shown = endpoint.tls.as_ref().is_some_and(|tls| tls.cert_file.is_some());
            match &endpoint.url.address {
                Address::Unix(_) => self.broken(
                    &[&url, &gate],
                    "is a Unix socket, and a gate listens on TCP only",
                    "write redis://host:port or rediss://host:port of the gate",
                ),
                Address::Tcp { host, .. } if !endpoint.url.tls && !is_loopback(host) => self.broken(
                    &[&url, &gate],
                    "is a gate on another machine, without TLS",
                    "write rediss://, with a certificate of ours in tls.cert_file",
                ),
                Address::Tcp { .. } if endpoint.url.tls && !shown => self.broken(
                    &[&gate, &path(e, "tls")],
                    "is set, and there is no certificate that its tokens could be bound to",
                    "set tls.cert_file and tls.key_file",
                ),
                Address::Tcp { .. } => {}
            }
            if endpoint.advertise.is_none() && store.endpoint.len() > 1 && store.manage == Manage::Auto {
                self.broken(
                    &[&gate, &path(e, "advertise")],
                    "is set without advertise, and the other servers can't copy through a gate",
                    "set advertise to the host:port of the server itself",
                );
            }
        }
    }

    /// A certificate and its key.
    fn pair(&mut self, path: &str, tls: &EndpointTls) {
        for (set, unset, there) in [
            ("cert_file", "key_file", tls.cert_file.is_some() && tls.key_file.is_none()),
            ("key_file", "cert_file", tls.key_file.is_some() && tls.cert_file.is_none()),
        ] {
            if there {
                self.broken(
                    &[&format!("{path}.{set}"), &format!("{path}.{unset}")],
                    format!("is set without {unset}"),
                    "set both or neither: a certificate is shown with the key that proves it",
                );
            }
        }
    }

    /// A mirror is told where its primary is, and each server may become either.
    fn advertised(&mut self, store_path: &str, store: &Store) {
        let host = |endpoint: &Endpoint| endpoint.advertised().map(|(host, _)| host.to_owned());
        let elsewhere =
            store.endpoint.iter().find(|other| host(other).is_some_and(|host| !is_loopback(&host)));
        for (e, endpoint) in store.endpoint.iter().enumerate() {
            let path = format!("{store_path}.endpoint[{e}]");
            let (url, advertise) = (format!("{path}.url"), format!("{path}.advertise"));
            if let Some(Address::Unix(_)) = endpoint.advertise {
                self.broken(
                    &[&advertise],
                    "is a Unix socket",
                    "write the host:port that the other servers reach",
                );
                continue;
            }
            if store.manage == Manage::Follow || store.endpoint.len() < 2 || endpoint.advertise.is_some() {
                continue;
            }
            match (host(endpoint), elsewhere) {
                (None, _) => self.broken(
                    &[&url, &advertise],
                    "is a Unix socket, which the other servers can't copy from",
                    "set advertise to the host:port that they reach",
                ),
                (Some(host), Some(other)) if is_loopback(&host) => self.broken(
                    &[&url, &advertise],
                    format!("{host} means another machine to {} ({})", other.name, other.url),
                    "set advertise to the host:port that the other servers reach",
                ),
                _ => {}
            }
        }
    }

    fn timing(&mut self, store: &str, values: &Store) {
        let path = |key: &str| format!("{store}.{key}");
        let (lease, switchover) = (&values.lease, &values.switchover);
        let show = |duration: &std::time::Duration| crate::value::show(*duration);
        let [ttl, guard, margin, renew, hold, pause, hold_max] = [
            "lease.ttl",
            "lease.guard",
            "lease.send_margin",
            "lease.renew",
            "switchover.hold_deadline",
            "switchover.pause",
            "hold_max",
        ]
        .map(path);
        let usable = lease.ttl.saturating_sub(lease.guard);
        let sending = usable.saturating_sub(lease.send_margin);
        if sending.is_zero() {
            let sum = lease.guard + lease.send_margin;
            self.broken(
                &[&ttl, &guard, &margin],
                format!(
                    "must be above lease.guard + lease.send_margin ({} <= {})",
                    show(&lease.ttl),
                    show(&sum)
                ),
                "raise ttl, or lower the other two: otherwise no write may ever be sent",
            );
        } else if lease.renew >= sending {
            self.broken(
                &[&renew, &ttl, &guard, &margin],
                format!(
                    "must be below lease.ttl - lease.guard - lease.send_margin ({} >= {})",
                    show(&lease.renew),
                    show(&sending)
                ),
                "renew more often: otherwise writes stop between two renewals",
            );
        } else if lease.renew > lease.ttl / 2 {
            self.broken(
                &[&renew, &ttl],
                format!(
                    "must be at most half of lease.ttl ({} > {})",
                    show(&lease.renew),
                    show(&(lease.ttl / 2))
                ),
                "renew more often: otherwise one late renewal stops writes",
            );
        }
        if switchover.hold_deadline >= usable {
            self.broken(
                &[&hold, &ttl, &guard],
                format!(
                    "must be below lease.ttl - lease.guard ({} >= {})",
                    show(&switchover.hold_deadline),
                    show(&usable)
                ),
                "lower it: what drains after the lease has ended can't be acknowledged",
            );
        }
        if switchover.pause <= switchover.hold_deadline {
            self.broken(
                &[&pause, &hold],
                format!(
                    "must be above switchover.hold_deadline ({} <= {})",
                    show(&switchover.pause),
                    show(&switchover.hold_deadline)
                ),
                "raise it: otherwise writes that bypass us slip in before the demotion",
            );
        }
        if values.hold_max <= switchover.hold_deadline {
            self.broken(
                &[&hold_max, &hold],
                format!(
                    "must be above switchover.hold_deadline ({} <= {})",
                    show(&values.hold_max),
                    show(&switchover.hold_deadline)
                ),
                "raise it, or lower the deadline: otherwise writes are refused in a switchover that succeeds",
            );
        }
    }
}

#[cfg(test)]
mod tests;
