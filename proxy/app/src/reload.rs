//! A configuration that is read again: what can be applied is, and what can't is named.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretoken_admin::Doors;
use foretoken_config::{Config, DataBlock, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::run::{RunOptions, Running};
use crate::telemetry::LogLevel;
use crate::{Error, build, tokens};

/// How often the configuration file is looked at.
const FILE_EVERY: Duration = Duration::from_secs(2);

/// What takes on another configuration while it runs.
pub(crate) struct Changeable<'a> {
    pub(crate) stores: &'a [Running],
    pub(crate) tokens: &'a tokens::Service,
    pub(crate) doors: &'a watch::Sender<Arc<Doors>>,
    pub(crate) level: &'a LogLevel,
}

/// Waits for the signal or the order to end; reloads meanwhile.
pub(crate) async fn supervise(
    config: Config,
    options: &RunOptions,
    running: &Changeable<'_>,
    exit: &Notify,
) -> Result<(), Error> {
    let catch = |kind| signal(kind).map_err(|source| Error::Os { what: "catch signals", source });
    let (mut term, mut interrupt, mut hangup) =
        (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?, catch(SignalKind::hangup())?);
    let mut changed_at = modified(options.config_file.as_deref());
    let mut look = tokio::time::interval(FILE_EVERY);
    let mut loaded = Loaded { last: config.clone(), started: config };
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = exit.notified() => return Ok(()),
            _ = hangup.recv() => changed_at = modified(options.config_file.as_deref()),
            _ = look.tick() => {
                let now = modified(options.config_file.as_deref());
                if now == changed_at {
                    continue;
                }
                changed_at = now;
            }
        }
        reload(&mut loaded, options, running).await;
    }
}

fn modified(file: Option<&Path>) -> Option<std::time::SystemTime> {
    std::fs::metadata(file?).ok()?.modified().ok()
}

/// Configurations that matter for a reload.
struct Loaded {
    /// The one that the process started with: what can't change is as it says.
    started: Config,
    /// The one that was read last: what can change is as it says.
    last: Config,
}

/// Applies what can be applied, and says what can't.
async fn reload(loaded: &mut Loaded, options: &RunOptions, running: &Changeable<'_>) {
    let Some(file) = &options.config_file else {
        tracing::info!("nothing to reload: there is no configuration file");
        return;
    };
    let new = match Config::load(file) {
        Ok(new) => new,
        Err(faults) => {
            tracing::error!(error = %faults, "the configuration is not reloaded: it has faults");
            return;
        }
    };
    let applied = Config::reloadable_changes(&loaded.last, &new).applied;
    let needs_restart = Config::reloadable_changes(&loaded.started, &new).needs_restart;
    for store in running.stores {
        let Some(wanted) = new.store.iter().find(|wanted| wanted.name == store.id) else { continue };
        let started = loaded.started.store.iter().find(|started| started.name == store.id);
        let blocks = started.map_or(&[][..], |started| &started.block);
        apply(wanted, store, blocks, loaded.started.data.threads as usize);
    }
    match admit(&loaded.started, &new, running) {
        Err(error) => tracing::error!(error = %chain(&error), "services and operators stay as they were"),
        Ok(services) => {
            if let Err(error) = running.tokens.permit(services).await {
                tracing::error!(error = %error, "a restart has to find out anew which tokens were taken back");
            }
        }
    }
    if options.log_filter.is_none()
        && let Err(error) = running.level.set(new.log.level.as_str())
    {
        tracing::error!(error = %error, "log.level is not applied");
    }
    tracing::info!(?applied, ?needs_restart, "configuration reloaded");
    loaded.last = new;
}

/// Lets those in who may ask from now on, and returns for what.
fn admit(started: &Config, new: &Config, running: &Changeable<'_>) -> Result<tokens::Services, Error> {
    // Everything that can fail comes first, so that a service is never known by the one file and served by the other.
    let (doors, services) = (build::doors(new)?, build::services(new)?);
    let mode = std::fs::Permissions::from_mode(build::socket_mode(new));
    std::fs::set_permissions(started.admin_socket(), mode)
        .map_err(|source| Error::Os { what: "change who may connect to the admin socket", source })?;
    running.doors.send_replace(Arc::new(doors));
    Ok(services)
}

fn apply(wanted: &Store, store: &Running, blocks: &[DataBlock], threads: usize) {
    store.tunables.send_replace(Arc::new(build::tunables(wanted, blocks, threads)));
    // A model may have been replaced under the same name as well.
    let judges = build::judges(wanted).unwrap_or_else(|error| {
        tracing::error!(store = %wanted.name, error = %chain(&error), "the old model stays in use");
        store.live.borrow().foresight.judges.clone()
    });
    store.live.send_replace(build::live(wanted, judges));
    // Certificates are renewed under the same name: they are read again in any case.
    match build::listener_tls(wanted) {
        Ok(tls) => {
            store.tls.send_replace(tls);
        }
        Err(error) => {
            tracing::error!(store = %wanted.name, error = %error, "the old certificate stays in use")
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
