//! What is exported of mirrors. `docs/metrics.md` lists it.

use foretoken_types::{EndpointId, StoreId};
use metrics::{Gauge, Unit};

use crate::Lag;

/// Tells the recorder names, units and meanings.
pub fn describe() {
    metrics::describe_gauge!(
        "foretoken_mirror_lag_bytes",
        Unit::Bytes,
        "bytes of the change stream that the mirror has not received; NaN for the primary and when not known"
    );
    metrics::describe_gauge!(
        "foretoken_mirror_lag_seconds",
        Unit::Seconds,
        "age of the mirror's data, at most; grows while the primary is down; NaN for the primary and when not known"
    );
    metrics::describe_gauge!(
        "foretoken_mirror_can_take_over",
        Unit::Count,
        "1 when the mirror could be promoted now, 0 when not; `foretoken status` says why"
    );
}

/// The handles of one mirror, taken once.
pub struct MirrorMetrics {
    bytes: Gauge,
    seconds: Gauge,
    can_take_over: Gauge,
}

impl std::fmt::Debug for MirrorMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorMetrics").finish_non_exhaustive()
    }
}

impl MirrorMetrics {
    /// Takes the handles.
    #[must_use]
    pub fn new(store: &StoreId, endpoint: &EndpointId) -> Self {
        let labels = [("store", store.to_string()), ("endpoint", endpoint.to_string())];
        Self {
            bytes: metrics::gauge!("foretoken_mirror_lag_bytes", &labels),
            seconds: metrics::gauge!("foretoken_mirror_lag_seconds", &labels),
            can_take_over: metrics::gauge!("foretoken_mirror_can_take_over", &labels),
        }
    }

    /// Exports the lag. An unknown one is NaN and not 0, which would be the best news of all.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn lag(&self, lag: Option<Lag>) {
        self.bytes.set(lag.map_or(f64::NAN, |lag| lag.bytes as f64));
        self.seconds.set(lag.and_then(|lag| lag.time).map_or(f64::NAN, |time| time.as_secs_f64()));
    }

    /// Exports whether it could be promoted now.
    pub fn can_take_over(&self, can: bool) {
        self.can_take_over.set(f64::from(u8::from(can)));
    }
}
