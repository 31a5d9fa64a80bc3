//! `foretoken run`: starts everything, waits for signals, drains.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use foretoken_admin::model::{GateNews, Readiness, StoreStatus, SwitchoverReport, SwitchoverRequest};
use foretoken_admin::{Listeners, MetricsPage, Params as AdminParams, Stores, SwitchoverError};
use foretoken_config::{Config, LogFormat as ConfiguredFormat};
use foretoken_outbound::{DataPlane, Tunables};
use foretoken_registry::{Disk, Registry};
use foretoken_transport::{Listener, ServerTls};
use foretoken_types::{Address, Clock, Epoch, StoreId};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::clock::BootClock;
use crate::control::{self, Command, Live, StoreHandle};
use crate::open_files::Room;
use crate::passes::Passes;
use crate::reload::Changeable;
use crate::telemetry::{self, LogFormat, LogLevel};
use crate::{Error, build, open_files, reload, state_dir, tokens};

/// Samples and answers on their way up; ten samples a second from each endpoint and thread.
const REPORTS_DEPTH: usize = 4096;
/// How long an order to switch over may take before its caller hears that its end is not known.
const SWITCHOVER_MOST: Duration = Duration::from_secs(25);

/// What the command line says beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The configuration file, for reloads.
    pub config_file: Option<PathBuf>,
    /// Callers on loopback may change things without the secret.
    pub admin_open: bool,
    /// Overrides `log.format`.
    pub log_format: Option<LogFormat>,
    /// Overrides `log.level`.
    pub log_filter: Option<String>,
}

/// Runs the sidecar until SIGTERM, SIGINT or `POST /v1/exit`.
///
/// # Errors
/// [`Error`]: it could not start. Once it serves, faults are logged and lived with.
pub fn run(config: Config, options: RunOptions) -> Result<(), Error> {
    let format = options.log_format.unwrap_or(match config.log.format {
        ConfiguredFormat::Text => LogFormat::Text,
        ConfiguredFormat::Json => LogFormat::Json,
    });
    let filter = options.log_filter.clone().unwrap_or_else(|| config.log.level.as_str().to_owned());
    let level = telemetry::start_logs(format, &filter)?;
    let files = open_files::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|source| Error::Os { what: "start the control runtime", source })?;
    let result = runtime.block_on(serve(config, options, level, files));
    // Tasks that still wait for a peer must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// One store while it runs.
pub(crate) struct Running {
    pub(crate) id: StoreId,
    handle: StoreHandle,
    pub(crate) tunables: watch::Sender<Arc<Tunables>>,
    pub(crate) live: watch::Sender<Live>,
    pub(crate) tls: watch::Sender<Option<ServerTls>>,
    /// Tokens for its gates, if there is one.
    passes: Option<Arc<Passes>>,
}

async fn serve(
    config: Config,
    options: RunOptions,
    level: LogLevel,
    files: Option<u64>,
) -> Result<(), Error> {
    let metrics = telemetry::start_metrics()?;
    foretoken_outbound::describe();
    foretoken_health::describe();
    foretoken_mirror::describe();
    crate::metrics::describe();
    build::rehearse(&config)?;
    make_state_dir(&config.state_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(BootClock);
    let registry: Arc<dyn Registry> = Arc::new(Disk::open(&config.state_dir)?);
    let state_dir = state_dir::spawn_watch(Arc::clone(&registry));
    let (stop, stopped) = watch::channel(false);
    let threads = config.data.threads as usize;

    let mut running = Vec::new();
    let mut factories = Vec::new();
    for store in &config.store {
        let (reports, reports_in) = mpsc::channel(REPORTS_DEPTH);
        let (tunables, tunables_in) = watch::channel(Arc::new(build::tunables(store, &store.block, threads)));
        let (live, live_in) = watch::channel(build::live(store, build::judges(store)?));
        let passes = build::passes(store, &*registry, &clock, config.token.key_life)?;
        let params = build::control(store, registry.instance(), threads, &config, live_in, passes.as_ref())?;
        let handle =
            control::spawn(params, Arc::clone(&registry), Arc::clone(&clock), reports_in, stopped.clone());
        if let Some(passes) = &passes {
            passes.follow(handle.posture.clone());
        }
        factories.push(build::data_path(
            store,
            config.region.as_ref(),
            build::Pipes {
                posture: handle.posture.clone(),
                tunables: tunables_in,
                reports,
                asks: handle.asks.clone(),
                lookouts: handle.lookouts.clone(),
            },
            Arc::clone(&clock),
            passes.as_ref(),
        )?);
        let (tls, _) = watch::channel(build::listener_tls(store)?);
        running.push(Running { id: store.name.clone(), handle, tunables, live, tls, passes });
    }
    let tokens = tokens(&config, &running, &registry, &clock).await?;
    let token_upkeep = tokio::spawn(Arc::clone(&tokens).run(stopped.clone()));
    let room = room(&config, files);
    room.tell();
    let plane = Arc::new(DataPlane::start(threads, room.clients, factories)?);
    let mut accepting = Vec::new();
    for (number, (store, run)) in config.store.iter().zip(&running).enumerate() {
        for address in &store.listen {
            let listener = Listener::bind(address, 0o660).await?;
            tracing::info!(store = %store.name, address = %bound(&listener, address), "listening");
            let (plane, tls, stop) = (Arc::clone(&plane), run.tls.subscribe(), stopped.clone());
            accepting.push(tokio::spawn(async move { plane.accept(listener, tls, number, stop).await }));
        }
    }

    let service = Arc::new(Service {
        stores: running
            .iter()
            .map(|run| (run.id.clone(), run.handle.status.clone(), run.handle.commands.clone()))
            .collect(),
        state_dir,
        open_files: room.warning,
        passes: running.iter().filter_map(|run| Some((run.id.clone(), run.passes.clone()?))).collect(),
        draining: AtomicBool::new(false),
        exit: Notify::new(),
        plane: Arc::clone(&plane),
    });
    let (doors, doors_in) = watch::channel(Arc::new(build::doors(&config)?));
    let access = AdminParams { secret: secret(&config)?, open: options.admin_open, doors: doors_in };
    let asked = Some(Arc::clone(&tokens) as Arc<dyn foretoken_admin::Tokens>);
    let admin = admin(&config, access, Arc::clone(&service), asked, metrics, stopped.clone()).await?;

    let drain_max = config.data.drain_max;
    let changeable = Changeable { stores: &running, tokens: &tokens, doors: &doors, level: &level };
    reload::supervise(config, &options, &changeable, &service.exit).await?;
    tracing::info!("draining");
    service.draining.store(true, Ordering::Relaxed);
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    // The control loops go on while sessions end: their last writes need a lease.
    let cut = plane.drain(drain_max).await;
    tracing::info!(cut, "drained");
    stop.send_replace(true);
    for run in running {
        tokio::time::timeout(Duration::from_secs(2), run.handle.task).await.ok();
    }
    tokio::time::timeout(Duration::from_secs(6), admin).await.ok();
    tokio::time::timeout(Duration::from_secs(2), token_upkeep).await.ok();
    // Joining threads blocks, and this is a runtime's thread.
    tokio::task::spawn_blocking(move || drop(plane)).await.ok();
    Ok(())
}

/// Starts the token service.
async fn tokens(
    config: &Config,
    running: &[Running],
    registry: &Arc<dyn Registry>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<tokens::Service>, Error> {
    let stores = config.store.iter().zip(running).map(|(store, run)| {
        crate::metrics::tokens(&store.name);
        Ok(tokens::Watched {
            id: store.name.clone(),
            posture: run.handle.posture.clone(),
            status: run.handle.status.clone(),
            live: run.live.subscribe(),
            lease: store.lease.ttl,
            blocks: build::blocks(store)?,
            heard: AtomicU64::new(0),
        })
    });
    let params = tokens::Params {
        stores: stores.collect::<Result<_, Error>>()?,
        services: build::services(config)?,
        registry: Arc::clone(registry),
        clock: Arc::clone(clock),
        wall: control::record::unix_ms,
        key_life: config.token.key_life,
    };
    let runtime = tokio::runtime::Handle::current();
    // It reads the disk, and its tasks belong to this runtime.
    let start = move || {
        let _in_runtime = runtime.enter();
        tokens::Service::start(params)
    };
    match tokio::task::spawn_blocking(start).await {
        Ok(started) => started,
        Err(error) => {
            Err(Error::Os { what: "start the token service", source: std::io::Error::other(error) })
        }
    }
}

fn bound(listener: &Listener, configured: &Address) -> String {
    listener.local_addr().map_or_else(|| configured.to_string(), |address| address.to_string())
}

/// For how many clients there is room if the process may open `files` files.
fn room(config: &Config, files: Option<u64>) -> Room {
    let endpoints = config.store.iter().map(|store| store.endpoint.len()).sum();
    let reserve = open_files::reserve(endpoints, config.data.threads as usize);
    Room::new(files, reserve, "data.max_connections", config.data.max_connections)
}

fn make_state_dir(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::StateDir { path: path.to_owned(), source })
}

/// The secret of the admin listener over TCP, made where there is none; `None`: nobody gets in there with one.
fn secret(config: &Config) -> Result<Option<foretoken_admin::Secret>, Error> {
    let secret = |key: &str, file: &Path| {
        let key = key.to_owned();
        foretoken_admin::Secret::load_or_create(file).map_err(|source| Error::AdminSecret { key, source })
    };
    Ok(match (&config.admin.bearer_file, &config.admin.listen) {
        (Some(file), _) => Some(secret("admin.bearer_file", file)?),
        (None, Some(Address::Tcp { .. })) => {
            let file = config.state_dir.join("admin.secret");
            let secret = secret("state_dir", &file)?;
            tracing::info!(file = %file.display(), "changes over admin.listen need the bearer secret in this file");
            Some(secret)
        }
        (None, _) => None,
    })
}

/// Opens the admin listener.
async fn admin(
    config: &Config,
    access: AdminParams,
    service: Arc<Service>,
    tokens: Option<Arc<dyn foretoken_admin::Tokens>>,
    metrics: MetricsPage,
    mut stopped: watch::Receiver<bool>,
) -> Result<tokio::task::JoinHandle<()>, Error> {
    let os = |what| move |source| Error::Os { what, source };
    // The same rules as for a store's listener: a dead socket is replaced, a live one is left alone.
    let socket = Address::Unix(config.admin_socket());
    let (unix, file) = Listener::bind(&socket, build::socket_mode(config)).await?.into_unix().unzip();
    let tcp = match &config.admin.listen {
        None => None,
        Some(Address::Tcp { host, port }) => {
            let listener =
                tokio::net::TcpListener::bind((&**host, *port)).await.map_err(os("bind admin.listen"))?;
            tracing::info!(address = %listener.local_addr().map_err(os("bind admin.listen"))?, "admin listening");
            Some(listener)
        }
        Some(Address::Unix(_)) => None,
    };
    let shutdown = async move {
        // An error means that the sender is gone: shutting down as well.
        stopped.wait_for(|stop| *stop).await.ok();
    };
    let listeners = Listeners { unix, tcp, tls: build::admin_tls(config)? };
    Ok(tokio::spawn(async move {
        foretoken_admin::serve(listeners, access, service, tokens, metrics, shutdown).await;
        drop(file);
    }))
}

/// What the admin listener asks.
struct Service {
    stores: Vec<(StoreId, watch::Receiver<Arc<StoreStatus>>, mpsc::Sender<Command>)>,
    /// What is wrong with the state directory.
    state_dir: watch::Receiver<Option<String>>,
    /// What is wrong with the limit of open files.
    open_files: Option<String>,
    passes: Vec<(StoreId, Arc<Passes>)>,
    draining: AtomicBool,
    /// Keeps an order that comes before anybody waits for it.
    exit: Notify,
    plane: Arc<DataPlane>,
}

#[async_trait]
impl Stores for Service {
    fn list(&self) -> Vec<StoreStatus> {
        let clients = self.plane.clients() as u64;
        self.stores
            .iter()
            .map(|(_, status, _)| {
                let mut status = (**status.borrow()).clone();
                status.connections = clients;
                status.warnings.extend(self.state_dir.borrow().clone());
                status.warnings.extend(self.open_files.clone());
                status
            })
            .collect()
    }

    async fn switchover(
        &self,
        store: &StoreId,
        request: SwitchoverRequest,
    ) -> Result<SwitchoverReport, SwitchoverError> {
        let (_, status, commands) = self
            .stores
            .iter()
            .find(|(id, _, _)| id == store)
            .ok_or_else(|| SwitchoverError::UnknownStore(store.clone()))?;
        if let Some(to) = &request.to
            && !status.borrow().endpoints.iter().any(|endpoint| endpoint.name == *to)
        {
            return Err(SwitchoverError::UnknownEndpoint { store: store.clone(), endpoint: to.clone() });
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err(SwitchoverError::Draining);
        }
        let (answer, report) = oneshot::channel();
        commands
            .try_send(Command { request, answer })
            .map_err(|_| SwitchoverError::Busy("other orders wait".to_owned()))?;
        match tokio::time::timeout(SWITCHOVER_MOST, report).await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(_)) => Err(SwitchoverError::Draining),
            Err(_) => {
                Err(SwitchoverError::Failed("its end is not known yet: see `foretoken status`".to_owned()))
            }
        }
    }

    async fn gate_news(&self, store: &StoreId, known: Option<Epoch>, wait: Duration) -> Option<GateNews> {
        let (_, passes) = self.passes.iter().find(|(id, _)| id == store)?;
        Some(passes.news(known, wait).await)
    }

    fn ready(&self) -> Readiness {
        let mut reasons = Vec::new();
        let (mut started, mut ready) = (true, true);
        for (id, status, _) in &self.stores {
            let status = status.borrow();
            started &= !status.endpoints.is_empty();
            if !status.ready {
                ready = false;
                let why = status.reason.clone().unwrap_or_else(|| format!("it is {}", status.state));
                reasons.push(format!("store {id} is not served: {why}"));
            }
        }
        if self.draining.load(Ordering::Relaxed) {
            ready = false;
            reasons.push("the sidecar is draining".to_owned());
        }
        Readiness { started, live: true, ready, reasons }
    }

    fn exit(&self) {
        // At once: whoever asked reads the answer that it is not ready, and no switchover is ordered any more.
        self.draining.store(true, Ordering::Relaxed);
        self.exit.notify_one();
    }
}
