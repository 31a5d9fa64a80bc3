//! One store.

use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::{Address, StoreId, WriteConcern, Writers};

use super::{DataBlock, Detect, Endpoint, LeaseTiming, Risk, Switchover};
use crate::section::section;
use crate::value::{ByteSize, choice};

section! {
    /// One store: a primary, its mirrors, and where clients find them. There may be several.
    Store {
        /// Its name in keys, metrics, logs and commands: 1 to 63 of a-z, 0-9 and -.
        /// Part of the marker and owner keys in the store itself: to rename is to start anew.
        fixed name: StoreId = required("cache");
        /// What its servers speak. Only "redis" (and what speaks the same) so far.
        fixed protocol: Protocol = required("redis");
        /// Where clients connect: host:port, `[v6]:port` or unix:/path. At least one.
        fixed listen: Vec<Address> = required(["127.0.0.1:7000"]);
        /// Who else writes to the servers: "this-sidecar" declares that nobody does but through this sidecar.
        /// Declared wrongly, writes of the others to an old primary are lost after a failover: nothing here can fence them.
        /// Default "others", the safe assumption: planned switchovers work, after a crash you promote a mirror by
        /// hand (docs/operations.md).
        live writers: Writers = default("others");
        /// How clients authenticate: "passthrough" carries each client's own AUTH to the server under its own user; with "stored",
        /// who has not said AUTH is the user of the table login, so that the application needs no password.
        /// Wrongly "stored": whoever reaches the listener has that user's rights.
        /// Default "passthrough": the servers keep on deciding who may do what.
        fixed auth: Auth = default("passthrough");
        /// "auto": manage roles when no other sidecar, Sentinel or cluster does. "follow": never change a role, only follow.
        /// Wrongly "follow": nobody moves the primary role when the primary fails.
        /// Default "auto": it steps back by itself when it finds another manager.
        fixed manage: Manage = default("auto");
        /// Where reads go: "primary", and they wait while it can't serve; "mirror-when-held", to a mirror while it can't;
        /// "mirror", to a mirror always; "nearest", to the primary if it stands in our region, or else to a mirror that does. No
        /// mirror is asked that is more than read_lag_max behind: then it is the primary's turn. What mirrors answer may be stale.
        /// Default "primary": a read never goes backwards unless you asked for it.
        live reads: Reads = default("primary");
        /// Whether a mirror is asked only when it is known to have all that the same connection has written before.
        /// It takes a question to the servers after a write; until it is answered, reads of that connection go to the primary.
        /// Default false: who asks for stale reads has said that they may be stale.
        live read_your_writes: bool = default(false);
        /// Greatest lag of a mirror that serves stale reads.
        /// Too low: hardly any mirror qualifies when it matters. Too high: clients see old data.
        /// Default 5s: a link that is idle but alive shows up to a second or two, so this tells broken from idle.
        live read_lag_max: Duration = default("5s") in "100ms" to "1h";
        /// What writes do while the primary can't serve, also for the few milliseconds of a planned switchover: "queue" lets
        /// them wait for it, up to hold_max; "refuse" tells the client at once that they were not executed.
        /// Wrongly "queue": whoever has a better use for the time waits. Wrongly "refuse": clients see errors where they could
        /// have seen latency.
        /// Default "queue": nothing fails in a switchover that succeeds.
        live writes_when_held: HeldWrites = default("queue");
        /// When a write is acknowledged: "asynchronous" when the primary has executed it; "synchronous" when a mirror has it
        /// too, so that a failover loses no acknowledged write, as long as a mirror keeps up, and as before when none does;
        /// "synchronous-strict" never without a mirror: such writes end in doubt after hold_max.
        /// Synchronous writes take another round trip or two to the mirror (some 0.3 ms on one host).
        /// Default "asynchronous": what Redis does by itself.
        live durability: WriteConcern = default("asynchronous");
        /// Longest time that a request waits for a primary; then it is refused as certainly not executed.
        /// Too low: clients see errors in each failover. Too high: they give up first, and their own timeout is in doubt.
        /// Keep it below the timeout of the clients' drivers; must be above switchover.hold_deadline.
        /// Default 5s: about twice a failover after a freeze (2.5 s).
        live hold_max: Duration = default("5s") in "10ms" to "5min";
        /// Most bytes of requests that wait, over all connections of the store; above it they are refused at once.
        /// Too low: busy clients see errors in each switchover. Too high: memory that a long outage fills.
        /// Default 64MiB: 5 s of about 13 MB/s of writes.
        live hold_bytes: ByteSize = default("64MiB") in "64KiB" to "64GiB";
        /// Longest time to open a connection to a server, TLS included.
        /// Too low: busy but healthy servers count as unreachable. Too high: a lost host blocks whoever waits for it.
        /// Default 1s: a lost first packet is sent again after 1 s (RFC 6298), so on one network it fails on the second loss.
        fixed connect_timeout: Duration = default("1s") in "10ms" to "60s";
        /// TLS on the listeners. Without this table, clients connect in the clear.
        fixed tls: Option<ListenerTls> = optional_table;
        /// The user that clients are at the servers, with auth = "stored".
        fixed login: Option<Login> = optional_table;
        /// Credentials of the sidecar's own connections. Without this table they don't authenticate.
        fixed control: Option<Control> = optional_table;
        /// A data block: a named part of the store, chosen by the beginning of its keys. Tokens are given for a block, services
        /// have rights to blocks, and what happens while the primary can't serve may be another in each. A command over several
        /// blocks takes the strictest; one whose keys can't be told (KEYS, SCAN, EVAL without keys) counts for all of them.
        /// Without this table there is only "*", which is all of the store, and nobody looks at keys.
        fixed block: Vec<DataBlock> = optional_tables;
        /// One server.
        fixed endpoint: Vec<Endpoint> = tables;
        /// The planned change of primary.
        fixed switchover: Switchover = table;
        /// When a primary counts as down.
        fixed detect: Detect = table;
        /// The right to use the primary.
        fixed lease: LeaseTiming = table;
        /// Looking ahead.
        fixed risk: Risk = table;
    }
}

section! {
    /// TLS on the listeners. Without this table, clients connect in the clear.
    ListenerTls {
        /// PEM file of the certificate that clients see, followed by those between it and its CA.
        fixed cert_file: PathBuf = required("listener.pem");
        /// PEM file of its private key, not encrypted. Nobody but its owner and group may read it.
        fixed key_file: PathBuf = required("listener.key");
        /// PEM file of CAs. When it is set, clients must show a certificate of one of them; when it is unset, none is asked for.
        fixed client_ca_file: Option<PathBuf> = optional("clients-ca.pem");
    }
}

section! {
    /// The user that clients are at the servers, with auth = "stored": those that have not said AUTH.
    Login {
        /// The user (Redis ACL). Must exist on every server: users are not mirrored.
        /// Default "default": the user that a Redis without ACLs has.
        fixed user: String = default("default");
        /// File with its password: one line. Nobody but its owner and group may read it.
        fixed password_file: PathBuf = required("login.password");
    }
}

section! {
    /// Credentials of the sidecar's own connections: probes, role changes and the mirrors' links to their primary.
    /// Without this table they don't authenticate. `foretoken check` tells which permissions the user lacks.
    Control {
        /// The user (Redis ACL). Must exist on every server: users are not mirrored.
        /// Default "default": the user that a Redis without ACLs has.
        fixed user: String = default("default");
        /// File with its password: one line. Nobody but its owner and group may read it.
        fixed password_file: PathBuf = required("redis.password");
    }
}

impl Store {
    /// The primary of the configuration: the one to begin with, before any epoch is known.
    #[must_use]
    pub fn primary(&self) -> Option<&Endpoint> {
        self.endpoint.iter().find(|endpoint| endpoint.role == super::EndpointRole::Primary)
    }

    /// Whether there is a mirror: without one the role can't move.
    #[must_use]
    pub fn has_mirror(&self) -> bool {
        self.endpoint.iter().any(|endpoint| endpoint.role == super::EndpointRole::Mirror)
    }
}

/// What a store's servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RESP2 and RESP3.
    Redis,
}

choice!(Protocol { "redis" => Protocol::Redis });

/// How clients authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// As themselves, at the server.
    Passthrough,
    /// Who does not is a user of the configuration's.
    Stored,
}

choice!(Auth { "passthrough" => Auth::Passthrough, "stored" => Auth::Stored });

/// Whether roles may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manage {
    /// When nobody else does.
    Auto,
    /// Never.
    Follow,
}

choice!(Manage { "auto" => Manage::Auto, "follow" => Manage::Follow });

/// Where reads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// To the primary; they wait for it.
    Primary,
    /// To the primary; while it can't serve, to a mirror that is not too far behind.
    MirrorWhenHeld,
    /// To a mirror that is not too far behind, or else to the primary.
    Mirror,
    /// To the primary or a mirror in our region, or else to the primary.
    Nearest,
}

choice!(WriteConcern {
    "asynchronous" => WriteConcern::Asynchronous,
    "synchronous" => WriteConcern::Synchronous,
    "synchronous-strict" => WriteConcern::SynchronousStrict,
});

choice!(Reads {
    "primary" => Reads::Primary,
    "mirror-when-held" => Reads::MirrorWhenHeld,
    "mirror" => Reads::Mirror,
    "nearest" => Reads::Nearest,
});

/// What writes do while the primary can't serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldWrites {
    /// They wait, in bounds.
    Queue,
    /// They are refused at once.
    Refuse,
}

choice!(HeldWrites { "queue" => HeldWrites::Queue, "refuse" => HeldWrites::Refuse });
