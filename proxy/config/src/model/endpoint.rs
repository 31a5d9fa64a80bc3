//! One server of a store.

use std::path::PathBuf;

use foretoken_types::{Address, EndpointId, Region};

use crate::section::section;
use crate::value::{EndpointUrl, HttpUrl, choice};

section! {
    /// One server of the store. Exactly one is the primary to begin with; there may be any number of mirrors up to 63.
    Endpoint {
        /// Its name in status, metrics and commands: 1 to 63 of a-z, 0-9 and -.
        fixed name: EndpointId = required("primary");
        /// Where it is: redis://host:port, rediss://host:port (TLS) or redis+unix:///path. No credentials, no database.
        fixed url: EndpointUrl = required("redis://127.0.0.1:6379");
        /// "primary" or "mirror": its role before the first switchover. Later the recorded epoch says who is primary, and
        /// this key matters only when all records are lost.
        /// No default: no server should become a primary, or be overwritten as a mirror, for a line that was left out.
        fixed role: EndpointRole = required("primary");
        /// Where it stands; a label that is shown and compared for equality. Unset: it stands nowhere in particular.
        fixed region: Option<Region> = optional("eu-west");
        /// host:port under which the *other servers* reach it, for their replication. Unset: that of url.
        /// Needed when url is a Unix socket, a loopback address of one machine among several, or goes through a tunnel.
        fixed advertise: Option<Address> = optional("10.0.0.1:6379");
        /// Whether a gate (`foretoken gate`) stands in front of it: then url is the gate's address, every connection begins with
        /// a token, and `advertise` is the server's own address, because the servers' replication does not pass gates.
        /// Wrongly true: the server refuses the token, and the store can't be used.
        /// Default false: most servers are where nobody else gets to them.
        fixed gate: bool = default(false);
        /// URL of a node_exporter on its machine, for CPU, memory and disk of the host.
        /// Unset: read from /proc when the server is local, unknown otherwise.
        fixed node_exporter: Option<HttpUrl> = optional("http://10.0.0.1:9100/metrics");
        /// TLS to it, for rediss URLs. Without this table: the system's CAs, the host of url as the name, no certificate of ours.
        fixed tls: Option<EndpointTls> = optional_table;
    }
}

section! {
    /// TLS to the server, for rediss URLs.
    EndpointTls {
        /// PEM file of the CAs that may have signed its certificate. Unset: those of the system.
        fixed ca_file: Option<PathBuf> = optional("redis-ca.pem");
        /// PEM file of the certificate that we show when it asks for one. Needs key_file. Unset: none is shown.
        fixed cert_file: Option<PathBuf> = optional("sidecar.pem");
        /// PEM file of the private key of cert_file, not encrypted. Nobody but its owner and group may read it.
        fixed key_file: Option<PathBuf> = optional("sidecar.key");
        /// Name that its certificate must be for. Unset: the host of its address.
        fixed server_name: Option<String> = optional("redis.internal");
    }
}

impl Endpoint {
    /// Where the other servers reach it; `None` for a Unix socket that advertises nothing.
    #[must_use]
    pub fn advertised(&self) -> Option<(&str, u16)> {
        match self.advertise.as_ref().unwrap_or(&self.url.address) {
            Address::Tcp { host, port } => Some((host, *port)),
            Address::Unix(_) => None,
        }
    }
}

/// Role of an endpoint before the first switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointRole {
    /// Takes the writes.
    Primary,
    /// Copies the primary.
    Mirror,
}

choice!(EndpointRole { "primary" => EndpointRole::Primary, "mirror" => EndpointRole::Mirror });
