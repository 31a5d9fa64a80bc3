//! Phi-accrual over the arrival of replies (Hayashibara et al., "The phi accrual failure detector", 2004, eq. 4): how
//! surprising the present silence is, as minus the decimal logarithm of its probability.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_types::BootInstant;

/// Gaps that are remembered.
const WINDOW: usize = 200;
/// Fewer gaps tell nothing.
const LEAST: usize = 5;
/// A sender as regular as ours (samples each 100 ms) would otherwise make a delay of milliseconds look like a death.
const SIGMA_FLOOR: f64 = 0.050;
/// A longer gap was an absence of traffic, not a slow store.
const GAP_MOST: Duration = Duration::from_secs(5);

/// Gaps between samples that brought replies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phi {
    gaps: VecDeque<f64>,
    last: Option<BootInstant>,
}

impl Phi {
    /// Replies came at `now`.
    pub(crate) fn arrived(&mut self, now: BootInstant) {
        if let Some(last) = self.last.filter(|last| now.since(*last) <= GAP_MOST) {
            if now <= last {
                return;
            }
            self.gaps.push_back(now.since(last).as_secs_f64());
            if self.gaps.len() > WINDOW {
                self.gaps.pop_front();
            }
        }
        self.last = Some(now);
    }

    /// Phi of the silence until `now`; 0 as long as too little is known.
    #[expect(clippy::cast_precision_loss, reason = "at most 200 gaps")]
    pub(crate) fn phi(&self, now: BootInstant) -> f64 {
        let Some(last) = self.last.filter(|_| self.gaps.len() >= LEAST) else { return 0.0 };
        let count = self.gaps.len() as f64;
        let mean = self.gaps.iter().sum::<f64>() / count;
        let variance = self.gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let z = (now.since(last).as_secs_f64() - mean) / variance.sqrt().max(SIGMA_FLOOR);
        // Logistic approximation of the normal tail (Bowling et al. 2009), as in Akka's and Cassandra's detectors.
        let e = (-z * (1.5976 + 0.070_566 * z * z)).exp();
        let tail = if z > 0.0 { e / (1.0 + e) } else { 1.0 - 1.0 / (1.0 + e) };
        if tail > 0.0 { -tail.log10() } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn silence_becomes_suspicious_only_with_enough_gaps_and_time() {
        let mut phi = Phi::default();
        for k in 0..5 {
            phi.arrived(at(k * 100));
        }
        assert_eq!(phi.phi(at(10_000)), 0.0, "four gaps are too few");
        phi.arrived(at(500));
        assert!(phi.phi(at(600)) < 1.0);
        assert!(phi.phi(at(800)) < 8.0);
        assert!(phi.phi(at(900)) >= 8.0);
        assert!(phi.phi(at(3_600_000)) >= 8.0, "never NaN");
    }

    #[test]
    fn pauses_of_the_application_do_not_widen_the_expectation() {
        let mut phi = Phi::default();
        for k in 0..1000 {
            phi.arrived(at(k * 100 + (k / 100) * 60_000));
        }
        assert_eq!(phi.gaps.len(), WINDOW);
        assert!(phi.phi(phi.last.unwrap_or_default() + Duration::from_millis(400)) >= 8.0);
    }
}
