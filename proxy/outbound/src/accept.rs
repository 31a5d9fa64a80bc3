//! Data threads, and the acceptors that hand clients to them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foretoken_protocol::Protocol;
use foretoken_transport::{Accepted, Listener, ServerTls, Stream};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::obey;
use crate::session;
use crate::store::{Store, StoreParams};

/// How often counters are taken.
const EXPORT_EVERY: Duration = Duration::from_millis(100);
/// Clients on their way from the acceptor to a thread.
const HANDOVER_DEPTH: usize = 1024;
/// Between two lines about clients that could not be accepted.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Clients that are being told at a time that there is no room for them: each has a descriptor for as long as that takes.
pub const REFUSALS_MOST: usize = 16;
/// How long one more waits to be told. Then it is closed without a word: whoever does not go on with TLS must not keep others
/// from being accepted.
const REFUSAL_WAIT: Duration = Duration::from_millis(100);
/// A TLS handshake takes no longer.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread could not be started.
    #[error("start data thread {thread}")]
    Thread {
        /// Its number.
        thread: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes one store's part of a data thread; where the protocol's type is forgotten.
pub struct StoreFactory(Box<Factory>);

type Factory = dyn Fn(&ThreadContext) -> Rc<dyn Serve> + Send + Sync;

struct ThreadContext {
    number: usize,
    draining: watch::Receiver<bool>,
}

/// One store on one thread, whatever its protocol.
trait Serve {
    fn serve(self: Rc<Self>, stream: Stream, load: Load);
    fn refuse(self: Rc<Self>, stream: Stream, refusal: OwnedSemaphorePermit);
    fn export(&self);
}

impl StoreFactory {
    /// Serves the store of `params`.
    #[must_use]
    pub fn new<P: Protocol + Clone + Send + Sync>(params: StoreParams<P>) -> Self {
        Self(Box::new(move |context| {
            let store = Store::new(&params, context.draining.clone());
            let reports = params.reports.clone();
            tokio::task::spawn_local(obey::follow(
                Rc::clone(&store),
                params.store.clone(),
                context.number,
                reports.clone(),
            ));
            Rc::new(Serving { store, reports })
        }))
    }
}

struct Serving<P: Protocol> {
    store: Rc<Store<P>>,
    reports: mpsc::Sender<foretoken_types::Report>,
}

impl<P: Protocol> Serve for Serving<P> {
    fn serve(self: Rc<Self>, stream: Stream, load: Load) {
        let store = Rc::clone(&self.store);
        store.sessions.set(store.sessions.get() + 1);
        tokio::task::spawn_local(async move {
            session::serve(Rc::clone(&store), stream).await;
            store.sessions.set(store.sessions.get() - 1);
            drop(load);
        });
    }

    fn refuse(self: Rc<Self>, mut stream: Stream, refusal: OwnedSemaphorePermit) {
        tokio::task::spawn_local(async move {
            let words = self.store.protocol.too_many_clients();
            // A courtesy to a client that is turned away: it may be gone already.
            tokio::time::timeout(Duration::from_secs(1), stream.write_all(&words)).await.ok();
            drop(stream);
            drop(refusal);
        });
    }

    fn export(&self) {
        let store = &self.store;
        store.tally.export(store.sessions.get(), store.held.requests(), store.held.bytes());
        for endpoint in &store.tally.endpoints {
            if let Some(sample) = endpoint.take() {
                // The control plane is behind or gone: a sample is a fold of the past 100 ms, the next one comes soon.
                self.reports.try_send(foretoken_types::Report::Sample(sample)).ok();
            }
        }
    }
}

/// Counts a client as long as it is served.
struct Load {
    thread: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.thread.fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Handover {
    Client { accepted: Accepted, tls: Option<ServerTls>, store: usize, load: Load },
    Refused { accepted: Accepted, tls: Option<ServerTls>, store: usize, refusal: OwnedSemaphorePermit },
}

struct Thread {
    clients: mpsc::Sender<Handover>,
    load: Arc<AtomicUsize>,
    join: Option<JoinHandle<()>>,
}

/// The data threads.
pub struct DataPlane {
    threads: Vec<Thread>,
    all: Arc<AtomicUsize>,
    clients_most: usize,
    refusals: Arc<Semaphore>,
    draining: watch::Sender<bool>,
}

impl DataPlane {
    /// Starts `threads` data threads that serve `stores`, for at most `clients_most` clients in all.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn start(threads: usize, clients_most: usize, stores: Vec<StoreFactory>) -> Result<Self, Error> {
        let stores = Arc::new(stores);
        let (draining, watch_draining) = watch::channel(false);
        let refusals = Arc::new(Semaphore::new(REFUSALS_MOST));
        let mut plane = Self { threads: Vec::new(), all: Arc::default(), clients_most, refusals, draining };
        for number in 0..threads.max(1) {
            let (clients, handover) = mpsc::channel(HANDOVER_DEPTH);
            let context = ThreadContext { number, draining: watch_draining.clone() };
            let stores = Arc::clone(&stores);
            let failed = |source| Error::Thread { thread: number, source };
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let join = std::thread::Builder::new()
                .name(format!("data-{number}"))
                .spawn(move || LocalSet::new().block_on(&runtime, run(context, stores, handover)))
                .map_err(failed)?;
            plane.threads.push(Thread { clients, load: Arc::default(), join: Some(join) });
        }
        Ok(plane)
    }

    /// How many threads there are, each of which answers a hold.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Clients being served.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Accepts clients of store number `store` until `stop` turns true.
    ///
    /// # Cancel safety
    /// Dropping it closes the listener; clients that were handed over are served on.
    pub async fn accept(
        &self,
        listener: Listener,
        mut tls: watch::Receiver<Option<ServerTls>>,
        store: usize,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut told = None;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tell(&mut told, &error);
                    // Without a pause this would spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let tls = tls.borrow_and_update().clone();
            self.hand_over(accepted, tls, store).await;
        }
    }

    async fn hand_over(&self, accepted: Accepted, tls: Option<ServerTls>, store: usize) {
        let Some(thread) = self.threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed))
        else {
            return;
        };
        let handover = if self.all.load(Ordering::Relaxed) >= self.clients_most {
            let refusal = Arc::clone(&self.refusals).acquire_owned();
            let Ok(Ok(refusal)) = tokio::time::timeout(REFUSAL_WAIT, refusal).await else { return };
            Handover::Refused { accepted, tls, store, refusal }
        } else {
            self.all.fetch_add(1, Ordering::Relaxed);
            thread.load.fetch_add(1, Ordering::Relaxed);
            let load = Load { thread: Arc::clone(&thread.load), all: Arc::clone(&self.all) };
            Handover::Client { accepted, tls, store, load }
        };
        if thread.clients.send(handover).await.is_err() {
            tracing::error!("a data thread has ended; its client is dropped");
        }
    }

    /// Lets idle sessions end at once and the others when their batch is done; resolves when all have ended, or after `limit`.
    /// Returns how many were cut.
    ///
    /// # Cancel safety
    /// The drain goes on; it can be awaited again.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.draining.send_replace(true);
        let ended = async {
            while self.clients() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(limit, ended).await {
            Ok(()) => 0,
            Err(_) => self.clients(),
        }
    }
}

impl Drop for DataPlane {
    /// Ends the threads; sessions that are left are cut.
    fn drop(&mut self) {
        self.draining.send_replace(true);
        for thread in &mut self.threads {
            // Closing the channel is the order to end.
            let (closed, _) = mpsc::channel(1);
            thread.clients = closed;
            if let Some(join) = thread.join.take()
                && join.join().is_err()
            {
                tracing::error!("a data thread ended by a panic");
            }
        }
    }
}

async fn run(context: ThreadContext, stores: Arc<Vec<StoreFactory>>, mut handover: mpsc::Receiver<Handover>) {
    let stores: Vec<Rc<dyn Serve>> = stores.iter().map(|factory| (factory.0)(&context)).collect();
    let mut tick = tokio::time::interval(EXPORT_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => stores.iter().for_each(|store| store.export()),
            next = handover.recv() => match next {
                Some(next) => take(&stores, next),
                None => break,
            },
        }
    }
    stores.iter().for_each(|store| store.export());
}

/// Logs why a client could not be accepted, if that was not `told` a moment ago: it is tried several times a second.
fn tell(told: &mut Option<Instant>, error: &foretoken_transport::Error) {
    if told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
        return;
    }
    *told = Some(Instant::now());
    let help = error.is_open_files().then_some("raise LimitNOFILE= of the service, or `ulimit -n`");
    tracing::warn!(error = %error.in_full(), help, "a client could not be accepted");
}

fn take(stores: &[Rc<dyn Serve>], handover: Handover) {
    let (accepted, tls, number, admitted) = match handover {
        Handover::Client { accepted, tls, store, load } => (accepted, tls, store, Ok(load)),
        Handover::Refused { accepted, tls, store, refusal } => (accepted, tls, store, Err(refusal)),
    };
    let Some(store) = stores.get(number).cloned() else { return };
    tokio::task::spawn_local(async move {
        match (accepted.open(tls.as_ref(), HANDSHAKE_LIMIT).await, admitted) {
            (Ok(stream), Ok(load)) => store.serve(stream, load),
            (Ok(stream), Err(refusal)) => store.refuse(stream, refusal),
            (Err(error), _) => tracing::debug!(error = %error, "a client could not be set up"),
        }
    });
}
