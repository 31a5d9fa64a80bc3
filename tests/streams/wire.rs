//! A client that cuts its bytes where chance has it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Far above what any session takes.
const LONG: Duration = Duration::from_secs(30);

/// How bytes are handed to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Bytes in one write, at most.
    pub(crate) most: usize,
    /// Between two writes, in so many of a hundred cases, it waits for a moment, in which replies may come.
    pub(crate) pauses: u32,
}

impl Cut {
    pub(crate) const WHOLE: Self = Self { most: usize::MAX, pauses: 0 };

    pub(crate) fn any(rng: &mut SmallRng) -> Self {
        let most = [3, 50, 400, 4000, usize::MAX][rng.random_range(0..5)];
        // Many small pieces with many pauses would take longer than they are worth.
        let pauses = if most < 400 { 1 } else { [0, 10, 60][rng.random_range(0..3)] };
        Self { most, pauses }
    }
}

/// Where a URL leads.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("redis://").parse().expect("a URL with an address")
}

/// Sends `bytes` and reads to the end of the connection.
pub(crate) async fn converse(
    to: SocketAddr,
    bytes: &[u8],
    cut: Cut,
    rng: &mut SmallRng,
) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        // Whoever closes early does not take the rest.
        write(&mut writer, bytes, cut, rng).await.ok();
    };
    let mut replies = Vec::new();
    let reading = async {
        match reader.read_to_end(&mut replies).await {
            // Closed with bytes of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            result => result.map(drop),
        }
    };
    let both = async { tokio::join!(reading, writing).0 };
    match tokio::time::timeout(LONG, both).await {
        Ok(result) => result.map(|()| replies),
        Err(_) => {
            let end = replies.len().saturating_sub(200);
            let words = format!(
                "no end after {LONG:?}, the last of {}: {}",
                replies.len(),
                replies[end..].escape_ascii()
            );
            Err(io::Error::new(io::ErrorKind::TimedOut, words))
        }
    }
}

/// Sends `bytes` and is gone.
pub(crate) async fn vanish(to: SocketAddr, bytes: &[u8], cut: Cut, rng: &mut SmallRng) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    // Half of them leave with a reset.
    if rng.random() {
        stream.set_zero_linger()?;
    }
    write(&mut stream, bytes, cut, rng).await
}

async fn write(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut bytes: &[u8],
    cut: Cut,
    rng: &mut SmallRng,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let piece = rng.random_range(1..=cut.most.min(bytes.len()));
        let piece = if cut.most == usize::MAX { bytes.len() } else { piece };
        to.write_all(&bytes[..piece]).await?;
        bytes = &bytes[piece..];
        if cut.pauses > 0 && rng.random_ratio(cut.pauses, 100) {
            tokio::time::sleep(Duration::from_micros(rng.random_range(1..2000))).await;
        }
    }
    Ok(())
}
