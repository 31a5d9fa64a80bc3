//! Hears the sidecar: one question after another, each of which is answered when the epoch moves, or after a third of the
//! time for which an answer counts.
//!
//! A stream of heartbeats would not do: what was sent before the gate stood still would lie in the kernel's buffer and be
//! taken for fresh afterwards. A question knows when it was asked.

use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::model::GateNews;
use foretoken_token::PublicKeys;
use foretoken_transport::{Connector, Stream};
use foretoken_types::{Address, BootInstant, Clock, StoreId};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::word::Word;
use crate::metrics::GateMetrics;

/// How long it may take to reach the sidecar, TLS included.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Between two tries, and between two answers that came at once.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest answer that is read; one with eight keys has 2 KiB.
const ANSWER_MAX: usize = 64 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Follows one sidecar.
pub(super) struct Follower {
    pub(super) store: StoreId,
    pub(super) api: Connector,
    pub(super) ttl: Duration,
    pub(super) guard: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) word: watch::Sender<Arc<Word>>,
    pub(super) metrics: GateMetrics,
}

impl Follower {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let mut told = false;
        loop {
            let Err(error) = self.converse(&mut told).await;
            // A sidecar closes old connections now and then: that is news only when the word runs out meanwhile.
            if !told && !self.word.borrow().counts(self.clock.now()) {
                tracing::warn!(sidecar = %self.api.address, error = %story(&*error), "the sidecar is not heard");
                told = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks over one connection for as long as that goes well.
    async fn converse(&self, told: &mut bool) -> Result<std::convert::Infallible, Failure> {
        let mut heard = false;
        let stream = self.api.connect().await?;
        let (mut sender, connection) =
            http1::handshake::<_, Empty<Bytes>>(TokioIo::<Stream>::new(stream)).await?;
        let asking = async {
            loop {
                let asked = self.clock.now();
                let news = self.ask(&mut sender, heard).await?;
                let moved = self.take(&news, asked)?;
                if std::mem::take(told) {
                    tracing::info!(sidecar = %self.api.address, epoch = %news.epoch, "the sidecar is heard");
                }
                let first = !std::mem::replace(&mut heard, true);
                if !first && !moved && self.clock.now().since(asked) < PAUSE {
                    // It answers at once with what is known: it is ending. Don't hurry it.
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            biased;
            ended = asking => ended,
            ended = connection => Err(ended.err().map_or_else(|| "it hung up".into(), Failure::from)),
        }
    }

    async fn ask(&self, sender: &mut SendRequest<Empty<Bytes>>, heard: bool) -> Result<GateNews, Failure> {
        let wait = self.ttl / 3;
        let mut path = format!("/v1/gates/{}", self.store);
        if heard {
            path = format!("{path}?epoch={}&wait={}", self.word.borrow().epoch, wait.as_millis());
        }
        let host = match &self.api.address {
            Address::Unix(_) => "localhost".to_owned(),
            tcp => tcp.to_string(),
        };
        let request = Request::get(path).header(header::HOST, host).body(Empty::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await?.to_bytes();
            if status != StatusCode::OK {
                return Err(format!("it answers {status}: {}", String::from_utf8_lossy(&body)).into());
            }
            Ok(serde_json::from_slice::<GateNews>(&body)?)
        };
        // What comes later counts no more.
        tokio::time::timeout(self.ttl, answer).await.map_err(|_| "it does not answer")?
    }

    /// Makes it the word that counts. Says whether the epoch is a new one.
    fn take(&self, news: &GateNews, asked: BootInstant) -> Result<bool, Failure> {
        if news.store != self.store {
            return Err(format!("it speaks of store {}, and {} was asked for", news.store, self.store).into());
        }
        let before = self.word.borrow().epoch;
        if news.epoch < before {
            return Err(format!("it is in epoch {}, and epoch {before} has begun", news.epoch).into());
        }
        let ttl = self.ttl.min(Duration::from_millis(news.ttl_ms)).saturating_sub(self.guard);
        let until = asked + ttl;
        let keys = PublicKeys::from_published(&news.keys)?;
        let moved = news.epoch > before;
        if moved {
            tracing::info!(store = %self.store, epoch = %news.epoch, primary = ?news.primary, "epoch moved");
        }
        self.metrics.heard(news.epoch);
        let word = Word { epoch: news.epoch, primary: news.primary.clone(), keys, until };
        self.word.send_replace(Arc::new(word));
        Ok(moved)
    }
}

/// An error with its causes.
fn story(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
