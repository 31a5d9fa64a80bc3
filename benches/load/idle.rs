//! Memory of a target whose clients have said one thing and then nothing.

use std::net::TcpStream;
use std::time::Duration;

use crate::address::Address;
use crate::exchange::Exchange;
use crate::process::rss_kib;
use crate::stage::Target;

pub(crate) const CONNECTIONS: [usize; 3] = [1, 200, 2000];
/// Whatever a target still tidies up.
const SETTLED: Duration = Duration::from_millis(500);

/// RSS in KiB at each number of connections. The target has carried nothing before.
pub(crate) fn measure(target: &Target) -> Result<[u64; 3], String> {
    let Address::Tcp(port) = target.address else {
        return Err("memory is measured over TCP only".to_owned());
    };
    let ping = Exchange { request: b"*1\r\n$4\r\nPING\r\n".to_vec(), reply: b"+PONG\r\n".to_vec() };
    let connect = || -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        ping.with(&mut stream)?;
        Ok(stream)
    };
    let mut open = Vec::new();
    let mut rss = [0; CONNECTIONS.len()];
    for (connections, rss) in CONNECTIONS.into_iter().zip(&mut rss) {
        while open.len() < connections {
            open.push(
                connect().map_err(|error| format!("{}: connection {}: {error}", target.name, open.len()))?,
            );
        }
        std::thread::sleep(SETTLED);
        *rss = rss_kib(target.process)?;
    }
    Ok(rss)
}
