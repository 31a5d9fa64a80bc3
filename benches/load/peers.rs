//! The peers, each with its best settings, which here are few: one thread, and nothing switched on that costs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::address::{Address, free_port};

/// Where a peer finds what it is to do.
pub(crate) struct Task<'a> {
    pub(crate) home: &'a Path,
    pub(crate) listen: &'a Address,
    /// Port of the store.
    pub(crate) store: u16,
    /// What [`crate::tls::certified`] has made.
    pub(crate) certificates: &'a Path,
}

impl Task<'_> {
    /// A file in its directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let file = self.home.join(name);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }
}

pub(crate) fn haproxy(task: &Task<'_>) -> Result<Command, String> {
    let bind = match task.listen {
        Address::Tcp(port) => format!("127.0.0.1:{port}"),
        Address::Tls(port) => {
            format!("127.0.0.1:{port} ssl crt {}", task.certificates.join("listener.both").display())
        }
        Address::Unix(path) => format!("unix@{}", path.display()),
    };
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
         timeout server 1h\nlisten redis\n  bind {bind}\n  server s 127.0.0.1:{}\n",
        task.store
    );
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(task.write("haproxy.cfg", &text)?);
    Ok(command)
}

/// `None`: it has no TLS.
pub(crate) fn twemproxy(task: &Task<'_>) -> Result<Option<Command>, String> {
    let listen = match task.listen {
        Address::Tcp(port) => format!("127.0.0.1:{port}"),
        Address::Tls(_) => return Ok(None),
        Address::Unix(path) => format!("{} 0600", path.display()),
    };
    let text = format!(
        "redis:\n  listen: {listen}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - \
         127.0.0.1:{}:1\n",
        task.store
    );
    let mut command = Command::new("nutcracker");
    command.arg("-c").arg(task.write("nutcracker.yml", &text)?);
    command.args(["-a", "127.0.0.1", "-s", &free_port()?.to_string(), "-m", "16384"]);
    Ok(Some(command))
}

/// What Envoy looks at: requests, which it puts together on one connection, or nothing. The first is better for single requests,
/// the second for pipelines.
#[derive(Clone, Copy)]
pub(crate) enum Envoy {
    Redis,
    Tcp,
}

pub(crate) fn envoy(program: &Path, kind: Envoy, task: &Task<'_>) -> Result<Command, String> {
    let types = "type.googleapis.com/envoy.extensions";
    let filter = match kind {
        Envoy::Redis => format!(
            "\"@type\": {types}.filters.network.redis_proxy.v3.RedisProxy, settings: {{ op_timeout: 5s }}, prefix_routes: {{ \
             catch_all_route: {{ cluster: store }} }}"
        ),
        Envoy::Tcp => format!("\"@type\": {types}.filters.network.tcp_proxy.v3.TcpProxy, cluster: store"),
    };
    let tcp = |port: u16| format!("{{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}");
    let (address, tls) = match task.listen {
        Address::Tcp(port) => (tcp(*port), String::new()),
        Address::Unix(path) => (format!("{{ pipe: {{ path: {path:?} }} }}"), String::new()),
        Address::Tls(port) => {
            let file = |name: &str| format!("{{ filename: {:?} }}", task.certificates.join(name));
            let [certificate, key] = ["listener.pem", "listener.key"].map(file);
            let context = format!(
                "\"@type\": {types}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{ tls_certificates: [{{ \
                 certificate_chain: {certificate}, private_key: {key} }}] }}"
            );
            (tcp(*port), format!("      transport_socket: {{ name: tls, typed_config: {{ {context} }} }}\n"))
        }
    };
    let store = tcp(task.store);
    let text = format!(
        "static_resources:
  listeners:
  - address: {address}
    filter_chains:
    - filters: [{{ name: clients, typed_config: {{ stat_prefix: clients, {filter} }} }}]
{tls}  clusters:
  - name: store
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 4096 }}] }}
    load_assignment:
      cluster_name: store
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {store} }} }}] }}]
"
    );
    let mut command = Command::new(program);
    command.arg("-c").arg(task.write("envoy.yaml", &text)?);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    Ok(command)
}
