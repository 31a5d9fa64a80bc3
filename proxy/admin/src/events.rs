//! `GET /v1/events`: server-sent events (HTML standard, section 9.2), for whoever follows epochs, keys and risks.
//!
//! At first everything, then what has changed, and a heartbeat all along. A reader that is too slow for that is cut: it
//! would go by an epoch of the past. One that only missed steps in between gets the newest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::model::{Beat, Heartbeat, KeySet, Problem, StoreEvent};
use crate::problem::Kind;
use crate::tokens::Tokens;

/// Streams at a time, of both listeners: half of the connections of one, so that there is always room for questions.
pub(crate) const STREAMS_MAX: usize = 32;
/// How often a heartbeat is sent: below a third of the shortest right to write by default (TTL_w / 3 = 667 ms).
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);
/// Events that wait for one reader, and for how long they may: then its connection is cut.
const WAITING_MAX: usize = 16;
pub(crate) const SLOW_MAX: Duration = Duration::from_secs(2);
/// A stream ends after this, between two events, and its reader connects again.
const STREAM_AGE_MAX: Duration = Duration::from_secs(240);

/// The streams of one server.
#[derive(Debug)]
pub(crate) struct Streams {
    permits: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

/// Cuts the connection that a request came over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(pub(crate) Arc<Notify>);

impl Streams {
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Self {
        Self { permits: Arc::new(Semaphore::new(STREAMS_MAX)), stopped }
    }

    /// Begins a stream about `store`, or about all of them.
    pub(crate) fn open(
        &self,
        tokens: Arc<dyn Tokens>,
        store: Option<String>,
        cut: Cut,
    ) -> Result<Response, Problem> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            Kind::Crowded.because(format!("{STREAMS_MAX} streams are open, which is as many as are allowed"))
        })?;
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let (news, stopped) = (tokens.watch(), self.stopped.clone());
        // Ends with its reader, at the age limit, or when the server stops; the permit goes with it.
        tokio::spawn(async move {
            let feed = Feed { tokens, store, events, told: None };
            if !feed.run(news, stopped, permit).await {
                tracing::info!("a reader of /v1/events is too slow and was cut");
                cut.0.notify_one();
            }
        });
        let body = stream::unfold(waiting, |mut waiting| async move {
            let event = waiting.recv().await?;
            Some((Ok::<Bytes, std::convert::Infallible>(event), waiting))
        });
        let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        Ok((headers, Body::from_stream(body)).into_response())
    }
}

/// One reader's stream.
struct Feed {
    tokens: Arc<dyn Tokens>,
    store: Option<String>,
    events: mpsc::Sender<Bytes>,
    /// What the reader knows.
    told: Option<KeySet>,
}

impl Feed {
    /// Whether it ended in peace.
    async fn run(
        mut self,
        mut news: watch::Receiver<u64>,
        mut stopped: watch::Receiver<bool>,
        _permit: OwnedSemaphorePermit,
    ) -> bool {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let age = tokio::time::sleep(STREAM_AGE_MAX);
        tokio::pin!(age);
        loop {
            news.borrow_and_update();
            if let Some(peace) = self.tell().await {
                return peace;
            }
            let is_due = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return true,
                () = self.events.closed() => return true,
                () = &mut age => return true,
                changed = news.changed() => {
                    if changed.is_err() {
                        return true;
                    }
                    false
                }
                _ = beat.tick() => true,
            };
            if is_due && let Some(peace) = self.beat().await {
                return peace;
            }
        }
    }

    /// Sends what the reader does not know yet.
    async fn tell(&mut self) -> Option<bool> {
        let mut now = self.tokens.keys();
        if let Some(store) = &self.store {
            now.stores.retain(|event| event.store == *store);
        }
        let before = self.told.replace(now.clone());
        let known = before.as_ref();
        if known.is_none_or(|before| before.keys != now.keys)
            && let Some(end) = self.send("keys", &now.keys).await
        {
            return Some(end);
        }
        if known.is_none_or(|before| before.revoked != now.revoked)
            && let Some(end) = self.send("revoked", &now.revoked).await
        {
            return Some(end);
        }
        for event in &now.stores {
            let same = |before: &KeySet| before.stores.iter().any(|known| known == event);
            if !known.is_some_and(same)
                && let Some(end) = self.send("store", event).await
            {
                return Some(end);
            }
        }
        None
    }

    async fn beat(&self) -> Option<bool> {
        let beat = |event: StoreEvent| Beat { store: event.store, epoch: event.epoch, leads: event.leads };
        let stores = self.tokens.keys().stores.into_iter();
        let stores = stores.filter(|event| self.store.as_ref().is_none_or(|store| event.store == *store));
        let heartbeat = Heartbeat { at: self.tokens.unix_ms(), stores: stores.map(beat).collect() };
        self.send("heartbeat", &heartbeat).await
    }

    /// `None`: it goes on. Otherwise whether it ended in peace.
    async fn send(&self, name: &str, data: &impl Serialize) -> Option<bool> {
        // JSON has no line breaks in it, so that one line of data is enough.
        let data = serde_json::to_string(data).unwrap_or_default();
        let event = Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
        match tokio::time::timeout(SLOW_MAX, self.events.send(event)).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(true),
            Err(_) => Some(false),
        }
    }
}
