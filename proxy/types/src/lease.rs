//! The right to use a store's primary, which ends by itself.

use std::time::Duration;

use crate::{BootInstant, Epoch};

/// The lengths of PROTOCOL 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// TTL_w: how long one grant lasts.
    pub ttl: Duration,
    /// G: taken off by the holder, for the time between its check and the bytes leaving the process.
    pub guard: Duration,
    /// W_max: writes stop being *sent* this long before replies stop being *forwarded*.
    pub send_margin: Duration,
    /// How often the issuer renews; a third of `ttl` by default.
    pub renew: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(2),
            guard: Duration::from_millis(150),
            send_margin: Duration::from_millis(250),
            renew: Duration::from_millis(667),
        }
    }
}

/// A short lease bound to an epoch (PROTOCOL 3.4, rule 2: deadlines are monotonic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The epoch that it is good for.
    pub epoch: Epoch,
    /// From here on nothing more is sent to the primary.
    pub send_until: BootInstant,
    /// From here on no reply of the primary is acknowledged.
    pub acknowledge_until: BootInstant,
}

impl Lease {
    /// A lease granted at `now`.
    #[must_use]
    pub fn grant(epoch: Epoch, now: BootInstant, times: &LeaseTimes) -> Self {
        let acknowledge_until = now + times.ttl - times.guard;
        Self { epoch, send_until: acknowledge_until - times.send_margin, acknowledge_until }
    }

    /// Whether a request may be sent under `epoch` at `now`.
    #[must_use]
    pub fn may_send(&self, epoch: Epoch, now: BootInstant) -> bool {
        self.epoch == epoch && now < self.send_until
    }

    /// Whether a reply to a request sent under `epoch` may be acknowledged at `now`.
    #[must_use]
    pub fn may_acknowledge(&self, epoch: Epoch, now: BootInstant) -> bool {
        self.epoch == epoch && now < self.acknowledge_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_exactly_at_its_deadlines_and_never_covers_another_epoch() {
        let times = LeaseTimes::default();
        let start = BootInstant::from_nanos(1_000_000_000);
        let lease = Lease::grant(Epoch(4), start, &times);
        let nano = Duration::from_nanos(1);
        assert_eq!(lease.acknowledge_until, start + Duration::from_millis(1850));
        assert_eq!(lease.send_until, start + Duration::from_millis(1600));
        assert!(lease.may_send(Epoch(4), lease.send_until - nano));
        assert!(!lease.may_send(Epoch(4), lease.send_until));
        assert!(lease.may_acknowledge(Epoch(4), lease.acknowledge_until - nano));
        assert!(!lease.may_acknowledge(Epoch(4), lease.acknowledge_until));
        assert!(!lease.may_send(Epoch(5), start) && !lease.may_acknowledge(Epoch(3), start));
    }
}
