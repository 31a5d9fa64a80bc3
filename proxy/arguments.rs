//! What can be said on the command line.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use foretoken_app::telemetry::{Build, LogFormat, check_filter};

/// A sidecar in front of a data store: applications keep one address while the primary moves.
///
/// Foretoken takes the connections of unmodified Redis clients, passes every command on, watches the primary and its
/// mirrors, and moves the primary role: by hand without a failed request, and after a crash without losing what it
/// promised to keep.
#[derive(Debug, Parser)]
#[command(name = "foretoken", version = VERSION.as_str(), max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  A first try, in front of two servers that run already:
    foretoken run --listen 127.0.0.1:7000 --admin 127.0.0.1:7001 \\
        --primary redis://127.0.0.1:6379 --mirror redis://127.0.0.1:6380
    redis-cli -p 7000 set greeting hello
    foretoken status --admin 127.0.0.1:7001

  In earnest:
    foretoken check --config /etc/foretoken.toml
    foretoken run --config /etc/foretoken.toml
    foretoken switchover cart --dry-run --config /etc/foretoken.toml

Exit status:
   0  done
   1  failed; for check: a store can't be managed as it is
  64  bad arguments or bad configuration
  69  no sidecar answers
  75  the switchover was refused or taken back; the store is as it was";

/// What `--version` prints after the name.
static VERSION: LazyLock<String> = LazyLock::new(|| Build::this().to_string());

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Check(Check),
    Status(Status),
    Switchover(Switchover),
    Gate(Gate),
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// Runs the sidecar until SIGTERM, SIGINT or POST /v1/exit, then drains and ends.
///
/// Either over the stores of a configuration file, or, for a first try, over one store that is given by arguments. SIGHUP
/// reads the configuration file again.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("stores").required(true).args(["config", "primary"])), override_usage = "\
foretoken run --config <FILE> [OPTIONS]
       foretoken run --primary <URL> [--mirror <URL>]... [OPTIONS]")]
#[command(after_long_help = "\
Examples:
  foretoken run --config /etc/foretoken.toml
  foretoken run --listen 127.0.0.1:7000 --admin 127.0.0.1:7001 \\
      --primary redis://127.0.0.1:6379 --mirror redis://127.0.0.1:6380 --sole-writer")]
pub(crate) struct Run {
    /// The configuration file.
    #[arg(long, value_name = "FILE", conflicts_with_all =
        ["listen", "admin", "primary", "mirror", "sole_writer", "state_dir"])]
    pub(crate) config: Option<PathBuf>,
    /// Where clients connect: host:port or unix:/path.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    pub(crate) listen: String,
    /// Where health, metrics and the API are served besides the Unix socket; loopback for a first try.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,
    /// The server that is the primary now, such as redis://127.0.0.1:6379. One that asks for a password takes a
    /// configuration file with [store.control].
    #[arg(long, value_name = "URL")]
    pub(crate) primary: Option<String>,
    /// A server that is a mirror, or an empty one that shall be made one; may be given more than once. Data that is no copy
    /// of the primary's is never overwritten: empty such a server first (FLUSHALL).
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Vec<String>,
    /// Declares that nobody writes to the store past this sidecar (writers = "this-sidecar"). Without it only planned
    /// switchovers are made, and after a crash you promote a mirror by hand: a failover could let an old primary take writes
    /// of others.
    #[arg(long)]
    pub(crate) sole_writer: bool,
    /// Where epochs, intents and the admin secret are kept over a restart.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Lets everybody on this machine change things over --admin without the secret. For a first try only.
    #[arg(long)]
    pub(crate) admin_open: bool,
    /// How log lines look; overrides the configuration.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,
    /// What is logged: error, warn, info, debug or trace, or target=level pairs; overrides the configuration.
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub(crate) log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

/// Says whether the configuration is right, what its stores are like and what can be promised for them.
///
/// Connects to every server and changes nothing. A bad configuration is told with all its faults at once.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// Where the sidecar is.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["config", "admin"])))]
pub(crate) struct Where {
    /// The configuration file that the sidecar runs with: it is asked over its Unix socket.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The admin address of the sidecar: host:port, https://host:port where it has admin.tls, or the path of its socket,
    /// with a / in it or unix: before it, such as state/admin.sock.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,
    /// For https://: PEM file of the CAs that may have signed the sidecar's certificate; the system's when not given.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) ca_file: Option<PathBuf>,
    /// For https://: PEM file of a certificate to show; an operator's may change things without the secret.
    #[arg(long, value_name = "FILE", requires = "key_file", conflicts_with = "config")]
    pub(crate) cert_file: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// The file with the bearer secret (admin.secret in the state directory), for changes over host:port.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

/// Shows the stores of a running sidecar: roles, epoch, state, lag, holds, and who is in charge and why.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) sidecar: Where,
    /// As JSON, the same as GET /v1/stores.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say only whether every store is served: status 0 if so, 1 with the reasons if not. For health checks of
    /// containers, whose image holds no other program.
    #[arg(long, conflicts_with = "json")]
    pub(crate) ready: bool,
}

/// Moves the primary role of a store to a mirror, without a failed request and without a lost write.
///
/// Every check is printed. When one fails nothing is begun; when a step fails it is taken back.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  foretoken switchover cart --dry-run --config /etc/foretoken.toml
  foretoken switchover cart --to b --admin 127.0.0.1:7001 --secret-file /var/lib/foretoken/admin.secret")]
pub(crate) struct Switchover {
    /// Name of the store.
    pub(crate) store: String,
    /// Name of the mirror; the best one that could take over when not given.
    #[arg(long, value_name = "MIRROR")]
    pub(crate) to: Option<String>,
    /// Make the checks only.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) sidecar: Where,
    /// The report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Stands in front of one server of a store and lets nobody in without a token of the current epoch.
///
/// Sidecars attach tokens by themselves (gate = true at the endpoint), so applications notice nothing; a client that
/// bypasses them, and a sidecar that was stopped for too long, are refused.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  foretoken gate --config /etc/foretoken-gate.toml")]
pub(crate) struct Gate {
    /// The configuration file of the gate.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// How log lines look; overrides the configuration.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,
    /// What is logged: error, warn, info, debug or trace, or target=level pairs; overrides the configuration.
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub(crate) log_level: Option<String>,
}

/// Shows it all on servers of its own: the cost of the hop, a switchover, a crash and a freeze under load.
///
/// Starts redis-servers on free ports, drives them, keeps the history of every operation and checks each promise against
/// it. Exit status 1 if a promise is broken. Takes under 5 minutes and leaves nothing behind but the report.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Repeats the run with this seed; each run prints its own.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Where the report goes: one HTML file with the table and plots of all that was seen, which needs no network.
    #[arg(long, value_name = "FILE", default_value = foretoken_demo::REPORT)]
    pub(crate) report: PathBuf,
}

/// A log filter, refused as `log.level` of the file would be.
fn filter(text: &str) -> Result<String, String> {
    check_filter(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
