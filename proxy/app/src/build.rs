//! Configuration to listeners, stacks and tasks.

use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::{Doors, ServiceDoor};
use foretoken_config::{
    CertificateHash, Config, DataBlock, EndpointRole, HeldWrites, Manage, Reads, Recording, Right,
    RiskJudges, RiskPolicy, Store,
};
use foretoken_failover::Settings;
use foretoken_health::DetectParams;
use foretoken_outbound::{
    Ask, EndpointParams, Lookout, Policies, Policy, ReadFrom, StoreFactory, StoreParams, Tunables,
};
use foretoken_predict::{Model, Thresholds};
use foretoken_protocol::{Blocks, Dial};
use foretoken_registry::Registry;
use foretoken_token::{Access, Block, Fingerprint, Grant};
use foretoken_transport::{ClientTls, Clients, Connector, Identity, ServerTls};
use foretoken_types::{Address, Clock, Epoch, InstanceId, Posture, Region, Report};
use tokio::sync::{mpsc, watch};

use crate::Error;
use crate::control::{self, Chosen, EndpointSpec, ForesightParams, HostSource, Judges};
use crate::passes::{Passes, Purpose};
use crate::protocols::{self, ControlLogin};
use crate::tokens::Services;

/// The order in which the machine sees endpoints: the configured primary first.
fn ordered(store: &Store) -> Vec<&foretoken_config::Endpoint> {
    let mut endpoints: Vec<_> = store.endpoint.iter().collect();
    endpoints.sort_by_key(|endpoint| endpoint.role != EndpointRole::Primary);
    endpoints
}

fn dials(store: &Store) -> Vec<Dial> {
    let dial = |endpoint: &foretoken_config::Endpoint| {
        let (host, port) = endpoint.advertised()?;
        Some(Dial { endpoint: endpoint.name.clone(), host: host.to_owned(), port })
    };
    ordered(store).into_iter().filter_map(dial).collect()
}

/// Passes of a store, if one of its endpoints is behind a gate.
pub(crate) fn passes(
    store: &Store,
    registry: &dyn Registry,
    clock: &Arc<dyn Clock>,
    key_life: Duration,
) -> Result<Option<Arc<Passes>>, Error> {
    if !store.endpoint.iter().any(|endpoint| endpoint.gate) {
        return Ok(None);
    }
    let recorded = registry.load(&store.name)?.map_or(Epoch::default(), |(record, _)| record.epoch);
    let passes = Passes::new(store.name.clone(), recorded, store.lease.ttl, key_life, Arc::clone(clock));
    passes.prepare()?;
    Ok(Some(passes))
}

/// The certificate that we show to an endpoint, if there is one.
fn identity(endpoint: &foretoken_config::Endpoint) -> Option<Identity<'_>> {
    let tls = endpoint.tls.as_ref()?;
    Some(Identity { cert_file: tls.cert_file.as_deref()?, key_file: tls.key_file.as_deref()? })
}

fn connector(
    endpoint: &foretoken_config::Endpoint,
    limit: Duration,
    passes: Option<&Arc<Passes>>,
    purpose: Purpose,
) -> Result<Connector, Error> {
    let mut connector = connector_to(endpoint, limit)?;
    if let (Some(passes), true) = (passes, endpoint.gate) {
        let tls = connector.tls.clone();
        let certificate = move || Some(Fingerprint::of(&tls.as_ref()?.certificate()?));
        let pass = passes.to(endpoint.name.clone(), Box::new(certificate), purpose);
        connector.greeting = Some(protocols::attach(pass));
    }
    Ok(connector)
}

fn connector_to(endpoint: &foretoken_config::Endpoint, limit: Duration) -> Result<Connector, Error> {
    let address = endpoint.url.address.clone();
    if !endpoint.url.tls {
        return Ok(Connector::plain(address, limit));
    }
    let tls = endpoint.tls.as_ref();
    let identity = identity(endpoint);
    let ca_file = tls.and_then(|tls| tls.ca_file.as_deref());
    let server_name = tls.and_then(|tls| tls.server_name.clone());
    let tls = ClientTls::load(ca_file, identity, server_name)?;
    Ok(Connector { address, limit, tls: Some(tls), greeting: None })
}

/// The certificate of a store's listener, if it has one.
pub(crate) fn listener_tls(store: &Store) -> Result<Option<ServerTls>, Error> {
    let Some(tls) = &store.tls else { return Ok(None) };
    Ok(Some(ServerTls::load(&tls.cert_file, &tls.key_file, tls.client_ca_file.as_deref())?))
}

/// The certificate of the admin listener, if it has one.
pub(crate) fn admin_tls(config: &Config) -> Result<Option<ServerTls>, Error> {
    let Some(tls) = &config.admin.tls else { return Ok(None) };
    let identity = Identity { cert_file: &tls.cert_file, key_file: &tls.key_file };
    let clients = tls.client_ca_file.as_deref().map_or(Clients::Anonymous, Clients::Invited);
    Ok(Some(ServerTls::load_for(identity, clients)?))
}

/// How services and operators are recognised.
pub(crate) fn doors(config: &Config) -> Result<Doors, Error> {
    // The configuration has checked that it is 64 digits.
    let certificate = |hash: &CertificateHash| hash.as_str().parse::<Fingerprint>().ok();
    let door = |service: &foretoken_config::Service| {
        let secret = service.secret_file.as_deref().map(foretoken_admin::Secret::load).transpose();
        let secret = secret.map_err(|source| Error::AdminSecret {
            key: format!("service.{}.secret_file", service.name),
            source,
        })?;
        Ok(ServiceDoor {
            name: service.name.to_string(),
            secret,
            certificate: service.certificate_sha256.as_ref().and_then(certificate),
            uid: service.uid,
        })
    };
    let services = config.service.iter().map(door).collect::<Result<_, Error>>()?;
    let operators = config.admin.tls.as_ref().and_then(|tls| tls.operator_sha256.as_deref());
    Ok(Doors { services, operators: operators.unwrap_or_default().iter().filter_map(certificate).collect() })
}

/// Who may connect to the admin socket. Services that are known by their user must get in; whoever else does is turned
/// away by who he is.
pub(crate) fn socket_mode(config: &Config) -> u32 {
    if config.service.iter().any(|service| service.uid.is_some()) { 0o666 } else { 0o600 }
}

/// The named blocks of a store.
pub(crate) fn blocks(store: &Store) -> Result<Vec<(String, Block)>, Error> {
    let block = |block: &foretoken_config::DataBlock| {
        let prefix = block.prefix.as_str().parse::<Block>();
        // Both sides know the same prefixes: a test holds them together.
        prefix.map(|prefix| (block.name.to_string(), prefix)).map_err(|_| Error::Block(block.name.clone()))
    };
    store.block.iter().map(block).collect()
}

/// What services may have.
pub(crate) fn services(config: &Config) -> Result<Services, Error> {
    let right = |right: &Right| match right {
        Right::Read => Access::READ,
        Right::Write => Access::WRITE,
        Right::Admin => Access::ADMIN,
        Right::Queue => Access::QUEUE,
    };
    let mut services = Vec::new();
    for service in &config.service {
        let mut grants = Vec::new();
        for grant in &service.grant {
            let store = config.store.iter().find(|store| store.name == grant.store);
            let blocks = store.map(blocks).transpose()?.unwrap_or_default();
            let block = match grant.block.as_str() {
                "*" => Some(Block::ALL),
                name => blocks.into_iter().find(|(known, _)| known == name).map(|(_, block)| block),
            };
            // The configuration has checked that there is one; without it nothing is given.
            let Some(block) = block else { continue };
            let access = grant.access.iter().map(right).fold(Access::NONE, |all, right| all | right);
            grants.push(Grant { store: grant.store.clone(), block, access });
        }
        services.push((service.name.to_string(), grants));
    }
    Ok(Services(services))
}

// A sidecar that takes more blocks than a set of them holds could not tell them apart.
const _: () = assert!(DataBlock::MOST <= Blocks::NAMED_MOST);

/// What each block of a store lets happen, for `blocks`: those that the data path was started with.
fn policies(store: &Store, blocks: &[DataBlock]) -> Policies {
    let policy = |reads, own_writes, lag, writes| Policy {
        read_from: match reads {
            Reads::Primary | Reads::MirrorWhenHeld => ReadFrom::Primary,
            Reads::Mirror => ReadFrom::Mirror,
            Reads::Nearest => ReadFrom::Nearest,
        },
        own_writes,
        stale_reads: (reads != Reads::Primary).then_some(lag),
        queue_writes: writes == HeldWrites::Queue,
    };
    let named = blocks.iter().map(|started| {
        // One that a reload took away is there until the restart, as it was.
        let block = store.block.iter().find(|block| block.name == started.name).unwrap_or(started);
        policy(
            block.reads.unwrap_or(store.reads),
            block.read_your_writes.unwrap_or(store.read_your_writes),
            block.read_lag_max.unwrap_or(store.read_lag_max),
            block.writes_when_held.unwrap_or(store.writes_when_held),
        )
    });
    let rest = policy(store.reads, store.read_your_writes, store.read_lag_max, store.writes_when_held);
    Policies { rest, named: named.collect() }
}

/// Greatest lags that mirrors are held to, the least first.
fn read_lags(store: &Store) -> Vec<Duration> {
    let of_blocks = store.block.iter().filter_map(|block| block.read_lag_max);
    let mut lags: Vec<_> = of_blocks.chain([store.read_lag_max]).collect();
    lags.sort_unstable();
    lags.dedup();
    lags
}

/// What may be changed while the proxy runs. `blocks`: those that the data path was started with.
pub(crate) fn tunables(store: &Store, blocks: &[DataBlock], threads: usize) -> Tunables {
    let bytes = usize::try_from(store.hold_bytes.0).unwrap_or(usize::MAX);
    Tunables {
        policies: policies(store, blocks),
        hold_max: store.hold_max,
        hold_bytes: bytes / threads.max(1),
    }
}

/// What joins the data path of a store to its control loop.
pub(crate) struct Pipes {
    pub(crate) posture: watch::Receiver<Arc<Posture>>,
    pub(crate) tunables: watch::Receiver<Arc<Tunables>>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// In the order of the endpoints.
    pub(crate) lookouts: Vec<Lookout>,
}

/// The data path of one store. `region`: where this sidecar stands.
pub(crate) fn data_path(
    store: &Store,
    region: Option<&Region>,
    pipes: Pipes,
    clock: Arc<dyn Clock>,
    passes: Option<&Arc<Passes>>,
) -> Result<StoreFactory, Error> {
    let Pipes { posture, tunables, reports, asks, lookouts } = pipes;
    let endpoints = ordered(store)
        .into_iter()
        .zip(lookouts)
        .map(|(endpoint, lookout)| {
            let connector = connector(endpoint, store.connect_timeout, passes, Purpose::Data)?;
            let near = region.is_some() && endpoint.region.as_ref() == region;
            Ok(EndpointParams { id: endpoint.name.clone(), connector, near, lookout })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    protocols::data_path(store, |protocol| StoreParams {
        store: store.name.clone(),
        protocol,
        endpoints,
        posture,
        tunables,
        reports,
        asks,
        clock,
        #[cfg(feature = "unsafe-rules")]
        rules: crate::rules::data_path(),
    })
}

/// Control connections to the endpoints of a store.
pub(crate) fn endpoints(store: &Store, passes: Option<&Arc<Passes>>) -> Result<Vec<EndpointSpec>, Error> {
    let login = match &store.control {
        None => None,
        Some(control) => {
            let password = protocols::password(store, "control", &control.password_file)?;
            Some(ControlLogin { user: control.user.clone(), password })
        }
    };
    let dials = Arc::new(dials(store));
    let mut specs = Vec::new();
    for endpoint in ordered(store) {
        let timeout = store.detect.probe_timeout;
        // Connecting is part of a probe, and ends with it.
        let connector = connector(endpoint, timeout, passes, Purpose::Control)?;
        let control =
            protocols::control(store, &endpoint.name, connector, timeout, login.clone(), Arc::clone(&dials));
        let dial = dials.iter().find(|dial| dial.endpoint == endpoint.name).cloned();
        let host = match (&endpoint.node_exporter, &endpoint.url.address) {
            (Some(url), _) => HostSource::NodeExporter(url.to_string()),
            (None, Address::Tcp { host, .. }) => HostSource::of(host),
            (None, Address::Unix(_)) => HostSource::Local,
        };
        specs.push(EndpointSpec {
            id: endpoint.name.clone(),
            region: endpoint.region.clone(),
            address: endpoint.url.to_string(),
            dial: dial.ok_or_else(|| Error::NoAdvertised(endpoint.name.clone()))?,
            control,
            host,
        });
    }
    Ok(specs)
}

/// The settings of a store's state machine.
pub(crate) fn machine(store: &Store, instance: InstanceId, threads: usize) -> foretoken_failover::Params {
    let endpoints = ordered(store).into_iter().map(|endpoint| endpoint.name.clone()).collect();
    let mut params = foretoken_failover::Params::new(store.name.clone(), instance, endpoints, threads);
    params.configure(settings(store));
    params.follow = (store.manage == Manage::Follow)
        .then(|| "the configuration says so (manage = \"follow\")".to_owned());
    params.lease = store.lease.times();
    #[cfg(feature = "unsafe-rules")]
    {
        params.rules = crate::rules::machine();
    }
    params
}

fn settings(store: &Store) -> Settings {
    Settings {
        writers: store.writers,
        durability: store.durability,
        hold_deadline: store.switchover.hold_deadline,
        pause: store.switchover.pause,
        lag_bytes_max: store.switchover.lag_bytes_max.0,
        lag_max: store.switchover.lag_max,
    }
}

/// What the control loop of a store takes over from a changed configuration.
pub(crate) fn live(store: &Store, judges: Judges) -> control::Live {
    control::Live {
        settings: settings(store),
        detect: DetectParams {
            suspect_after: store.detect.suspect_after,
            confirm: store.detect.confirm,
            oldest_unanswered: store.detect.oldest_unanswered,
            ..DetectParams::default()
        },
        probe_interval: store.detect.probe_interval,
        read_lags: read_lags(store),
        foresight: foresight(store, judges),
    }
}

/// Who judges of a store's risk: reads, checks and tries the model.
pub(crate) fn judges(store: &Store) -> Result<Judges, Error> {
    let path = store.risk.model.as_deref();
    let refused = |why| Error::Model {
        store: store.name.clone(),
        path: path.map_or_else(|| "the embedded one".to_owned(), |path| path.display().to_string()),
        source: Box::new(why),
    };
    let model = match (store.risk.judges, path) {
        (RiskJudges::Rule, _) => Chosen::None,
        (_, None) => Chosen::Embedded(Arc::new(Model::embedded().map_err(refused)?)),
        (_, Some(path)) => Chosen::File(Arc::new(Model::read(path).map_err(refused)?)),
    };
    Ok(Judges { rule: store.risk.judges != RiskJudges::Model, model })
}

fn foresight(store: &Store, judges: Judges) -> ForesightParams {
    let percent = store.risk.threshold_percent.map(|percent| u8::try_from(percent).unwrap_or(u8::MAX));
    let policy = match store.risk.policy {
        RiskPolicy::Observe => foretoken_predict::Policy::Observe,
        RiskPolicy::Prepare => foretoken_predict::Policy::Prepare,
        RiskPolicy::Switch => foretoken_predict::Policy::Switch,
    };
    ForesightParams {
        step: store.risk.step,
        judges,
        thresholds: percent.map(Thresholds::same),
        decide: foretoken_predict::Params { policy, cool_down: store.risk.cooldown, ..Default::default() },
    }
}

/// The control loop of one store.
pub(crate) fn control(
    store: &Store,
    instance: InstanceId,
    threads: usize,
    config: &Config,
    live: watch::Receiver<control::Live>,
    passes: Option<&Arc<Passes>>,
) -> Result<control::StoreParams, Error> {
    let record = (store.risk.record == Recording::On).then(|| control::RecordParams {
        directory: config.state_dir.join("record"),
        bytes_most: store.risk.record_max.0,
    });
    Ok(control::StoreParams {
        journal: config.state_dir.join("risk"),
        store: store.name.clone(),
        listen: store.listen.iter().map(ToString::to_string).collect(),
        machine: machine(store, instance, threads),
        live,
        region: config.region.clone(),
        record,
        endpoints: endpoints(store, passes)?,
    })
}

/// Everything about a configuration that needs files: read once before anything starts.
///
/// # Errors
/// The first file that can't be used.
pub(crate) fn rehearse(config: &Config) -> Result<(), Error> {
    admin_tls(config)?;
    for store in &config.store {
        listener_tls(store)?;
        protocols::login(store)?;
        endpoints(store, None)?;
        judges(store)?;
    }
    doors(config)?;
    Ok(())
}

#[cfg(test)]
mod tests;
