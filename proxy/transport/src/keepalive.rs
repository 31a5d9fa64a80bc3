//! How long a TCP connection to a vanished peer lives.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Probes begin after this much silence. Below the 240 s to 350 s after which NAT gateways and load balancers of the
/// large clouds forget a silent connection, and rare enough to cost nothing.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// Time between two probes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// Unanswered probes until the connection is given up: 60 s + 4 * 15 s = 2 min after the peer fell silent, instead of
/// the system's 2 h 11 min. A client that lost its power must not hold its session and its server connection for hours.
pub(crate) const PROBES: u32 = 4;

/// How long sent bytes may stay unacknowledged by an upstream's kernel (`TCP_USER_TIMEOUT`, `tcp(7)`).
///
/// Keepalive is silent while data is outstanding; then only retransmission ends a connection, after about 15 min
/// (`tcp_retries2` = 15). Half a minute outlasts a change of route or the move of a virtual machine, and any failover
/// has long been decided by then: this is for the descriptors and the memory that a dead server would hold. It also
/// shortens keepalive: an idle upstream that misses its first probe is closed 75 s after it fell silent.
#[cfg(target_os = "linux")]
pub(crate) const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// For a client's connection.
pub(crate) fn downstream(socket: &TcpStream) -> io::Result<()> {
    // Replies are written whole; waiting for more to fill a segment only adds latency.
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL).with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// For a connection to a server. Clients don't get the limit on unacknowledged bytes: one that reads slowly is bounded by
/// its session, and a laptop that was closed for a minute may go on.
pub(crate) fn upstream(socket: &TcpStream) -> io::Result<()> {
    downstream(socket)?;
    #[cfg(target_os = "linux")]
    SockRef::from(socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}
