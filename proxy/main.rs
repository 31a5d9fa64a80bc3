//! The front door: arguments in, exit code out.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};
use foretoken_app::client::{Address, Client, ClientError, ClientTls, Identity, place};
use foretoken_app::{GateOptions, RunOptions, check, show};
use foretoken_config::{Config, Quick};

mod arguments;

#[cfg(feature = "demo")]
use arguments::Demo;
use arguments::{Cli, Command, Gate, Run, Status, Switchover, Where};

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
        Command::Check(args) => examine(&args.config),
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
    let file = options.config_file.clone();
    foretoken_app::run(config, options).map_err(|error| fault(file.as_deref(), Exit::Failed, &error))?;
    Ok(Exit::Done)
}

fn gate(args: Gate) -> Result<Exit, Exit> {
    let config = foretoken_config::Gate::load(&args.config).map_err(|error| fail(Exit::Usage, &error))?;
    let options = GateOptions { log_format: args.log_format.map(Into::into), log_filter: args.log_level };
    foretoken_app::gate(config, &options).map_err(|error| fail(Exit::Failed, &error))?;
    Ok(Exit::Done)
}

fn examine(file: &Path) -> Result<Exit, Exit> {
    let config = load(file)?;
    let stores = block_on(check::check(&config))?.map_err(|error| fault(Some(file), Exit::Usage, &error))?;
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
        (None, Some(admin), None) => Client::at(place(admin).map_err(|error| fail(Exit::Usage, &error))?),
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
             or --admin with the path of its socket)",
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

/// Tells why nothing came of a configuration, with its file if what stands there is to be mended; `exit`: if it is not.
fn fault(file: Option<&Path>, exit: Exit, error: &foretoken_app::Error) -> Exit {
    match file {
        Some(file) if error.is_of_the_configuration() => {
            say(Exit::Usage, &format!("{}: {}", file.display(), chain(error)))
        }
        _ => fail(exit, error),
    }
}

/// Tells an error with its causes.
fn fail(exit: Exit, error: &(dyn Error + '_)) -> Exit {
    say(exit, &chain(error))
}

/// An error with its causes, in one line.
fn chain(error: &(dyn Error + '_)) -> String {
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
    text
}

fn say(exit: Exit, text: &str) -> Exit {
    eprintln!("foretoken: {text}");
    exit
}
