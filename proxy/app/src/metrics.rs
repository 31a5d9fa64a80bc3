//! What the control loop exports. `docs/metrics.md` lists it; a test holds the two together.

use foretoken_failover::{Change, ChangeKind, Outcome};
use foretoken_types::{Posture, StoreId, StoreState};
use metrics::{Counter, Gauge, Unit};

/// Tells the recorder names, units and meanings.
pub(crate) fn describe() {
    metrics::describe_gauge!("foretoken_failover_epoch", Unit::Count, "the epoch in force");
    metrics::describe_gauge!(
        "foretoken_failover_state",
        Unit::Count,
        "1 for the state that the store is in, 0 for every other one"
    );
    metrics::describe_counter!(
        "foretoken_failover_switchovers_total",
        Unit::Count,
        "planned switchovers by outcome"
    );
    metrics::describe_counter!(
        "foretoken_failover_failovers_total",
        Unit::Count,
        "reactive failovers by outcome"
    );
    metrics::describe_histogram!(
        "foretoken_failover_hold_duration_seconds",
        Unit::Seconds,
        "how long requests were held by a change of primary"
    );
    metrics::describe_counter!(
        "foretoken_failover_lost_bytes_total",
        Unit::Bytes,
        "bytes of the change stream that an old primary had and the new one never got"
    );
    metrics::describe_gauge!("foretoken_build_info", Unit::Count, "1, with the version as a label");
}

const STATES: [StoreState; 7] = [
    StoreState::Healthy,
    StoreState::Holding,
    StoreState::Flipping,
    StoreState::FailedOver,
    StoreState::Unavailable,
    StoreState::FailingOver,
    StoreState::Recovering,
];

/// Handles of one store.
pub(crate) struct ControlMetrics {
    store: StoreId,
    epoch: Gauge,
    states: Vec<(StoreState, Gauge)>,
    lost: Counter,
}

impl ControlMetrics {
    pub(crate) fn new(store: &StoreId) -> Self {
        let state = |state: StoreState| {
            let gauge = metrics::gauge!("foretoken_failover_state", "store" => store.to_string(), "state" => state.as_str());
            (state, gauge)
        };
        Self {
            store: store.clone(),
            epoch: metrics::gauge!("foretoken_failover_epoch", "store" => store.to_string()),
            states: STATES.into_iter().map(state).collect(),
            lost: metrics::counter!("foretoken_failover_lost_bytes_total", "store" => store.to_string()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and epochs stay far below 2^52")]
    pub(crate) fn posture(&self, posture: &Posture) {
        self.epoch.set(posture.epoch.0 as f64);
        for (state, gauge) in &self.states {
            gauge.set(if *state == posture.state { 1.0 } else { 0.0 });
        }
    }

    pub(crate) fn lost(&self, bytes: u64) {
        self.lost.increment(bytes);
    }

    pub(crate) fn changed(&self, change: &Change) {
        let outcome = match change.outcome {
            Outcome::Done => "done",
            Outcome::Aborted => "aborted",
            Outcome::Refused => "refused",
        };
        let store = self.store.to_string();
        match change.kind {
            ChangeKind::Switchover => {
                metrics::counter!("foretoken_failover_switchovers_total", "store" => store.clone(), "outcome" => outcome)
            }
            ChangeKind::Failover => {
                metrics::counter!("foretoken_failover_failovers_total", "store" => store.clone(), "outcome" => outcome)
            }
        }
        .increment(1);
        if let Some(held) = change.held_for {
            metrics::histogram!("foretoken_failover_hold_duration_seconds", "store" => store)
                .record(held.as_secs_f64());
        }
    }
}
