//! Two servers that start in the same state: one that is asked directly, and one behind the data path.

use std::net::SocketAddr;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::commands;
use crate::compare::difference;
use crate::grammar::Grammar;
use crate::session::Stream;
use crate::support::data_path::DataPath;
use crate::support::servers::RedisServer;
use crate::wire::{Cut, converse};

/// Small hashes and sorted sets keep the order of their elements; large ones have that of a hash table.
pub(crate) const ORDERED: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "100000"),
    ("hash-max-listpack-value", "100000"),
    ("zset-max-listpack-entries", "100000"),
    ("zset-max-listpack-value", "100000"),
];

/// A server on which what has an order keeps it.
pub(crate) fn ordered() -> RedisServer {
    let options: Vec<String> =
        ORDERED.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
    RedisServer::start(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(crate) struct Both {
    direct: RedisServer,
    behind: RedisServer,
    path: DataPath,
}

impl Both {
    pub(crate) async fn start() -> Self {
        let (direct, behind) = (ordered(), ordered());
        let path = DataPath::start(&[behind.port]).await;
        Self { direct, behind, path }
    }

    pub(crate) fn grammar(&self) -> Grammar {
        Grammar::new(commands::all(&mut self.direct.connection()))
    }

    pub(crate) fn direct(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.direct.port))
    }

    pub(crate) fn through(&self) -> SocketAddr {
        self.path.address
    }

    /// Brings both servers back into the state in which they started.
    pub(crate) fn reset(&self) {
        for server in [&self.direct, &self.behind] {
            let mut connection = server.connection();
            let users: Vec<String> = redis::cmd("ACL").arg("USERS").query(&mut connection).expect("lists");
            let mut all = redis::pipe();
            for user in users.iter().filter(|user| *user != "default") {
                all.cmd("ACL").arg("DELUSER").arg(user);
            }
            all.cmd("FLUSHALL").cmd("SCRIPT").arg("FLUSH").cmd("FUNCTION").arg("FLUSH");
            all.exec(&mut connection).expect("the server takes it");
        }
    }

    /// Deletes the keys whose names begin with `stem` from the server behind the sidecar.
    pub(crate) fn forget(&self, stem: &str) {
        let mut connection = self.behind.connection();
        for database in 0..16 {
            let mut both = redis::pipe();
            both.cmd("SELECT").arg(database).ignore().cmd("KEYS").arg(format!("{stem}*"));
            let (keys,): (Vec<Vec<u8>>,) = both.query(&mut connection).expect("lists");
            if !keys.is_empty() {
                redis::cmd("DEL").arg(keys).exec(&mut connection).expect("deletes");
            }
        }
    }

    /// A digest of all data, on either side.
    pub(crate) fn digests(&self) -> [String; 2] {
        [&self.direct, &self.behind].map(|server| {
            let mut connection = server.connection();
            // A key whose time is over counts until it is noticed, which happens at the next look.
            for database in 0..16 {
                let mut look = redis::pipe();
                look.cmd("SELECT").arg(database).cmd("KEYS").arg("*").exec(&mut connection).expect("lists");
            }
            redis::cmd("DEBUG").arg("DIGEST").query(&mut connection).expect("a digest")
        })
    }

    /// How the replies to one client differ, on servers that nobody else uses.
    pub(crate) async fn compare(&self, stream: &Stream, seed: u64) -> Option<String> {
        let (bytes, mut rng) = (stream.bytes(), SmallRng::seed_from_u64(seed));
        let wanted = converse(self.direct(), &bytes, Cut::WHOLE, &mut rng).await.expect("the server answers");
        match converse(self.through(), &bytes, stream.cut, &mut rng).await {
            Ok(got) => difference(&wanted, &got),
            Err(error) => Some(format!("through the sidecar: {error}")),
        }
    }
}
