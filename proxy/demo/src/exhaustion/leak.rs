//! Somebody opens connections past the sidecar and never closes them.

use std::io;
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpStream;

use super::Victim;
use crate::servers::Server;

/// Connections that the server takes from now on.
const LIMIT: usize = 400;
/// How long a server has to say that it takes no more, or how many it has.
const ANSWER_MAX: Duration = Duration::from_millis(20);

pub(super) struct Leak {
    address: String,
    client: redis::Client,
    /// Asks how many there are. Cut by a change of roles, like any other.
    watcher: Option<MultiplexedConnection>,
    leaked: Vec<TcpStream>,
    /// Connections of others, as last told.
    others: usize,
}

impl Leak {
    pub(super) async fn of(server: &Server) -> io::Result<Self> {
        let client = redis::Client::open(server.url()).map_err(io::Error::other)?;
        let mut watcher = client.get_multiplexed_async_connection().await.map_err(io::Error::other)?;
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxclients").arg(LIMIT);
        set.exec_async(&mut watcher).await.map_err(io::Error::other)?;
        let others = connected(&mut watcher).await.map_err(io::Error::other)?;
        let others = others.ok_or_else(|| io::Error::other("the server does not tell its connections"))?;
        let address = format!("127.0.0.1:{}", server.port());
        Ok(Self { address, client, watcher: Some(watcher), leaked: Vec::new(), others })
    }

    /// Counts again. What is not told stays as it was: a full server lets nobody in to ask.
    async fn count(&mut self) {
        let asked = async {
            let mut watcher = match self.watcher.take() {
                Some(watcher) => watcher,
                None => self.client.get_multiplexed_async_connection().await?,
            };
            let all = connected(&mut watcher).await?;
            RedisResult::Ok((watcher, all))
        };
        if let Ok(Ok((watcher, all))) = tokio::time::timeout(ANSWER_MAX, asked).await {
            self.watcher = Some(watcher);
            self.others = all.map_or(self.others, |all| all.saturating_sub(self.leaked.len()));
        }
    }

    fn all(&self) -> usize {
        self.others + self.leaked.len()
    }
}

async fn connected(connection: &mut MultiplexedConnection) -> RedisResult<Option<usize>> {
    let info: String = redis::cmd("INFO").arg("clients").query_async(connection).await?;
    Ok(info.lines().find_map(|line| line.strip_prefix("connected_clients:")?.trim().parse().ok()))
}

impl Victim for Leak {
    fn used(&self) -> io::Result<f64> {
        Ok(share(self.all()))
    }

    /// What was cut, as by a change of roles, is opened again: the leak does not care who is the primary.
    async fn touch(&mut self, to: f64) -> io::Result<()> {
        self.leaked.retain(is_open);
        self.count().await;
        while to < 1.0 && share(self.all()) > to && self.leaked.pop().is_some() {}
        while share(self.all() + 1) <= to {
            self.leaked.push(TcpStream::connect(&self.address).await?);
        }
        Ok(())
    }

    async fn is_gone(&mut self) -> bool {
        let Ok(connection) = TcpStream::connect(&self.address).await else { return false };
        // A server that takes the connection says nothing; one that cuts it says nothing either.
        tokio::time::timeout(ANSWER_MAX, connection.readable()).await.is_ok_and(|ready| {
            let mut first = [0; 1];
            ready.is_ok() && connection.try_read(&mut first).is_ok_and(|read| read == 1) && first == *b"-"
        })
    }
}

fn is_open(connection: &TcpStream) -> bool {
    let mut first = [0; 1];
    matches!(connection.try_read(&mut first), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[expect(clippy::cast_precision_loss, reason = "some hundred connections")]
const fn share(connections: usize) -> f64 {
    connections as f64 / LIMIT as f64
}
