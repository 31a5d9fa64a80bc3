//! Logs, metrics and build information of the process.
//!
//! Both the subscriber of `tracing` and the recorder of `metrics` are one to a process, by the design of those crates. So
//! this is called from the edge, and asking a second time is answered and not refused: several sidecars in one process
//! (tests, the demo) share them, told apart by the label `store`.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use foretoken_admin::{MetricsPage, MetricsRecorder};
use metrics::{SetRecorderError, Unit};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt as text, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colour on a terminal, unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `log.level` may be.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Why logs or metrics are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be understood.
    #[error(
        "\"{filter}\" is no log filter: write a level (error, warn, info, debug, trace) or target=level, separated by commas"
    )]
    Filter {
        /// As it was given.
        filter: String,
        /// Why not, when the parser knows.
        #[source]
        source: Option<tracing_subscriber::filter::ParseError>,
    },
    /// Somebody else in this process has set up logs.
    #[error("logs are set up already")]
    Logs(#[from] TryInitError),
    /// Somebody else in this process has set up metrics.
    #[error("metrics are set up already")]
    Metrics(#[from] SetRecorderError<MetricsRecorder>),
    /// The subscriber is gone.
    #[error("the log level can't be changed any more")]
    Reload(#[from] reload::Error),
}

/// Changes what is logged while the process runs.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// From now on, logs what `filter` says: a level, or `target=level` pairs separated by commas.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`], and what was logged before goes on; [`TelemetryError::Reload`].
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        Ok(self.0.reload(parse(filter)?)?)
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLevel")
    }
}

/// Starts writing logs to standard error.
///
/// # Errors
/// [`TelemetryError::Filter`]; [`TelemetryError::Logs`] when this process has logs already.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<LogLevel, TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let subscriber = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let ansi = !plain && std::io::stderr().is_terminal();
            subscriber.with(text::layer().with_ansi(ansi).with_writer(std::io::stderr)).try_init()?;
        }
        LogFormat::Json => {
            subscriber
                .with(text::layer().json().flatten_event(true).with_writer(std::io::stderr))
                .try_init()?;
        }
    }
    Ok(LogLevel(handle))
}

/// Whether `filter` can be understood: a level, or `target=level` pairs, separated by commas.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let refused = |source| TelemetryError::Filter { filter: filter.to_owned(), source };
    // The parser takes a word that is no level for a target, of which everything is logged, and of all others nothing.
    let level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    if !filter.split(',').all(|part| part.contains('=') || level(part)) {
        return Err(refused(None));
    }
    filter.parse().map_err(|source| refused(Some(source)))
}

/// Starts counting, or takes part in the counting that this process does already.
///
/// # Errors
/// [`TelemetryError::Metrics`] when another recorder than ours is in place.
pub fn start_metrics() -> Result<MetricsPage, TelemetryError> {
    static INSTALLED: Mutex<Option<MetricsPage>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(page) = &*installed {
        return Ok(page.clone());
    }
    let recorder = MetricsRecorder::default();
    let page = recorder.page();
    metrics::set_global_recorder(recorder)?;
    metrics::describe_gauge!("foretoken_build_info", Unit::Count, "1; the labels say which build this is");
    let build = Build::this();
    metrics::gauge!("foretoken_build_info", "version" => build.version, "commit" => build.commit).set(1.0);
    *installed = Some(page.clone());
    Ok(page)
}

/// What this binary was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit, from the variable `FORETOKEN_COMMIT` at build time; `unknown` without it.
    pub commit: &'static str,
    /// Processor and operating system.
    pub platform: (&'static str, &'static str),
}

impl Build {
    /// The build of this binary.
    #[must_use]
    pub const fn this() -> Self {
        let commit = match option_env!("FORETOKEN_COMMIT") {
            Some(commit) => commit,
            None => "unknown",
        };
        let platform = (std::env::consts::ARCH, std::env::consts::OS);
        Self { version: env!("CARGO_PKG_VERSION"), commit, platform }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (processor, system) = self.platform;
        write!(f, "{} (commit {}, {processor}-{system})", self.version, self.commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_once_however_often_it_is_asked_to() {
        start_metrics().unwrap();
        let text = start_metrics().unwrap().render();
        let version = format!(r#"version="{}""#, Build::this().version);
        let line = text.lines().find(|line| line.starts_with("foretoken_build_info{"));
        assert!(line.is_some_and(|line| line.contains(&version) && line.ends_with(" 1")), "{text}");
    }

    #[test]
    fn a_word_that_is_no_level_is_no_filter() {
        for filter in ["info", "WARN", "foretoken_app=debug", "info,foretoken_outbound=off", "warn,h2=error"]
        {
            assert!(check_filter(filter).is_ok(), "{filter}");
        }
        for filter in
            ["", "loud", "warning", "off", "info,loud", "info,", "foretoken_app", "foretoken_app=loud"]
        {
            assert!(matches!(check_filter(filter), Err(TelemetryError::Filter { .. })), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_and_the_level_can_be_changed() {
        let level = start_logs(LogFormat::Text, "warn").unwrap();
        assert!(!tracing::enabled!(tracing::Level::INFO));
        let refused = level.set("foretoken_app=loud").unwrap_err();
        assert!(matches!(refused, TelemetryError::Filter { .. }), "{refused}");
        assert!(!tracing::enabled!(tracing::Level::INFO));
        level.set("info,foretoken_outbound=debug").unwrap();
        assert!(tracing::enabled!(tracing::Level::INFO));
        assert!(matches!(start_logs(LogFormat::Json, "info").unwrap_err(), TelemetryError::Logs(_)));
    }
}
