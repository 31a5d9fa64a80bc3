//! What concerns the whole process.

use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::{Address, Region};

use super::{Service, Store, Token};
use crate::section::section;
use crate::value::{CertificateHash, choice};

section! {
    /// Configuration of one Foretoken sidecar.
    ///
    /// Durations and sizes carry their unit: "250ms", "1.5s", "10min"; "64KiB", "64MiB". Relative paths count from the
    /// directory of this file. Secrets are named by their file and never stand here.
    Config {
        /// Directory of what has to survive a restart: the epochs of the stores and the identity of this sidecar.
        /// It is made when it is missing. Must be on a local disk and belong to this sidecar alone: two sidecars with
        /// one identity would each take the other's owner record for their own.
        /// Without what is in it the sidecar starts as a newcomer: it waits for its own old owner record to run out.
        /// Default "state": beside this file, so that a first try needs no rights elsewhere.
        fixed state_dir: PathBuf = default("state");
        /// Where this sidecar stands. Stale reads prefer a mirror with the same region.
        /// Unset: it stands nowhere in particular, and every mirror is as near as the others.
        fixed region: Option<Region> = optional("eu-west");
        /// The threads that carry the traffic.
        fixed data: Data = table;
        /// What the sidecar says about itself.
        fixed log: Log = table;
        /// Health, metrics, status, orders and tokens.
        fixed admin: Admin = table;
        /// The tokens that the API gives.
        fixed token: Token = table;
        /// An application that may ask for tokens, how it is recognised and what it may have. Without this table, whoever may
        /// change things here (the socket's owner, the bearer secret) asks for any service, and may have all of every store.
        /// With it, such an operator acts for these services only, and each of them gets what stands here.
        live service: Vec<Service> = optional_tables;
        /// One store: its listeners and its servers.
        fixed store: Vec<Store> = tables;
    }
}

section! {
    /// The threads that carry the traffic, for all stores together.
    Data {
        /// Threads that carry client traffic, each with upstream connections of its own. The control plane has another.
        /// Too low: commands queue while one thread is at 100 % CPU. Too high: more upstream connections, and worse
        /// batching on each.
        /// Default 1: one thread carries more pipelined commands than one Redis server executes.
        fixed threads: u32 = default(1) in 1 to 64;
        /// Most client connections of all listeners together; one more is closed at once. Each may take two open files: where
        /// the hard limit of the process (`LimitNOFILE=`, `ulimit -Hn`) has no room for all, fewer are let in, and a warning
        /// says how many.
        /// Too low: clients are turned away. Too high: the memory for them runs out first.
        /// Default 10000: the store's own default (maxclients), so the hop turns nobody away that the store took.
        fixed max_connections: u32 = default(10_000) in 1 to 1_000_000;
        /// How long requests under way may take to end after SIGTERM, before their connections are closed.
        /// Too low: writes under way end in doubt. Too high: a restart takes as long as the slowest client.
        /// Default 10s: well inside the 30 s that Kubernetes grants before it kills.
        fixed drain_max: Duration = default("10s") in "0s" to "10min";
    }
}

section! {
    /// What the sidecar says about itself, on standard error.
    Log {
        /// "text" for people, "json" for machines: one object a line.
        /// Default "text": the first reader is a person.
        fixed format: LogFormat = default("text");
        /// Least severity that is logged: "error", "warn", "info", "debug" or "trace".
        /// Too low ("debug"): every connection is a line. Too high ("error"): no trace of who moved which role.
        /// Default "info": each change of state that an operator wants to know, and nothing per request.
        live level: LogLevel = default("info");
    }
}

section! {
    /// Health, metrics, status, orders and tokens.
    Admin {
        /// Path of the Unix socket that `foretoken status` and `foretoken switchover` talk to; at most 107 bytes, and
        /// only its owner may connect (mode 0600). When it is unset: admin.sock in state_dir.
        fixed socket: Option<PathBuf> = optional("/run/foretoken/admin.sock");
        /// TCP address for health checks and metrics. When it is unset, there is only the Unix socket.
        /// An address that is not loopback shows the state of the stores to the network, so it takes a bearer_file.
        fixed listen: Option<Address> = optional("127.0.0.1:7001");
        /// File of the secret that callers over TCP send as `Authorization: Bearer ...`: one line of 32 or more printable
        /// characters, mode 0600; one of root's may be readable by our group, as mounted secrets are. It is made, with a
        /// random secret, when it is missing. When it is unset: admin.secret in state_dir, if there is a listen address.
        fixed bearer_file: Option<PathBuf> = optional("admin.secret");
        /// TLS on `listen`. Without this table, callers over TCP talk in the clear.
        fixed tls: Option<AdminTls> = optional_table;
    }
}

section! {
    /// TLS on the admin listener. Without this table, callers over TCP talk in the clear.
    AdminTls {
        /// PEM file of the certificate that callers see, followed by those between it and its CA. Read at the start.
        fixed cert_file: PathBuf = required("admin.pem");
        /// PEM file of its private key, not encrypted. Nobody but its owner and group may read it.
        fixed key_file: PathBuf = required("admin.key");
        /// PEM file of CAs. A caller who shows a certificate of one of them may read without the bearer secret; what else it
        /// may do, operator_sha256 and the service tables say. Who shows none needs the secret as before.
        /// When it is unset, no certificate is asked for.
        fixed client_ca_file: Option<PathBuf> = optional("callers-ca.pem");
        /// SHA-256 of the certificates that may change things without the bearer secret, as `openssl x509 -noout -fingerprint
        /// -sha256` prints them.
        /// When it is unset: every certificate of client_ca_file may, until there is a service table; then none may.
        live operator_sha256: Option<Vec<CertificateHash>> =
            optional(["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]);
    }
}

impl Config {
    /// Path of the admin's Unix socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.admin.socket.clone().unwrap_or_else(|| self.state_dir.join("admin.sock"))
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

choice!(LogFormat { "text" => LogFormat::Text, "json" => LogFormat::Json });

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed that nobody mends but an operator.
    Error,
    /// Something is not as it should be.
    Warn,
    /// A change of state.
    Info,
    /// Each connection.
    Debug,
    /// Each step.
    Trace,
}

choice!(LogLevel {
    "error" => LogLevel::Error,
    "warn" => LogLevel::Warn,
    "info" => LogLevel::Info,
    "debug" => LogLevel::Debug,
    "trace" => LogLevel::Trace,
});

impl LogLevel {
    /// The word for it, as in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
