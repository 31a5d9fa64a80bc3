//! A client that sees the bytes, and what its servers are told beside it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;

pub(crate) const LONG: Duration = Duration::from_secs(10);

/// A client that sees the bytes.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn connect(path: &DataPath) -> Self {
        Self(TcpStream::connect(path.address).await.expect("connects"))
    }

    /// One that is subscribed to `a`, in RESP3.
    pub(crate) async fn subscribed(path: &DataPath) -> Self {
        let mut client = Self::connect(path).await;
        client.ask("HELLO 3\r\nSUBSCRIBE a").await;
        client.skip_hello().await;
        client.hears(">3|$9|subscribe|$1|a|:1|").await;
        client
    }

    pub(crate) async fn ask(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.expect("is taken");
    }

    /// The next bytes are these; `|` stands for the end of a line.
    pub(crate) async fn hears(&mut self, wanted: &str) {
        let wanted = wanted.replace('|', "\r\n");
        let mut heard = vec![0; wanted.len()];
        timeout(LONG, self.0.read_exact(&mut heard)).await.expect("in time").expect("goes on");
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    }

    /// The next line is a number.
    pub(crate) async fn hears_number(&mut self) -> i64 {
        let line = self.line().await;
        let number = line.strip_prefix(':').and_then(|line| line.trim_end().parse().ok());
        number.unwrap_or_else(|| panic!("{line}"))
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(LONG, self.0.read_u8()).await.expect("in time").expect("goes on"));
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// A line comes in which this stands.
    pub(crate) async fn hears_line_with(&mut self, wanted: &str) {
        let line = self.line().await;
        assert!(line.contains(wanted), "{line}");
    }

    /// The reply to `HELLO 3`, up to its last field.
    pub(crate) async fn skip_hello(&mut self) {
        let mut reply = Vec::new();
        while !reply.ends_with(b"modules\r\n*0\r\n") {
            reply.push(timeout(LONG, self.0.read_u8()).await.expect("in time").expect("goes on"));
        }
    }

    /// It hears nothing more, and that at once.
    pub(crate) async fn is_cut(&mut self) {
        let mut more = Vec::new();
        // How the connection ends is the kernel's affair.
        timeout(LONG, self.0.read_to_end(&mut more)).await.expect("in time").ok();
        assert!(more.is_empty(), "{:?}", String::from_utf8_lossy(&more));
    }
}

/// Asks a server itself.
pub(crate) fn query<T: redis::FromRedisValue>(server: &RedisServer, line: &str) -> T {
    let mut words = line.split(' ');
    let mut cmd = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.query(&mut server.connection()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Publishes until somebody hears it.
pub(crate) async fn publish(server: &RedisServer, line: &str) {
    let end = Instant::now() + LONG;
    while query::<i64>(server, line) == 0 {
        assert!(Instant::now() < end, "nobody hears {line}");
        tokio::task::yield_now().await;
    }
}

/// Two servers and the path in front of them.
pub(crate) async fn two() -> (RedisServer, RedisServer, DataPath) {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let path = DataPath::start(&[old.port, new.port]).await;
    (old, new, path)
}
