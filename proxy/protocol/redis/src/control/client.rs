//! A connection of our own to one server: pipelines of commands out, their replies back.

use std::io;
use std::time::Duration;

use foretoken_protocol::Refused;
use foretoken_transport::{Connector, Error, Stream, Unwelcome};
use foretoken_types::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Credentials;
use super::value::{MAX_BYTES, Malformed, Parser, Value};
use crate::gate;

/// Longest piece of a server's text that is repeated in our own.
const QUOTED_CHARS: usize = 300;
/// For how long a server that closed a fresh connection is listened to for its reason, which it gives at once or never.
const LISTEN: Duration = Duration::from_millis(100);
/// Room for replies: the longest usual pipeline, three sections of `INFO`, takes about 3 KiB.
const READ_BYTES: usize = 8 * 1024;

/// Commands that travel together.
#[derive(Default)]
pub(super) struct Pipeline {
    /// Wiped when dropped: `AUTH` and `CONFIG SET masterauth` are among them.
    bytes: Zeroizing<Vec<u8>>,
    names: Vec<&'static str>,
}

impl Pipeline {
    /// One more command: `name` is its words in front of the arguments (`CLIENT PAUSE`).
    pub(super) fn command(mut self, name: &'static str, arguments: &[&str]) -> Self {
        let words: Vec<&str> = name.split(' ').chain(arguments.iter().copied()).collect();
        let more = 16 + words.iter().map(|word| word.len() + 16).sum::<usize>();
        if self.bytes.capacity() - self.bytes.len() < more {
            // A vector that grows by itself leaves a copy behind that nobody wipes.
            let mut grown = Zeroizing::new(Vec::with_capacity(2 * (self.bytes.len() + more)));
            grown.extend_from_slice(&self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.bytes.extend_from_slice(word.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.names.push(name);
        self
    }

    /// [`Pipeline::command`] if `wanted`.
    pub(super) fn command_if(self, wanted: bool, name: &'static str, arguments: &[&str]) -> Self {
        if wanted { self.command(name, arguments) } else { self }
    }
}

/// A pipeline of one command.
pub(super) fn command(name: &'static str, arguments: &[&str]) -> Pipeline {
    Pipeline::default().command(name, arguments)
}

/// The reply to one command.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// The command that it answers.
    pub(super) name: &'static str,
    /// What came.
    pub(super) value: Value,
}

impl Reply {
    /// The reply, unless it is an error.
    pub(super) fn ok(self) -> Result<Value, Refused> {
        match &self.value {
            Value::Error(text) => Err(refusal(self.name, text)),
            _ => Ok(self.value),
        }
    }

    /// The text of the reply.
    pub(super) fn text(self) -> Result<String, Refused> {
        let name = self.name;
        self.ok()?.text().ok_or_else(|| unexpected(name))
    }
}

/// Takes the replies to a pipeline in order.
pub(super) struct Replies(std::vec::IntoIter<Reply>);

impl Replies {
    /// The next one.
    pub(super) fn take(&mut self) -> Result<Reply, Refused> {
        self.0.next().ok_or_else(|| Refused::new(Failure::Other, "there is no reply to that command"))
    }
}

impl IntoIterator for Replies {
    type Item = Reply;
    type IntoIter = std::vec::IntoIter<Reply>;
    fn into_iter(self) -> Self::IntoIter {
        self.0
    }
}

/// The refusal for a reply of a kind that the command does not have.
pub(super) fn unexpected(name: &str) -> Refused {
    Refused::new(Failure::Other, format!("{name} was answered with something that it has no meaning for"))
}

/// The refusal for an error reply (classes of PROTOCOL 10.1).
pub(super) fn refusal(name: &str, text: &str) -> Refused {
    let failure = match failure_of(text) {
        Failure::Other if name == "AUTH" => Failure::Credentials,
        failure => failure,
    };
    let remedy = match text.split(' ').next() {
        Some("NOPERM") if text.contains("key") => ": the user needs access to the keys ~__ft:*",
        Some("NOPERM") => ": the user needs the permission for this command",
        // It says itself what is missing.
        Some("NOAUTH" | "WRONGPASS") if is_of_a_gate(text) => "",
        Some("NOAUTH") => ": the server asks for a password and none is configured",
        Some("WRONGPASS") => ": the configured user or password is wrong",
        _ => "",
    };
    Refused::new(failure, format!("{name} was answered: {}{remedy}", quoted(text)))
}

/// An error reply as it can be shown: in one line of bounded length, without a full stop.
pub(super) fn quoted(text: &str) -> String {
    // A server that does not know a command repeats its arguments, which are a password after AUTH.
    let told = text.split(", with args beginning with").next().unwrap_or(text);
    let mut quoted: String = told.chars().filter(|c| !c.is_control()).take(QUOTED_CHARS).collect();
    quoted.truncate(quoted.trim_end_matches('.').len());
    quoted
}

/// Whether a server, or the gate in front of it, closes a connection that it has told this.
fn is_farewell(text: &str) -> bool {
    text.contains("max number of clients") || text.starts_with("DENIED") || is_of_a_gate(text)
}

fn is_of_a_gate(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(_, words)| words.starts_with(gate::SAYS))
}

fn failure_of(text: &str) -> Failure {
    match text.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Failure::Credentials,
        "BUSY" => Failure::Busy,
        "LOADING" | "MISCONF" | "OOM" | "READONLY" | "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN"
        | "TRYAGAIN" | "UNBLOCKED" => Failure::NotServing,
        "ERR" if is_farewell(text) => Failure::NotServing,
        _ => Failure::Other,
    }
}

/// Why an exchange on an open connection ended.
enum Broken {
    /// It was closed before a byte of an answer came: on a connection that had been idle this says nothing of the server.
    Closed(Option<io::Error>),
    /// Closed after the server had said why.
    Said(Refused),
    /// Closed in the middle of an answer.
    Cut,
    /// What came is not RESP2.
    Garbage(Malformed),
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
}

impl Connection {
    /// Sends all commands at once and awaits all replies.
    async fn exchange(&mut self, pipeline: &Pipeline) -> Result<Replies, Broken> {
        // A server at its client limit says so and closes at once: its words can be read although writing failed.
        let written = match self.stream.write_all(&pipeline.bytes).await {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        // Wiped like the request: `CONFIG GET masterauth` brings a password.
        let mut input = Zeroizing::new(Vec::with_capacity(READ_BYTES));
        let (mut parser, mut parsed) = (Parser::default(), 0);
        let mut replies: Vec<Reply> = Vec::with_capacity(pipeline.names.len());
        loop {
            while let Some(name) = pipeline.names.get(replies.len()).copied() {
                let Some((value, used)) = parser.next(&input[parsed..]).map_err(Broken::Garbage)? else {
                    break;
                };
                parsed += used;
                replies.push(Reply { name, value });
            }
            if replies.len() == pipeline.names.len() && written.is_ok() {
                return match parsed == input.len() {
                    true => Ok(Replies(replies.into_iter())),
                    false => Err(Broken::Garbage(Malformed::UNASKED)),
                };
            }
            match self.stream.read_buf(&mut *input).await {
                Ok(more) if more > 0 => {}
                ended => {
                    let said = replies.first().and_then(|reply| {
                        reply.value.error().map(|text| Broken::Said(refusal(reply.name, text)))
                    });
                    return Err(match said {
                        Some(said) => said,
                        None if !input.is_empty() => Broken::Cut,
                        None => Broken::Closed(ended.err().or(written.err())),
                    });
                }
            }
            if input.len() > MAX_BYTES {
                return Err(Broken::Garbage(Malformed::TOO_MUCH));
            }
        }
    }
}

/// Connects when needed, authenticates, asks.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connector: Connector,
    pub(super) credentials: Option<Credentials>,
    open: Option<Connection>,
}

impl Client {
    pub(super) fn new(connector: Connector, credentials: Option<Credentials>) -> Self {
        Self { connector, credentials, open: None }
    }

    /// Sends `pipeline` over the open connection, or over a new one when there is none or when it turns out to have been
    /// closed while idle (`timeout`, `CLIENT KILL`, a restart). So a pipeline may be executed twice, and each must be
    /// such that this does no harm.
    ///
    /// # Cancel safety
    /// Dropping it drops the connection, so that no later call can read this one's replies.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline) -> Result<Replies, Refused> {
        if let Some(mut connection) = self.open.take() {
            match connection.exchange(pipeline).await {
                Ok(replies) => return Ok(self.keep(connection, replies)),
                Err(Broken::Closed(_)) => {}
                Err(broken) => return Err(self.explain(broken)),
            }
        }
        let mut connection = self.connect().await?;
        match connection.exchange(pipeline).await {
            Ok(replies) => Ok(self.keep(connection, replies)),
            Err(broken) => Err(self.explain(broken)),
        }
    }

    /// Sends `pipeline` over the connection of the last call and no other: what that call did (`WATCH`, `MULTI`) holds for
    /// that connection only.
    ///
    /// # Cancel safety
    /// As [`Client::ask`].
    pub(super) async fn ask_next(&mut self, pipeline: &Pipeline) -> Result<Replies, Refused> {
        let Some(mut connection) = self.open.take() else {
            return Err(self.explain(Broken::Cut));
        };
        match connection.exchange(pipeline).await {
            Ok(replies) => Ok(self.keep(connection, replies)),
            Err(broken) => Err(self.explain(broken)),
        }
    }

    /// Forgets the connection.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn keep(&mut self, connection: Connection, replies: Replies) -> Replies {
        self.open = Some(connection);
        replies
    }

    async fn connect(&self) -> Result<Connection, Refused> {
        let stream = self.connector.connect().await.map_err(|error| self.unreachable(&error))?;
        let mut connection = Connection { stream };
        let named = match &self.credentials {
            Some(Credentials { user: Some(user), password }) => command("AUTH", &[user, password]),
            Some(Credentials { user: None, password }) => command("AUTH", &[password]),
            None => Pipeline::default(),
        }
        .command("CLIENT SETNAME", &["foretoken-control"]);
        let replies = match connection.exchange(&named).await {
            Ok(replies) => replies,
            Err(Broken::Closed(_)) => return Err(self.turned_away().await),
            Err(broken) => return Err(self.explain(broken)),
        };
        for reply in replies {
            // The name is a courtesy to whoever reads CLIENT LIST: it may be forbidden, or have to wait for LOADING. But
            // what a server says before it hangs up comes as the answer to whatever was sent first.
            if reply.name == "AUTH" || reply.value.error().is_some_and(is_farewell) {
                reply.ok()?;
            }
        }
        Ok(connection)
    }

    /// Why a fresh connection was closed without an answer.
    ///
    /// A server that takes no more clients says so and closes. What we had sent by then makes the kernel reset the
    /// connection, and the words may be lost with it: so listen once more without saying anything.
    async fn turned_away(&self) -> Refused {
        let listen = async {
            let stream = self.connector.connect().await.map_err(|error| self.unreachable(&error))?;
            let silent = Pipeline { names: vec!["CONNECT"], ..Pipeline::default() };
            Connection { stream }.exchange(&silent).await.map_err(|broken| self.explain(broken))?.take()?.ok()
        };
        match timeout(LISTEN, listen).await {
            Ok(Err(refused)) => refused,
            Ok(Ok(_)) | Err(_) => self.explain(Broken::Closed(None)),
        }
    }

    /// Whether a fresh connection can be made within `limit`.
    pub(super) async fn reach(&self, limit: Duration) -> Result<(), Refused> {
        let connector = Connector { limit: limit.min(self.connector.limit), ..self.connector.clone() };
        match connector.connect().await {
            // A frozen server is reached by the kernel alone, which knows nothing of TLS.
            Ok(_) | Err(Error::HandshakeTimeout { .. } | Error::GreetingTimeout { .. }) => Ok(()),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn unreachable(&self, error: &Error) -> Refused {
        let failure = match error {
            error if error.is_refused() => Failure::Refused,
            error if error.is_timeout() => Failure::Timeout,
            error if error.is_open_files() => Failure::OpenFiles,
            // A gate that has not heard of us for a while, or of whom we have: it answers, so nobody is dead.
            Error::Unwelcome { source: Unwelcome::Refused(_), .. } => Failure::NotServing,
            _ => Failure::Other,
        };
        Refused::new(failure, error.in_full())
    }

    fn explain(&self, broken: Broken) -> Refused {
        let address = &self.connector.address;
        match broken {
            Broken::Closed(Some(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Refused::new(Failure::Refused, format!("{address} reset a fresh connection"))
            }
            Broken::Closed(_) => {
                Refused::new(Failure::Other, format!("{address} closed the connection without an answer"))
            }
            Broken::Said(refused) => refused,
            Broken::Cut => Refused::new(Failure::Other, format!("{address} closed the connection halfway")),
            Broken::Garbage(error) => {
                Refused::new(Failure::Other, format!("{address} does not speak the Redis protocol: {error}"))
            }
        }
    }
}
