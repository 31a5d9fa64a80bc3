//! What the control loop exports. `docs/metrics.md` lists it; a test holds the two together.

use std::time::Duration;

use foretoken_admin::model::StoreStatus;
use foretoken_failover::{Change, ChangeKind, Outcome};
use foretoken_predict::contract::HORIZONS;
use foretoken_predict::{Assessment, Doubt, Risk};
use foretoken_token::Tier;
use foretoken_types::{Durability, EndpointId, Epoch, Posture, StoreId, StoreState};
use metrics::{Counter, Gauge, Histogram, Unit};

use crate::gate::{Ended, REASONS};

/// Tells the recorder names, units and meanings.
pub(crate) fn describe() {
    let gauges = [
        ("foretoken_failover_epoch", "the epoch in force; it grows with each change of primary"),
        ("foretoken_failover_state", "1 for the state that the store is in, 0 for every other one"),
        ("foretoken_failover_ready", "1 when the store serves traffic now, 0 when not"),
        (
            "foretoken_failover_automatic",
            "1 when a mirror would be promoted without an order if the primary died now, 0 when not",
        ),
        (
            "foretoken_predict_risk_ratio",
            "probability that the primary runs out of something within so many steps; NaN when not known",
        ),
        (
            "foretoken_predict_model_used",
            "1 when a model weighs in beside the rule, 0 when it is off or there is none",
        ),
        (
            "foretoken_failover_synchronous",
            "1 while writes are acknowledged only once a mirror has them, 0 when the primary's word is enough",
        ),
    ];
    for (name, help) in gauges {
        metrics::describe_gauge!(name, Unit::Count, help);
    }
    metrics::describe_counter!(
        "foretoken_failover_switchovers_total",
        Unit::Count,
        "planned changes of primary by outcome: done, aborted or refused"
    );
    metrics::describe_counter!(
        "foretoken_failover_failovers_total",
        Unit::Count,
        "changes of primary after it was down, by outcome: done, aborted or refused"
    );
    metrics::describe_counter!(
        "foretoken_token_issued_total",
        Unit::Count,
        "tokens that the API gave, by tier: temporary, provisional or valid; refreshed ones included"
    );
    metrics::describe_histogram!(
        "foretoken_failover_hold_duration_seconds",
        Unit::Seconds,
        "how long a change of primary held requests"
    );
    metrics::describe_counter!(
        "foretoken_predict_model_failures_total",
        Unit::Count,
        "steps in which the model of risk gave no usable answer, by reason; the rule alone decided then"
    );
    metrics::describe_histogram!(
        "foretoken_predict_inference_duration_seconds",
        Unit::Seconds,
        "how long one inference of the model of risk took"
    );
    metrics::describe_counter!(
        "foretoken_failover_lost_bytes_total",
        Unit::Bytes,
        "bytes of the change stream that an old primary had and the new one never got"
    );
    metrics::describe_counter!(
        "foretoken_record_lines_total",
        Unit::Count,
        "lines written to the record, one for each endpoint and step"
    );
    metrics::describe_counter!(
        "foretoken_record_lost_lines_total",
        Unit::Count,
        "lines of the record that could not be written: its disk is full, slow or gone"
    );
}

/// Handles of the record of one store.
#[derive(Clone)]
pub(crate) struct RecordMetrics {
    written: Counter,
    lost: Counter,
}

impl RecordMetrics {
    pub(crate) fn new(store: &StoreId) -> Self {
        let store = [("store", store.to_string())];
        Self {
            written: metrics::counter!("foretoken_record_lines_total", &store),
            lost: metrics::counter!("foretoken_record_lost_lines_total", &store),
        }
    }

    pub(crate) fn written(&self, lines: usize) {
        self.written.increment(lines as u64);
    }

    pub(crate) fn lost(&self, lines: usize) {
        self.lost.increment(lines as u64);
    }
}

/// Makes the counters of a store's tokens, with 0 in them.
pub(crate) fn tokens(store: &StoreId) {
    for tier in [Tier::Temporary, Tier::Provisional, Tier::Valid] {
        issued(store, tier).increment(0);
    }
}

/// A token was given.
pub(crate) fn token_given(store: &StoreId, tier: Tier) {
    issued(store, tier).increment(1);
}

fn issued(store: &StoreId, tier: Tier) -> Counter {
    metrics::counter!("foretoken_token_issued_total", "store" => store.to_string(), "tier" => tier.as_str())
}

const STATES: [StoreState; 8] = [
    StoreState::Healthy,
    StoreState::AtRisk,
    StoreState::Holding,
    StoreState::Flipping,
    StoreState::FailedOver,
    StoreState::Unavailable,
    StoreState::FailingOver,
    StoreState::Recovering,
];

const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Done, "done"), (Outcome::Aborted, "aborted"), (Outcome::Refused, "refused")];

/// Handles of one store. All are taken at the start, so that each is exported before it first counts.
pub(crate) struct ControlMetrics {
    epoch: Gauge,
    states: Vec<(StoreState, Gauge)>,
    ready: Gauge,
    automatic: Gauge,
    synchronous: Gauge,
    switchovers: Vec<(Outcome, Counter)>,
    failovers: Vec<(Outcome, Counter)>,
    held: Histogram,
    lost: Counter,
    risks: Vec<Gauge>,
    model: Gauge,
    inference: Histogram,
    failures: Vec<(&'static str, Counter)>,
}

/// Why a model's answer could not be used: `foretoken_predict::Doubt` in labels.
const DOUBTS: [&str; 5] = ["not_finite", "shape", "inference", "slow", "absent"];

impl ControlMetrics {
    pub(crate) fn new(store: &StoreId) -> Self {
        let store = [("store", store.to_string())];
        let state = |state: StoreState| {
            let [(key, store)] = store.clone();
            (state, metrics::gauge!("foretoken_failover_state", key => store, "state" => state.as_str()))
        };
        let changes = |name: &'static str| -> Vec<(Outcome, Counter)> {
            let counter = |(outcome, word): (Outcome, &'static str)| {
                let [(key, store)] = store.clone();
                (outcome, metrics::counter!(name, key => store, "outcome" => word))
            };
            OUTCOMES.into_iter().map(counter).collect()
        };
        let risk = |steps: u16| {
            let [(key, store)] = store.clone();
            metrics::gauge!("foretoken_predict_risk_ratio", key => store, "steps" => steps.to_string())
        };
        let failures = |reason: &'static str| {
            let [(key, store)] = store.clone();
            let name = "foretoken_predict_model_failures_total";
            (reason, metrics::counter!(name, key => store, "reason" => reason))
        };
        Self {
            epoch: metrics::gauge!("foretoken_failover_epoch", &store),
            states: STATES.into_iter().map(state).collect(),
            ready: metrics::gauge!("foretoken_failover_ready", &store),
            automatic: metrics::gauge!("foretoken_failover_automatic", &store),
            synchronous: metrics::gauge!("foretoken_failover_synchronous", &store),
            switchovers: changes("foretoken_failover_switchovers_total"),
            failovers: changes("foretoken_failover_failovers_total"),
            held: metrics::histogram!("foretoken_failover_hold_duration_seconds", &store),
            lost: metrics::counter!("foretoken_failover_lost_bytes_total", &store),
            risks: HORIZONS.map(risk).to_vec(),
            model: metrics::gauge!("foretoken_predict_model_used", &store),
            inference: metrics::histogram!("foretoken_predict_inference_duration_seconds", &store),
            failures: DOUBTS.into_iter().map(failures).collect(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and epochs stay far below 2^52")]
    pub(crate) fn posture(&self, posture: &Posture) {
        self.epoch.set(posture.epoch.0 as f64);
        for (state, gauge) in &self.states {
            gauge.set(f64::from(u8::from(*state == posture.state)));
        }
    }

    /// What `status` says as well.
    pub(crate) fn status(&self, status: &StoreStatus) {
        self.ready.set(f64::from(u8::from(status.ready)));
        self.automatic.set(f64::from(u8::from(status.automatic_failover)));
        self.synchronous.set(f64::from(u8::from(status.durability == Durability::Synchronous)));
    }

    /// Whether a model weighs in.
    pub(crate) fn model(&self, used: bool) {
        self.model.set(f64::from(u8::from(used)));
    }

    /// NaN while nothing is known.
    pub(crate) fn risk(&self, assessment: &Assessment, took: Option<Duration>, doubt: Option<Doubt>) {
        if let Some(took) = took {
            self.inference.record(took.as_secs_f64());
        }
        let counter = doubt.and_then(|doubt| self.failures.iter().find(|(word, _)| *word == doubt.as_str()));
        if let Some((_, counter)) = counter {
            counter.increment(1);
        }
        let risks = assessment.risk.map(Risk::to_array);
        for (place, gauge) in self.risks.iter().enumerate() {
            gauge.set(risks.map_or(f64::NAN, |risks| f64::from(risks[place])));
        }
    }

    pub(crate) fn lost(&self, bytes: u64) {
        self.lost.increment(bytes);
    }

    pub(crate) fn changed(&self, change: &Change) {
        let counters = match change.kind {
            ChangeKind::Switchover => &self.switchovers,
            ChangeKind::Failover => &self.failovers,
        };
        if let Some((_, counter)) = counters.iter().find(|(outcome, _)| *outcome == change.outcome) {
            counter.increment(1);
        }
        if let Some(held) = change.held_for {
            self.held.record(held.as_secs_f64());
        }
    }
}

/// Tells the recorder what a gate exports. `docs/gate.md` lists it; a test holds the two together.
pub(crate) fn describe_gate() {
    let counters = [
        ("foretoken_gate_admitted_total", "connections that a token has let in"),
        ("foretoken_gate_refused_total", "connections that were refused, by reason"),
        (
            "foretoken_gate_cut_total",
            "open connections that were cut: the epoch moved, or nothing was heard for too long",
        ),
        ("foretoken_gate_heard_total", "words of the sidecar"),
    ];
    for (name, help) in counters {
        metrics::describe_counter!(name, Unit::Count, help);
    }
    let gauges = [
        ("foretoken_gate_connections", "connections that are open now"),
        ("foretoken_gate_epoch", "the epoch that was heard last"),
    ];
    for (name, help) in gauges {
        metrics::describe_gauge!(name, Unit::Count, help);
    }
}

/// What a gate counts.
#[derive(Clone)]
pub(crate) struct GateMetrics(std::sync::Arc<GateCounters>);

struct GateCounters {
    admitted: Counter,
    refused: Vec<(&'static str, Counter)>,
    cut: [(Ended, Counter); 2],
    heard: Counter,
    connections: Gauge,
    epoch: Gauge,
}

impl GateMetrics {
    pub(crate) fn new(store: &StoreId, endpoint: &EndpointId) -> Self {
        let own = [("store", store.to_string()), ("endpoint", endpoint.to_string())];
        let with = |name, value: &str| {
            let [store, endpoint] = own.clone();
            [store, endpoint, (name, value.to_owned())]
        };
        let refused =
            |reason| (reason, metrics::counter!("foretoken_gate_refused_total", &with("reason", reason)));
        let cut =
            |why: Ended| (why, metrics::counter!("foretoken_gate_cut_total", &with("reason", why.as_str())));
        Self(std::sync::Arc::new(GateCounters {
            admitted: metrics::counter!("foretoken_gate_admitted_total", &own),
            refused: REASONS.into_iter().map(refused).collect(),
            cut: [Ended::Moved, Ended::Silence].map(cut),
            heard: metrics::counter!("foretoken_gate_heard_total", &own),
            connections: metrics::gauge!("foretoken_gate_connections", &own),
            epoch: metrics::gauge!("foretoken_gate_epoch", &own),
        }))
    }

    pub(crate) fn admitted(&self) {
        self.0.admitted.increment(1);
    }

    pub(crate) fn refused(&self, reason: &str) {
        let counter = self.0.refused.iter().find(|(known, _)| *known == reason);
        debug_assert!(counter.is_some(), "{reason} is not in the list");
        if let Some((_, counter)) = counter {
            counter.increment(1);
        }
    }

    pub(crate) fn cut(&self, why: Ended) {
        for (_, counter) in self.0.cut.iter().filter(|(known, _)| *known == why) {
            counter.increment(1);
        }
    }

    pub(crate) fn heard(&self, epoch: Epoch) {
        self.0.heard.increment(1);
        #[expect(clippy::cast_precision_loss, reason = "no store has 2^53 changes of primary")]
        self.0.epoch.set(epoch.0 as f64);
    }

    /// Counts a connection until the value is dropped.
    pub(crate) fn open(&self) -> OpenConnection {
        self.0.connections.increment(1.0);
        OpenConnection(self.0.connections.clone())
    }
}

/// One open connection.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
