//! The one clock.

use foretoken_types::{BootInstant, Clock};
use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started, suspended time included: `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> BootInstant {
        let now = clock_gettime(ClockId::Boottime);
        // Neither is negative: the clock starts at 0 with the machine.
        let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        BootInstant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}
