//! A gate: the other role of the program, with a file of its own.

use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::{Address, EndpointId, StoreId};

use super::{EndpointTls, Log};
use crate::section::section;
use crate::value::EndpointUrl;

section! {
    /// Configuration of one Foretoken gate, which stands in front of one server of a store: `foretoken gate --config FILE`.
    ///
    /// Durations carry their unit: "250ms", "1.5s". Relative paths count from the directory of this file.
    Gate {
        /// The store's name in the configuration of the sidecar.
        fixed store: StoreId = required("cache");
        /// The name of the endpoint whose server is behind this gate, in the configuration of the sidecar.
        fixed endpoint: EndpointId = required("a");
        /// Where sidecars connect: host:port. Anything but loopback takes the table tls.
        fixed listen: Address = required("127.0.0.1:7379");
        /// The server behind the gate. It should listen where nobody but the gate and the other servers get to it.
        fixed url: EndpointUrl = required("redis://127.0.0.1:6379");
        /// TCP address for health (/live, /ready) and /metrics, on loopback. When it is unset, there is none.
        fixed admin: Option<Address> = optional("127.0.0.1:7381");
        /// TLS to the server, for a rediss URL. Without this table: the system's CAs and the host of url as the name.
        fixed server_tls: Option<EndpointTls> = optional_table;
        /// TLS on the listener. A sidecar must show a certificate of client_ca_file, and its tokens are bound to it.
        fixed tls: Option<GateTls> = optional_table;
        /// The sidecar whose word counts.
        fixed sidecar: GateSidecar = table;
        /// What may pass, and for how long.
        fixed limits: GateLimits = table;
        /// What the gate says about itself.
        fixed log: Log = table;
    }
}

section! {
    /// TLS on the listener of a gate.
    GateTls {
        /// PEM file of the certificate that sidecars see, followed by those between it and its CA.
        fixed cert_file: PathBuf = required("gate.pem");
        /// PEM file of its private key, not encrypted. Nobody but its owner and group may read it.
        fixed key_file: PathBuf = required("gate.key");
        /// PEM file of the CAs of the sidecars. Who shows no certificate of one of them is closed in the handshake.
        fixed client_ca_file: PathBuf = required("sidecars-ca.pem");
    }
}

section! {
    /// The sidecar whose word counts: keys and epoch come from its admin listener.
    GateSidecar {
        /// Its admin listener: host:port, or unix:/path of its socket. Anything but loopback and Unix takes the table tls.
        fixed api: Address = required("127.0.0.1:7001");
        /// TLS to it: the CA of its certificate, and the certificate that we show.
        fixed tls: Option<EndpointTls> = optional_table;
    }
}

section! {
    /// What may pass, and for how long.
    GateLimits {
        /// After so long without a word of the sidecar nothing passes any more, and what is open is cut.
        /// Too low: a short stall of the sidecar cuts it off. Too high: what a lost sidecar left open stays open.
        /// The sidecar's own lease.ttl counts where it is shorter.
        /// Default 2s: lease.ttl of the sidecar.
        fixed ttl: Duration = default("2s") in "300ms" to "60s";
        /// Taken off the end of ttl.
        /// Too low: a pause between the check and the bytes leaving could let them out too late. Too high: time is lost.
        /// Default 150ms: as lease.guard of the sidecar.
        fixed guard: Duration = default("150ms") in "1ms" to "10s";
        /// Longest time to present a token, TLS included; then the connection is closed.
        /// Too low: a busy sidecar is turned away. Too high: silent connections hold places for as long.
        /// Default 5s: several times what a handshake takes on a busy machine.
        fixed present: Duration = default("5s") in "100ms" to "60s";
        /// Longest time to open a connection to the server, TLS included.
        /// Default 1s: as connect_timeout of the sidecar, which waits for it.
        fixed connect_timeout: Duration = default("1s") in "10ms" to "60s";
        /// Most connections; one more is told so and closed.
        /// Too low: a sidecar with many clients is turned away. Too high: the limit of open files decides.
        /// Default 10000: the store's own default (maxclients).
        fixed connections: u32 = default(10_000) in 1 to 1_000_000;
    }
}
