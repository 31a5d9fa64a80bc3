//! Looks whether the state directory can still be used while the sidecar runs.
//!
//! An open file can be written after its directory is gone; the next start would begin with nothing and not know it.

use std::sync::Arc;
use std::time::Duration;

use foretoken_registry::Registry;
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
            if let Ok(wrong) = tokio::task::spawn_blocking(move || examine(&*registry)).await {
                tell(&told, wrong);
            }
        }
    });
    heard
}

fn examine(registry: &dyn Registry) -> Option<String> {
    let error = registry.examine().err()?;
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("the state directory can't be used: {error}{cause}"))
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
