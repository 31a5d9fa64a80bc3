//! Looks whether the state directory can still be used while the sidecar runs.
//!
//! An open file can be written after its directory is gone; the next start would begin with nothing and not know it.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use foretoken_registry::{Error, Registry};
use foretoken_transport::is_open_files;
use tokio::sync::watch;

/// Between two looks. Each writes a few bytes, and removes them.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until nobody listens any more. What is wrong, in words; `None`: nothing.
pub(crate) fn spawn_watch(registry: Arc<dyn Registry>) -> watch::Receiver<Option<String>> {
    let (told, heard) = watch::channel(None);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = told.closed() => return,
            }
            let registry = Arc::clone(&registry);
            match tokio::task::spawn_blocking(move || registry.examine()).await {
                Ok(Ok(())) => tell(&told, None),
                Ok(Err(error)) if is_of_open_files(&error) => {}
                Ok(Err(error)) => tell(&told, Some(words(&error))),
                // The runtime ends.
                Err(_) => {}
            }
        }
    });
    heard
}

/// Whether this process could open no more files, which says nothing of the directory.
fn is_of_open_files(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(is_open_files)
}

fn words(error: &Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("the state directory can't be used: {error}{cause}")
}

/// Publishes what is wrong, and logs it when it is news.
fn tell(told: &watch::Sender<Option<String>>, wrong: Option<String>) {
    let is_news = told.send_if_modified(|before| {
        let is_news = *before != wrong;
        before.clone_from(&wrong);
        is_news
    });
    match wrong {
        Some(why) if is_news => tracing::error!(
            %why,
            help = "the store is served on, but the epoch can't rise, or would be forgotten by a restart: mend the \
                    directory and restart the sidecar",
            "a restart would not find its state"
        ),
        None if is_news => tracing::info!("the state directory can be used again"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn too_many_open_files_here_are_not_blamed_on_the_directory_and_a_full_disk_is() {
        for (errno, ours) in [(23, true), (24, true), (28, false), (2, false)] {
            let source = Box::new(io::Error::from_raw_os_error(errno));
            let error = Error::Storage { path: "registry.redb".into(), source };
            assert_eq!(is_of_open_files(&error), ours, "{}", words(&error));
        }
    }
}
