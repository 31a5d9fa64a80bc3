//! One connection: its token, then bytes both ways, each piece checked against the sidecar's word.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::ready;
use std::time::Duration;

use foretoken_protocol_redis::gate::{self as words, FIRST_FRAME_MAX, First};
use foretoken_token::Fingerprint;
use foretoken_transport::{Accepted, Connector, ServerTls, Stream};
use foretoken_types::{BootInstant, Clock, Epoch};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::judge::Judge;
use super::word::{Ended, Word};
use crate::metrics::GateMetrics;
use crate::passes;

/// One read, and all that is under way in one direction of a connection, beside the kernel's own buffers.
const PIECE: usize = 32 * 1024;
/// How long a token of an epoch or a key that was not heard of yet waits for the sidecar's next word, which is on its way.
const AHEAD: Duration = Duration::from_secs(1);
/// One refusal a second is a line for the operator; the counter has them all. A crowd at the door must not fill the disk.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long somebody who was refused may take to read why.
const LINGER: Duration = Duration::from_millis(200);

/// What every connection needs to know.
pub(super) struct Door {
    pub(super) judge: Judge,
    pub(super) word: watch::Receiver<Arc<Word>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) server: Connector,
    pub(super) tls: Option<ServerTls>,
    pub(super) present: Duration,
    pub(super) metrics: GateMetrics,
    /// When a refusal was last told, in nanoseconds of the clock.
    pub(super) told: AtomicU64,
}

/// Why a connection is not let in, as label and as words.
struct Turned {
    reason: &'static str,
    words: Vec<u8>,
}

impl Door {
    /// Serves one connection to its end.
    pub(super) async fn serve(&self, accepted: Accepted) {
        let peer = accepted.peer();
        let deadline = Instant::now() + self.present;
        let mut stream = match accepted.open(self.tls.as_ref(), self.present).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(error = %error, "connection not opened");
                self.metrics.refused("no_token");
                return;
            }
        };
        let _open = self.metrics.open();
        let (epoch, rest) = match self.admit(&mut stream, deadline).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(turned)) => {
                self.metrics.refused(turned.reason);
                let said = String::from_utf8_lossy(&turned.words);
                if self.tells() {
                    tracing::warn!(%peer, reason = turned.reason, said = said.trim_end(), "refused");
                }
                linger(stream, &turned.words).await;
                return;
            }
            // It went away before it had said anything.
            Err(_) => return,
        };
        let server = match self.server.connect().await {
            Ok(server) => server,
            Err(error) => {
                let said = if error.is_refused() {
                    words::NOBODY_BEHIND.to_vec()
                } else {
                    words::closed(&error.to_string())
                };
                tracing::debug!(error = %error, "the server is not reached");
                linger(stream, &said).await;
                return;
            }
        };
        self.metrics.admitted();
        match self.pass(stream, server, epoch, rest).await {
            Err(ended) => {
                self.metrics.cut(ended);
                tracing::info!(%peer, epoch = %epoch, why = ended.as_str(), "cut");
            }
            Ok(Err(error)) => tracing::debug!(%peer, error = %error, "connection ended"),
            Ok(Ok(())) => {}
        }
    }

    /// Whether it is time to tell a refusal.
    fn tells(&self) -> bool {
        let now = self.clock.now();
        let told = self.told.load(Ordering::Relaxed);
        let due = told == 0 || now.since(BootInstant::from_nanos(told)) >= TELL_EVERY;
        // Of several at once one tells.
        due && self.told.compare_exchange(told, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads the token and judges it. Gives the epoch, and what came behind the token.
    async fn admit(
        &self,
        stream: &mut Stream,
        deadline: Instant,
    ) -> io::Result<Result<(Epoch, Vec<u8>), Turned>> {
        let turned = |reason, words| Ok(Err(Turned { reason, words }));
        let mut bytes = Vec::with_capacity(512);
        let (token, frame) = loop {
            match words::first(&bytes) {
                First::Token { token, frame } => break (token, frame),
                First::Incomplete => {}
                First::Strange => {
                    let why =
                        "send AUTH ft-token <token> first; a sidecar does so by itself, so connect to one";
                    return turned("no_token", words::no_token(why));
                }
                First::TooLong => {
                    let why = format!("no token has {FIRST_FRAME_MAX} bytes");
                    return turned("too_long", words::refused(&why));
                }
            }
            match timeout_at(deadline, stream.read_buf(&mut bytes)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let why = format!("no token was presented within {:?}", self.present);
                    return turned("late", words::no_token(&why));
                }
            }
        };
        let holder = match stream.peer_certificate() {
            Some(certificate) => Some(Fingerprint::of(certificate)),
            None => stream.addresses().map(|(ours, theirs)| passes::connection(theirs, ours)),
        };
        let patience = deadline.min(Instant::now() + AHEAD);
        let mut heard = self.word.clone();
        loop {
            let word = Arc::clone(&heard.borrow_and_update());
            if !word.counts(self.clock.now()) {
                let why = "nothing was heard of the sidecar for too long, so nobody is let in; see that it runs, and \
                           that this gate reaches its admin listener";
                return turned("silence", words::closed(why));
            }
            match self.judge.admit(&bytes[token.clone()], holder, &word, passes::wall()) {
                Ok(epoch) => return Ok(Ok((epoch, bytes.split_off(frame)))),
                Err(refused) => {
                    let waits = refused.may_change()
                        && matches!(timeout_at(patience, heard.changed()).await, Ok(Ok(())));
                    if !waits {
                        return turned(refused.as_str(), words::refused(&refused.to_string()));
                    }
                }
            }
        }
    }

    /// Lets bytes pass until one side closes, or the word ends.
    async fn pass(
        &self,
        stream: Stream,
        server: Stream,
        epoch: Epoch,
        rest: Vec<u8>,
    ) -> Result<io::Result<()>, Ended> {
        let may = || self.word.borrow().lets(epoch, self.clock.now());
        let (mut from_client, mut to_client) = split(stream);
        let (mut from_server, mut to_server) = split(server);
        let up = async {
            if !rest.is_empty() {
                forward(&rest, &mut to_server, may).await?;
            }
            pump(&mut from_client, &mut to_server, may).await
        };
        let down = async {
            forward(words::WELCOME, &mut to_client, may).await?;
            pump(&mut from_server, &mut to_client, may).await
        };
        let ended = tokio::select! {
            biased;
            ended = self.ended(epoch) => return Err(ended),
            ended = down => ended,
            ended = up => ended,
        };
        match ended {
            Ok(()) => Ok(Ok(())),
            Err(Stopped::Ended(ended)) => Err(ended),
            Err(Stopped::Io(error)) => Ok(Err(error)),
        }
    }

    /// Resolves when nothing of `epoch` may pass any more, though no byte moves.
    async fn ended(&self, epoch: Epoch) -> Ended {
        let mut heard = self.word.clone();
        loop {
            let now = self.clock.now();
            let left = {
                let word = heard.borrow_and_update();
                if let Err(ended) = word.lets(epoch, now) {
                    return ended;
                }
                now.until(word.until)
            };
            // Late by a millisecond at most, in which no byte passes: each piece asks by itself.
            if let Ok(Err(_)) = timeout(left + Duration::from_millis(1), heard.changed()).await {
                return Ended::Silence;
            }
        }
    }
}

/// Why bytes do not flow any more.
enum Stopped {
    Ended(Ended),
    Io(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// From one side to the other until the end: nothing more is read until what was read is written.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    may: impl Fn() -> Result<(), Ended>,
) -> Result<(), Stopped> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        forward(&piece[..read], to, &may).await?;
    }
}

/// Writes all of `bytes`, and asks before each write: the peer may take its time, and the word may end meanwhile.
async fn forward(
    mut bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    may: impl Fn() -> Result<(), Ended>,
) -> Result<(), Stopped> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| {
            may().map_err(Stopped::Ended)?;
            let written = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
            std::task::Poll::Ready(Ok::<_, Stopped>(written))
        })
        .await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        bytes = &bytes[written..];
    }
    Ok(to.flush().await?)
}

/// Says why, and reads on for a moment: a socket that is closed with bytes unread takes the words with it.
async fn linger(mut stream: Stream, said: &[u8]) {
    let farewell = async {
        stream.write_all(said).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it is heard is the other side's affair.
    timeout(LINGER, farewell).await.ok();
}
