//! How long things take and may take.

use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::LeaseTimes;

use crate::section::section;
use crate::value::{ByteSize, choice};

section! {
    /// The planned change of primary: hold writes, drain, wait until the mirror is equal, demote, promote.
    Switchover {
        /// Longest time that writes are held before the roles change; then the switchover is called off without a trace.
        /// Too low: it is called off under load that a moment more would have drained. Too high: clients wait for nothing
        /// when it fails. Must be below lease.ttl - lease.guard, because no lease is renewed while writes are held, and
        /// what drains after the last one ended can't be acknowledged.
        /// Default 1.5s: measured drains take milliseconds, and the lease of 2 s leaves room for it.
        live hold_deadline: Duration = default("1.5s") in "50ms" to "30s";
        /// Greatest lag of the mirror, in bytes, with which a switchover begins.
        /// Too low: it never begins under steady writes. Too high: the hold is spent on catching up.
        /// Default 1MiB: some 10 ms on a gigabit link.
        live lag_bytes_max: ByteSize = default("1MiB") in "1KiB" to "1GiB";
        /// Greatest lag of the mirror, in time, with which a switchover begins.
        /// Too low: a link that is merely idle is taken for slow. Too high: as for lag_bytes_max.
        /// Default 1s: how often a Redis mirror reports what it has.
        live lag_max: Duration = default("1s") in "100ms" to "60s";
        /// How long the old primary itself pauses writes (CLIENT PAUSE), for clients that bypass us; it ends by itself
        /// should we die meanwhile. Must be above hold_deadline, or writes slip in between pause and demotion.
        /// Too high: after a crash of ours in that moment, writers wait that long.
        /// Default 5s: over three times the hold deadline.
        live pause: Duration = default("5s") in "100ms" to "60s";
    }
}

section! {
    /// When a primary counts as down. With the defaults: a crash at once, a freeze after 1.0 to 1.5 s.
    Detect {
        /// Time between two probes of an endpoint.
        /// Too low: load, and false alarms from short stalls. Too high: a failure shows late.
        /// Default 250ms: three in a row make 750 ms, a load of four small commands a second.
        live probe_interval: Duration = default("250ms") in "10ms" to "10s";
        /// Longest time that a probe waits for its answer.
        /// Too low: slow commands of clients look like an outage. Too high: a frozen server looks alive for that long.
        /// Default 500ms: far above a healthy reply, within the time that a suspicion takes to form.
        fixed probe_timeout: Duration = default("500ms") in "10ms" to "60s";
        /// Failures in a row, of probes or live traffic, that make an endpoint suspect. Then its lease is not renewed.
        /// Too low: one lost packet holds all traffic. Too high: each adds a probe_interval to an outage.
        /// Default 3: two may be bad luck.
        live suspect_after: u32 = default(3) in 1 to 100;
        /// How long a suspicion must last before the endpoint is down. A server that refuses connections and whose mirror
        /// has lost its link is down at once.
        /// Too low: a garbage collection or a saved snapshot starts a failover. Too high: an outage lasts longer.
        /// Default 700ms: it passes while the lease runs out, which has to be waited for anyway.
        live confirm: Duration = default("700ms") in "0ms" to "60s";
        /// Age of the oldest unanswered request that makes an endpoint suspect, if it is above five times its p99 as well.
        /// Too low: slow commands raise suspicion. Too high: a freeze under load shows later than it could.
        /// Default 500ms: as the probe's timeout.
        live oldest_unanswered: Duration = default("500ms") in "10ms" to "60s";
    }
}

section! {
    /// Looking ahead: what runs out, when, and what to do about it. It predicts exhaustion (memory, connections, disk, CPU,
    /// the host's memory), not crashes.
    Risk {
        /// How far to go when the primary is at risk: "observe" writes down what would be done; "prepare" makes stale reads
        /// ready and lets writes wait for a mirror; "switch" also moves the primary role, when a mirror would last longer.
        /// Default "observe": look at what it would have done before you let it.
        live policy: RiskPolicy = default("observe");
        /// Time between two looks. The horizons are 5, 15 and 30 of these steps.
        /// Too low: trends are noise. Too high: what fills within few steps is seen too late.
        /// Default 60s: horizons of 5, 15 and 30 minutes.
        live step: Duration = default("60s") in "1s" to "10min";
        /// Probability of running out within a horizon, in percent, from which the store counts as at risk; the same for
        /// each horizon. It ceases to be at 0.6 of that.
        /// Too low: false alarms, which cost slower writes. Too high: less time to act. docs/risk.md has a table of both.
        /// When it is unset: the levels that were measured when the model was trained, one for each horizon, at about one
        /// false alarm a day and store; 50 for a model from a file that states none.
        live threshold_percent: Option<u32> = optional(50) in 1 to 99;
        /// Who judges: "both", the greater of rule and model counts; "rule", no model is asked; "model", the rule is left
        /// out, which is for comparing the two: nothing is foreseen then when the model says nothing.
        /// Default "both": each sees what the other one doesn't.
        live judges: RiskJudges = default("both");
        /// A file (ONNX) with another model for the features of models/features.toml. One that does not keep to them is
        /// refused with the reason: at the start, and by a reload, which keeps the one in use.
        /// When it is unset: the model that comes with the program.
        live model: Option<PathBuf> = optional("models/store.onnx");
        /// Least time between two switchovers for a risk. Orders and failovers don't wait for it.
        /// Too low: the role goes back and forth between two servers in trouble. Too high: a real need waits.
        /// Default 10min: longer than a mirror takes to be whole again, shorter than an operator needs to come.
        live cooldown: Duration = default("10min") in "0s" to "24h";
        /// "on": what was seen, foretold and done in each step is written to CSV files in state_dir/record, for learning
        /// this store's own ways and for looking back; docs/record.md describes them. "off": nothing is written.
        /// Default "on": a history that was not kept can't be made up later.
        fixed record: Recording = default("on");
        /// Most bytes of these files, all of the store's together. The oldest eighth goes when there is no more room.
        /// Too low: nothing older than yesterday to learn from. Too high: a disk that has better uses.
        /// Default 64MiB: some seven weeks of three servers at a step of a minute.
        fixed record_max: ByteSize = default("64MiB") in "256KiB" to "64GiB";
    }
}

/// Whether steps are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// They are.
    On,
    /// They are not.
    Off,
}

choice!(Recording { "on" => Recording::On, "off" => Recording::Off });

/// Who judges how likely the primary runs out of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskJudges {
    /// Rule and model: the greater counts.
    Both,
    /// The rule alone.
    Rule,
    /// The model alone.
    Model,
}

choice!(RiskJudges {
    "both" => RiskJudges::Both,
    "rule" => RiskJudges::Rule,
    "model" => RiskJudges::Model,
});

/// How far to go when the primary is at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskPolicy {
    /// Write down what would be done.
    Observe,
    /// Make ready.
    Prepare,
    /// Move the primary role, if that helps.
    Switch,
}

choice!(RiskPolicy {
    "observe" => RiskPolicy::Observe,
    "prepare" => RiskPolicy::Prepare,
    "switch" => RiskPolicy::Switch,
});

section! {
    /// The right to use the primary. It ends by itself, so that a sidecar that was paused or cut off stops in time.
    /// A failover waits for the last one that was given: these times are part of every outage.
    LeaseTiming {
        /// How long one lease lasts.
        /// Too low: a short stall of this process stops writes. Too high: a failover after a freeze takes that much longer.
        /// Default 2s: the shortest that an ordinary stall of a busy machine does not use up.
        fixed ttl: Duration = default("2s") in "200ms" to "60s";
        /// Taken off the end: no reply is acknowledged in the last part of a lease.
        /// Too low: a pause between the check and the bytes leaving could acknowledge too late. Too high: usable time is lost.
        /// Default 150ms: three times the longest stall that goes unchecked (50 ms).
        fixed guard: Duration = default("150ms") in "1ms" to "10s";
        /// Writes stop being sent this long before replies stop being acknowledged, so that replies can still come.
        /// Too low: writes sent at the end are in doubt. Too high: usable time is lost.
        /// guard + send_margin must be below ttl.
        /// Default 250ms: far above the time of a reply.
        fixed send_margin: Duration = default("250ms") in "0ms" to "10s";
        /// How often it is renewed. At most half of ttl, so that one renewal may fail, and below
        /// ttl - guard - send_margin, or writes would stop between two renewals.
        /// Too low: wakes the process for nothing. Too high: one late renewal stops writes.
        /// Default 667ms: a third of ttl, so two may fail.
        fixed renew: Duration = default("667ms") in "10ms" to "30s";
    }
}

impl LeaseTiming {
    /// The same for the engines.
    #[must_use]
    pub fn times(&self) -> LeaseTimes {
        LeaseTimes { ttl: self.ttl, guard: self.guard, send_margin: self.send_margin, renew: self.renew }
    }
}
