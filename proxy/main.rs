//! The front door: arguments in, exit code out.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};
use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};
use foretoken_app::client::{Address, Client, ClientError, ClientTls, Identity};
use foretoken_app::telemetry::{Build, LogFormat};
use foretoken_app::{GateOptions, RunOptions, check, show};
use foretoken_config::{Config, Quick};

/// What went wrong, as the shell learns it. The numbers above 63 are those of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Done = 0,
    /// Something else failed; for `check`: a store can't be managed as it is.
    Failed = 1,
    /// `EX_USAGE`: bad arguments or a bad configuration.
    Usage = 64,
    /// `EX_UNAVAILABLE`: no sidecar answers.
    Unreachable = 69,
    /// `EX_TEMPFAIL`: the switchover was refused or taken back; the store is as it was.
    NotSwitched = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A sidecar in front of a data store: applications keep one address while the primary moves.
///
/// Foretoken takes the connections of unmodified Redis clients, passes every command on, watches the primary and its
/// mirrors, and moves the primary role: by hand without a failed request, and after a crash without losing what it
/// promised to keep.
#[derive(Debug, Parser)]
#[command(name = "foretoken", version = VERSION.as_str(), max_term_width = 100, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
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
enum Command {
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
#[command(after_long_help = "\
Examples:
  foretoken run --config /etc/foretoken.toml
  foretoken run --listen 127.0.0.1:7000 --admin 127.0.0.1:7001 \\
      --primary redis://127.0.0.1:6379 --mirror redis://127.0.0.1:6380 --sole-writer")]
struct Run {
    /// The configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "primary", conflicts_with_all =
        ["listen", "admin", "primary", "mirror", "sole_writer", "state_dir"])]
    config: Option<PathBuf>,
    /// Where clients connect: host:port or unix:/path.
    #[arg(long, value_name = "ADDRESS", requires = "primary", default_value = "127.0.0.1:7000")]
    listen: String,
    /// Where health, metrics and the API are served besides the Unix socket; loopback for a first try.
    #[arg(long, value_name = "ADDRESS", requires = "primary")]
    admin: Option<String>,
    /// The server that is the primary now, such as redis://127.0.0.1:6379.
    #[arg(long, value_name = "URL")]
    primary: Option<String>,
    /// A server that is a mirror, or shall be one; may be given more than once. A server that has data of its own loses
    /// them when it becomes a mirror.
    #[arg(long, value_name = "URL", requires = "primary")]
    mirror: Vec<String>,
    /// Declares that nobody writes to the store past this sidecar (writers = "this-sidecar"). Without it only planned
    /// switchovers are made: a failover could let an old primary take writes of others.
    #[arg(long, requires = "primary")]
    sole_writer: bool,
    /// Where epochs, intents and the admin secret are kept over a restart.
    #[arg(long, value_name = "DIR", requires = "primary")]
    state_dir: Option<PathBuf>,
    /// Lets everybody on this machine change things over --admin without the secret. For a first try only.
    #[arg(long)]
    admin_open: bool,
    /// How log lines look; overrides the configuration.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// What is logged: error, warn, info, debug or trace, or target=level pairs; overrides the configuration.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
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
struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Where the sidecar is.
#[derive(Debug, Args)]
struct Where {
    /// The configuration file that the sidecar runs with: it is asked over its Unix socket.
    #[arg(long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// The admin address of the sidecar: host:port, https://host:port where it has admin.tls, unix:/path or the path of
    /// its socket.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// For https://: PEM file of the CAs that may have signed the sidecar's certificate; the system's when not given.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    ca_file: Option<PathBuf>,
    /// For https://: PEM file of a certificate to show; an operator's may change things without the secret.
    #[arg(long, value_name = "FILE", requires = "key_file", conflicts_with = "config")]
    cert_file: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// The file with the bearer secret (admin.secret in the state directory), for changes over host:port.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// Shows the stores of a running sidecar: roles, epoch, state, lag, holds, and who is in charge and why.
#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    sidecar: Where,
    /// As JSON, the same as GET /v1/stores.
    #[arg(long)]
    json: bool,
    /// Say only whether every store is served: status 0 if so, 1 with the reasons if not. For health checks of
    /// containers, whose image holds no other program.
    #[arg(long, conflicts_with = "json")]
    ready: bool,
}

/// Moves the primary role of a store to a mirror, without a failed request and without a lost write.
///
/// Every check is printed. When one fails nothing is begun; when a step fails it is taken back.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  foretoken switchover cart --dry-run --config /etc/foretoken.toml
  foretoken switchover cart --to b --admin 127.0.0.1:7001 --secret-file /var/lib/foretoken/admin.secret")]
struct Switchover {
    /// Name of the store.
    store: String,
    /// Name of the mirror; the best one that could take over when not given.
    #[arg(long, value_name = "MIRROR")]
    to: Option<String>,
    /// Make the checks only.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    sidecar: Where,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

/// Stands in front of one server of a store and lets nobody in without a token of the current epoch.
///
/// Sidecars attach tokens by themselves (gate = true at the endpoint), so applications notice nothing; a client that
/// bypasses them, and a sidecar that was stopped for too long, are refused.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  foretoken gate --config /etc/foretoken-gate.toml")]
struct Gate {
    /// The configuration file of the gate.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look; overrides the configuration.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// What is logged: error, warn, info, debug or trace, or target=level pairs; overrides the configuration.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

/// Shows it all on servers of its own: the cost of the hop, a switchover, a crash and a freeze under load.
///
/// Starts redis-servers on free ports, drives them, keeps the history of every operation and checks each promise against
/// it. Exit status 1 if a promise is broken. Takes under 5 minutes and leaves nothing behind but the report.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
struct Demo {
    /// Repeats the run with this seed; each run prints its own.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Where the report goes: one HTML file with the table and plots of all that was seen, which needs no network.
    #[arg(long, value_name = "FILE", default_value = foretoken_demo::REPORT)]
    report: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too; those go to standard output and are no fault.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(_) => Exit::Failed.into(),
            };
        }
    };
    let exit = match cli.command {
        Command::Run(args) => run(args),
        Command::Check(args) => load(&args.config).and_then(|config| examine(&config)),
        Command::Status(args) => status(&args),
        Command::Switchover(args) => switchover(&args),
        Command::Gate(args) => gate(args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo(&args),
    };
    exit.unwrap_or_else(|exit| exit).into()
}

fn run(args: Run) -> Result<Exit, Exit> {
    let config = match (&args.config, args.primary) {
        (Some(file), _) => load(file)?,
        (None, Some(primary)) => Config::quick(&Quick {
            listen: args.listen,
            admin: args.admin,
            primary,
            mirrors: args.mirror,
            sole_writer: args.sole_writer,
            state_dir: args.state_dir,
        })
        .map_err(|error| fail(Exit::Usage, &error))?,
        (None, None) => return Err(say(Exit::Usage, "give --config or --primary")),
    };
    let options = RunOptions {
        config_file: args.config,
        admin_open: args.admin_open,
        log_format: args.log_format.map(Into::into),
        log_filter: args.log_level,
    };
    foretoken_app::run(config, options).map_err(|error| fail(Exit::Failed, &error))?;
    Ok(Exit::Done)
}

fn gate(args: Gate) -> Result<Exit, Exit> {
    let config = foretoken_config::Gate::load(&args.config).map_err(|error| fail(Exit::Usage, &error))?;
    let options = GateOptions { log_format: args.log_format.map(Into::into), log_filter: args.log_level };
    foretoken_app::gate(config, &options).map_err(|error| fail(Exit::Failed, &error))?;
    Ok(Exit::Done)
}

fn examine(config: &Config) -> Result<Exit, Exit> {
    let stores = block_on(check::check(config))?.map_err(|error| fail(Exit::Usage, &error))?;
    let mut exit = Exit::Done;
    for store in stores {
        print(&format!("{store}\n"))?;
        if !store.is_manageable() {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

fn status(args: &Status) -> Result<Exit, Exit> {
    let client = client(&args.sidecar)?;
    if args.ready {
        let readiness = block_on(client.ready())?.map_err(unanswered)?;
        print(&if readiness.ready { "ready\n".to_owned() } else { readiness.reasons.join("\n") + "\n" })?;
        return if readiness.ready { Ok(Exit::Done) } else { Err(Exit::Failed) };
    }
    let stores = block_on(client.stores())?.map_err(unanswered)?;
    print(&if args.json { json(&stores)? } else { show::stores(&stores) })?;
    Ok(Exit::Done)
}

fn switchover(args: &Switchover) -> Result<Exit, Exit> {
    let client = client(&args.sidecar)?;
    let request = SwitchoverRequest { to: args.to.as_deref().map(Into::into), dry_run: args.dry_run };
    let report = block_on(client.switchover(&args.store.as_str().into(), &request))?.map_err(unanswered)?;
    print(&if args.json { json(&report)? } else { show::switchover(&report) })?;
    match report.outcome {
        SwitchoverOutcome::Done => Ok(Exit::Done),
        SwitchoverOutcome::Aborted | SwitchoverOutcome::Refused => Err(Exit::NotSwitched),
    }
}

#[cfg(feature = "demo")]
fn demo(args: &Demo) -> Result<Exit, Exit> {
    match foretoken_demo::run(args.seed, &args.report) {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Err(Exit::Failed),
        Err(error) => Err(fail(Exit::Failed, &error)),
    }
}

/// The sidecar that the arguments mean.
fn client(sidecar: &Where) -> Result<Client, Exit> {
    let https = sidecar.admin.as_deref().and_then(|admin| admin.strip_prefix("https://"));
    if https.is_none() && (sidecar.ca_file.is_some() || sidecar.cert_file.is_some()) {
        let why = "--ca-file and --cert-file are for TLS: write --admin https://host:port";
        return Err(say(Exit::Usage, why));
    }
    let client = match (&sidecar.config, sidecar.admin.as_deref(), https) {
        (Some(file), ..) => Client::unix(load(file)?.admin_socket()),
        (None, _, Some(address)) => Client::at(address_of(address)?).with_tls(tls(sidecar)?),
        (None, Some(admin), None) if admin.starts_with('/') => Client::unix(admin),
        (None, Some(admin), None) => Client::at(address_of(admin.strip_prefix("http://").unwrap_or(admin))?),
        (None, None, None) => return Err(say(Exit::Usage, "give --config or --admin")),
    };
    match &sidecar.secret_file {
        Some(file) => client.with_secret_file(file).map_err(|error| fail(Exit::Usage, &error)),
        None => Ok(client),
    }
}

fn address_of(text: &str) -> Result<Address, Exit> {
    text.trim_end_matches('/').parse().map_err(|error| fail(Exit::Usage, &error))
}

/// TLS towards the sidecar, by the arguments.
fn tls(sidecar: &Where) -> Result<ClientTls, Exit> {
    let files = sidecar.cert_file.as_deref().zip(sidecar.key_file.as_deref());
    let identity = files.map(|(cert_file, key_file)| Identity { cert_file, key_file });
    ClientTls::load(sidecar.ca_file.as_deref(), identity, None).map_err(|error| fail(Exit::Usage, &error))
}

fn load(file: &Path) -> Result<Config, Exit> {
    Config::load(file).map_err(|error| fail(Exit::Usage, &error))
}

/// The exit code for a question that was not answered as hoped for.
fn unanswered(error: ClientError) -> Exit {
    let exit = match &error {
        error if error.is_unreachable() => Exit::Unreachable,
        ClientError::Problem(problem) => match problem.status {
            // The store, the endpoint or the request is wrong: asking again does not help.
            400 | 404 | 422 => Exit::Usage,
            // Busy, or not in charge.
            409 => Exit::NotSwitched,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    };
    let exit = fail(exit, &error);
    match &error {
        ClientError::Problem(problem) if problem.status == 401 => say(
            exit,
            "give --secret-file, or --cert-file of an operator over https://, or ask over the Unix socket (--config, \
             or --admin unix:/path)",
        ),
        _ => exit,
    }
}

/// Runs a short conversation on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| fail(Exit::Failed, &error))?.block_on(future))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Exit> {
    let text = serde_json::to_string_pretty(value).map_err(|error| fail(Exit::Failed, &error))?;
    Ok(format!("{text}\n"))
}

/// Prints to standard output. A reader who has had enough (`| head`) is no fault.
fn print(text: &str) -> Result<(), Exit> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(fail(Exit::Failed, &error)),
        _ => Ok(()),
    }
}

/// Tells an error with its causes.
fn fail(exit: Exit, error: &(dyn Error + '_)) -> Exit {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    say(exit, &text)
}

fn say(exit: Exit, text: &str) -> Exit {
    eprintln!("foretoken: {text}");
    exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_first_try_and_a_file_exclude_each_other() {
        let parses = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("foretoken run --config f"));
        assert!(parses("foretoken run --config f --admin-open --log-format json"));
        assert!(parses("foretoken run --primary redis://h:1"));
        assert!(parses(
            "foretoken run --listen h:0 --admin h:2 --primary redis://h:1 --mirror redis://h:2 --mirror redis://h:3"
        ));
        assert!(!parses("foretoken run"));
        assert!(!parses("foretoken run --mirror redis://h:1"));
        assert!(!parses("foretoken run --config f --primary redis://h:1"));
        assert!(!parses("foretoken run --config f --sole-writer"));
        assert!(!parses("foretoken check"));
        assert!(!parses("foretoken status"));
        assert!(parses("foretoken status --admin /run/ft.sock --json"));
        assert!(!parses("foretoken status --admin h:1 --config f"));
        assert!(parses("foretoken status --admin https://h:1 --ca-file f --cert-file f --key-file f"));
        assert!(!parses("foretoken status --admin https://h:1 --cert-file f"));
        assert!(!parses("foretoken status --config f --ca-file f"));
        assert!(!parses("foretoken status --admin h:1 --json --ready"));
        assert!(parses("foretoken switchover cart --to b --dry-run --config f"));
    }
}
