//! `foretoken gate`: stands in front of one server of a store, and lets nobody in without a token of the current epoch.
//!
//! It is the fence F2 of PROTOCOL 6: sidecars attach tokens by themselves, so a client that bypasses them, a sidecar of
//! another day and one that has lost its epoch are refused at the server's door. The gate has a right of its own, the word of
//! the sidecar (`word.rs`), which ends by the gate's own clock; the connections have tokens, which are looked at once
//! (`judge.rs`); and each piece that passes is checked against the word, not against the token (`connection.rs`).

mod connection;
mod follow;
mod judge;
mod word;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use foretoken_admin::model::{GateNews, Readiness, StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_admin::{Listeners, MetricsPage, Stores, SwitchoverError};
use foretoken_config::{EndpointTls, Gate, LogFormat as ConfiguredFormat};
use foretoken_transport::{Accepted, ClientTls, Clients, Connector, Identity, Listener, ServerTls};
use foretoken_types::{Address, Clock, Epoch, StoreId};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::BootClock;
use crate::metrics::GateMetrics;
use crate::open_files::Room;
use crate::telemetry::{self, LogFormat};
use crate::{Error, metrics, open_files};
use connection::Door;
use judge::Judge;
pub(crate) use judge::REASONS;
pub(crate) use word::Ended;
use word::Word;

/// How long the admin listener may take to end.
const ADMIN_END: Duration = Duration::from_secs(6);

/// What the command line says beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct GateOptions {
    /// Overrides `log.format`.
    pub log_format: Option<LogFormat>,
    /// Overrides `log.level`.
    pub log_filter: Option<String>,
}

/// Runs a gate until SIGTERM or SIGINT. Then what is open is cut: a gate holds nothing that could be drained.
///
/// # Errors
/// [`Error`]: it could not start. Once it serves, faults are logged and lived with.
pub fn gate(config: Gate, options: &GateOptions) -> Result<(), Error> {
    let format = options.log_format.unwrap_or(match config.log.format {
        ConfiguredFormat::Text => LogFormat::Text,
        ConfiguredFormat::Json => LogFormat::Json,
    });
    let filter = options.log_filter.clone().unwrap_or_else(|| config.log.level.as_str().to_owned());
    telemetry::start_logs(format, &filter)?;
    let files = open_files::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("gate")
        .enable_all()
        .build()
        .map_err(|source| Error::Os { what: "start the runtime", source })?;
    let result = runtime.block_on(serve(config, files));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn client_tls(wanted: bool, tls: Option<&EndpointTls>) -> Result<Option<ClientTls>, Error> {
    if !wanted {
        return Ok(None);
    }
    let identity = tls.and_then(|tls| {
        Some(Identity { cert_file: tls.cert_file.as_deref()?, key_file: tls.key_file.as_deref()? })
    });
    let ca_file = tls.and_then(|tls| tls.ca_file.as_deref());
    Ok(Some(ClientTls::load(ca_file, identity, tls.and_then(|tls| tls.server_name.clone()))?))
}

async fn serve(config: Gate, files: Option<u64>) -> Result<(), Error> {
    let page = telemetry::start_metrics()?;
    metrics::describe_gate();
    let limits = &config.limits;
    let tls = match &config.tls {
        None => None,
        Some(tls) => {
            let identity = Identity { cert_file: &tls.cert_file, key_file: &tls.key_file };
            Some(ServerTls::load_for(identity, Clients::Known(&tls.client_ca_file))?)
        }
    };
    let server = Connector {
        tls: client_tls(config.url.tls, config.server_tls.as_ref())?,
        ..Connector::plain(config.url.address.clone(), limits.connect_timeout)
    };
    let api = Connector {
        tls: client_tls(config.sidecar.tls.is_some(), config.sidecar.tls.as_ref())?,
        ..Connector::plain(config.sidecar.api.clone(), follow::CONNECT_MAX)
    };
    let clock: Arc<dyn Clock> = Arc::new(BootClock);
    let metrics = GateMetrics::new(&config.store, &config.endpoint);
    let (word, heard) = watch::channel(Arc::new(Word::none()));
    let follower = follow::Follower {
        store: config.store.clone(),
        api,
        ttl: limits.ttl,
        guard: limits.guard,
        clock: Arc::clone(&clock),
        word,
        metrics: metrics.clone(),
    };
    let listener = Listener::bind(&config.listen, 0o600).await?;
    let address = listener.local_addr().map_or_else(|| config.listen.to_string(), |at| at.to_string());
    tracing::info!(store = %config.store, endpoint = %config.endpoint, %address, server = %config.url, "gate listening");
    let door = Arc::new(Door {
        judge: Judge::new(config.store.clone(), config.endpoint.clone()),
        word: heard.clone(),
        clock: Arc::clone(&clock),
        server,
        tls,
        present: limits.present,
        metrics: metrics.clone(),
        told: AtomicU64::new(0),
    });

    let room = Room::new(files, open_files::reserve(0, 0), "limits.connections", limits.connections);
    room.tell();
    let (stop, stopped) = watch::channel(false);
    let service =
        Arc::new(Service { word: heard, clock, ending: AtomicBool::new(false), exit: Notify::new() });
    let admin = admin(&config, Arc::clone(&service), page, stopped).await?;
    let follower = tokio::spawn(follower.run());

    let catch = |kind| signal(kind).map_err(|source| Error::Os { what: "catch signals", source });
    let (mut term, mut interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    tokio::select! {
        () = accept(listener, door, room.clients) => {}
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        () = service.exit.notified() => {}
    }
    tracing::info!("ending");
    service.ending.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    follower.abort();
    if let Some(admin) = admin {
        tokio::time::timeout(ADMIN_END, admin).await.ok();
    }
    Ok(())
}

/// Accepts for ever. Dropping it cuts every connection.
async fn accept(listener: Listener, door: Arc<Door>, most: usize) {
    let permits = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&permits).try_acquire_owned()) {
            (Ok(accepted), Ok(permit)) => {
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    door.serve(accepted).await;
                    drop(permit);
                });
            }
            (Ok(accepted), Err(_)) => turn_away(&door, accepted),
            (Err(error), _) => tracing::debug!(error = %error.in_full(), "connection not accepted"),
        }
    }
}

/// One too many: told so in the clear, where that can be understood.
fn turn_away(door: &Door, accepted: Accepted) {
    use std::io::Write as _;
    door.metrics.refused("full");
    if let (Accepted::Tcp(mut socket), None) = (accepted, &door.tls) {
        // The socket does not block; a fresh one takes a line.
        socket.write_all(b"-ERR max number of clients reached\r\n").ok();
    }
}

/// Health and metrics, where they are asked for.
async fn admin(
    config: &Gate,
    service: Arc<Service>,
    metrics: MetricsPage,
    mut stopped: watch::Receiver<bool>,
) -> Result<Option<tokio::task::JoinHandle<()>>, Error> {
    let Some(Address::Tcp { host, port }) = &config.admin else { return Ok(None) };
    let os = |source| Error::Os { what: "bind admin", source };
    let tcp = tokio::net::TcpListener::bind((&**host, *port)).await.map_err(os)?;
    tracing::info!(address = %tcp.local_addr().map_err(os)?, "admin listening");
    let listeners = Listeners { tcp: Some(tcp), ..Listeners::default() };
    let shutdown = async move {
        // An error means that the sender is gone: ending as well.
        stopped.wait_for(|stop| *stop).await.ok();
    };
    let params = foretoken_admin::Params::default();
    Ok(Some(tokio::spawn(foretoken_admin::serve(listeners, params, service, None, metrics, shutdown))))
}

/// What the gate's own admin listener asks: it has no store of its own, and is ready while it has the sidecar's word.
struct Service {
    word: watch::Receiver<Arc<Word>>,
    clock: Arc<dyn Clock>,
    ending: AtomicBool,
    exit: Notify,
}

#[async_trait]
impl Stores for Service {
    fn list(&self) -> Vec<StoreStatus> {
        Vec::new()
    }

    async fn switchover(
        &self,
        store: &StoreId,
        _: SwitchoverRequest,
    ) -> Result<SwitchoverReport, SwitchoverError> {
        Err(SwitchoverError::NotInCharge {
            store: store.clone(),
            why: "this is a gate: ask the sidecar".to_owned(),
        })
    }

    async fn gate_news(&self, _: &StoreId, _: Option<Epoch>, _: Duration) -> Option<GateNews> {
        None
    }

    fn ready(&self) -> Readiness {
        let ending = self.ending.load(Ordering::Relaxed);
        let heard = self.word.borrow().counts(self.clock.now());
        let mut reasons = Vec::new();
        if !heard {
            reasons.push("nothing was heard of the sidecar for too long: nobody is let in".to_owned());
        }
        if ending {
            reasons.push("the gate is ending".to_owned());
        }
        Readiness { started: true, live: true, ready: heard && !ending, reasons }
    }

    fn exit(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.exit.notify_one();
    }
}
