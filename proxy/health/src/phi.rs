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
        -tail.log10()
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

    /// Arrivals with these gaps, in milliseconds, the first at 0; and when the last was.
    fn with_gaps(gaps: &[u64]) -> (Phi, u64) {
        let mut phi = Phi::default();
        phi.arrived(at(0));
        let mut last = 0;
        for gap in gaps {
            last += gap;
            phi.arrived(at(last));
        }
        (phi, last)
    }

    #[test]
    fn phi_is_what_the_formula_gives() {
        let (regular, last) = with_gaps(&[100; 6]);
        let (uneven, end) = with_gaps(&[100, 300, 100, 300, 100, 300]);
        // The first three with the floor of 50 ms as the deviation, the last with the 100 ms of its gaps.
        for (found, expected) in [
            (regular.phi(at(last + 300)), 4.736_694_6),
            (regular.phi(at(last + 100)), std::f64::consts::LOG10_2),
            (regular.phi(at(last + 50)), 0.075_033_0),
            (regular.phi(at(last + 600)), 37.584_713_1),
            (uneven.phi(at(end + 500)), 2.909_475_3),
        ] {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
        // Both ends: what can't be, and what is long before it is due.
        assert_eq!(regular.phi(at(last + 3_600_000)), f64::INFINITY);
        let (slow, end) = with_gaps(&[5000; 6]);
        assert!(slow.phi(at(end)).abs() < 1e-6, "{}", slow.phi(at(end)));
    }

    #[test]
    fn gaps_of_up_to_five_seconds_count_and_arrivals_in_no_order_do_not() {
        let (longest, _) = with_gaps(&[100, 5000]);
        assert_eq!(longest.gaps.len(), 2);
        let (longer, last) = with_gaps(&[100, 5001]);
        assert_eq!((longer.gaps.len(), longer.last), (1, Some(at(last))));
        let (mut phi, last) = with_gaps(&[100, 100]);
        for earlier in [last, last - 50] {
            phi.arrived(at(earlier));
            assert_eq!((phi.gaps.len(), phi.last), (2, Some(at(last))));
        }
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
