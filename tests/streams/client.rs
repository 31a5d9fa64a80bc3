//! A client that waits for what it is told, for tests that follow a promise and not bytes.

use std::net::SocketAddr;

use redis::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

use crate::grammar::multibulk;
use crate::store::LONG;

/// What it may be told ahead of being looked at.
const AHEAD: usize = 64;

/// A role that moves never cuts it, refuses it, or leaves it in doubt: that is a failure at once.
pub(crate) struct Client {
    /// In words, with the seed.
    who: String,
    /// Stands for `@`.
    stem: String,
    writer: OwnedWriteHalf,
    told: mpsc::Receiver<Value>,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr, who: String, stem: &str) -> Self {
        let stream = TcpStream::connect(to).await.expect("the sidecar listens");
        stream.set_nodelay(true).expect("a socket");
        let (mut reader, writer) = stream.into_split();
        let (tell, told) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let mut decoder = Default::default();
            while let Ok(value) = redis::parse_redis_value_async(&mut decoder, &mut reader).await {
                if tell.send(value).await.is_err() {
                    break;
                }
            }
        });
        Self { who, stem: stem.to_owned(), writer, told }
    }

    pub(crate) fn who(&self) -> &str {
        &self.who
    }

    /// Words between spaces.
    pub(crate) async fn say(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').map(|word| word.replace('@', &self.stem).into_bytes()).collect();
        let said = self.writer.write_all(&multibulk(&words)).await;
        said.unwrap_or_else(|error| panic!("{}: {line}: {error}", self.who));
    }

    /// The next thing that it is told.
    pub(crate) async fn hear(&mut self, why: &str) -> Value {
        match tokio::time::timeout(LONG, self.told.recv()).await {
            Ok(Some(Value::ServerError(error))) => panic!("{}: {why}: {error:?}", self.who),
            Ok(Some(value)) => value,
            Ok(None) => panic!("{}: {why}: it was cut", self.who),
            Err(_) => panic!("{}: {why}: nothing for {LONG:?}", self.who),
        }
    }

    pub(crate) async fn ask(&mut self, line: &str) -> Value {
        self.say(line).await;
        self.hear(line).await
    }
}

/// All texts in a reply, in order.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Value::SimpleString(text) => vec![text.clone()],
        Value::Array(values) | Value::Push { data: values, .. } => values.iter().flat_map(texts).collect(),
        Value::Map(pairs) => {
            pairs.iter().flat_map(|(key, value)| [texts(key), texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}
