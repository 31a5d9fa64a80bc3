//! What the machine is told once.

use std::time::Duration;

use foretoken_types::{EndpointId, InstanceId, LeaseTimes, StoreId, WriteConcern, Writers};

use crate::event::Settings;

/// Each of two clocks runs at most so much too fast or too slow (PROTOCOL 4); quartz is a hundred times better.
const CLOCK_RATE_ERROR: f64 = 0.005;

/// Settings of one store's machine.
#[derive(Clone, Debug)]
pub struct Params {
    /// The store.
    pub store: StoreId,
    /// This sidecar, as it signs owner records.
    pub instance: InstanceId,
    /// The endpoints; the first is the primary of the very first start.
    pub endpoints: Vec<EndpointId>,
    /// How many data threads answer a hold.
    pub threads: usize,
    /// Who else writes.
    pub writers: Writers,
    /// When writes are acknowledged.
    pub durability: WriteConcern,
    /// Why roles are never to be changed, when they are not.
    pub follow: Option<String>,
    /// Lengths of leases.
    pub lease: LeaseTimes,
    /// How long a planned switchover may hold writes until it is given up.
    pub hold_deadline: Duration,
    /// For how long the primary itself is told to let writes wait; longer than the hold.
    pub pause: Duration,
    /// Lag up to which a planned switchover begins, and up to which a mirror that came back counts as caught up.
    pub lag_bytes_max: u64,
    /// Lag in time up to which a planned switchover begins.
    pub lag_max: Duration,
    /// How long an owner record lasts.
    pub owner_life: Duration,
    /// How often it is renewed.
    pub owner_renew: Duration,
    /// A look that is older tells nothing of the present.
    pub fresh: Duration,
    /// Pause before something that failed is tried again.
    pub retry: Duration,
    /// How long the mirrors have to tell their positions after the loss of a primary.
    pub choice_deadline: Duration,
    /// How long a lost primary has to obey its demotion before a mirror is promoted.
    pub fence_deadline: Duration,
    /// δ of PROTOCOL 4: for what lies between reading a clock and acting on it.
    pub fence_margin: Duration,
    /// Safety rules that hold.
    #[cfg(feature = "unsafe-rules")]
    pub rules: Rules,
}

impl Params {
    /// The defaults of PROTOCOL 12.
    #[must_use]
    pub fn new(store: StoreId, instance: InstanceId, endpoints: Vec<EndpointId>, threads: usize) -> Self {
        Self {
            store,
            instance,
            endpoints,
            threads,
            writers: Writers::default(),
            durability: WriteConcern::Asynchronous,
            follow: None,
            lease: LeaseTimes::default(),
            hold_deadline: Duration::from_millis(1500),
            pause: Duration::from_secs(5),
            lag_bytes_max: 1024 * 1024,
            lag_max: Duration::from_secs(1),
            owner_life: Duration::from_secs(10),
            owner_renew: Duration::from_secs(3),
            // Two probes that time out, and some.
            fresh: Duration::from_millis(1500),
            retry: Duration::from_millis(250),
            choice_deadline: Duration::from_millis(300),
            fence_deadline: Duration::from_millis(100),
            fence_margin: Duration::from_millis(50),
            #[cfg(feature = "unsafe-rules")]
            rules: Rules::default(),
        }
    }

    /// Takes over settings that may change.
    pub fn configure(&mut self, settings: Settings) {
        let Settings { writers, durability, hold_deadline, pause, lag_bytes_max, lag_max } = settings;
        self.durability = durability;
        (self.writers, self.hold_deadline, self.pause) = (writers, hold_deadline, pause);
        (self.lag_bytes_max, self.lag_max) = (lag_bytes_max, lag_max);
    }

    /// From the grant of a lease to the moment from which no holder, on whatever clock, may acknowledge by it.
    #[must_use]
    pub fn fence_wait(&self) -> Duration {
        self.by_any_clock(self.lease.ttl)
    }

    /// What must go by here until `length` has gone by on every clock.
    pub(crate) fn by_any_clock(&self, length: Duration) -> Duration {
        length.mul_f64((1.0 + CLOCK_RATE_ERROR) / (1.0 - CLOCK_RATE_ERROR)) + self.fence_margin
    }

    #[cfg(feature = "unsafe-rules")]
    pub(crate) const fn rules(&self) -> Rules {
        self.rules
    }

    #[cfg(not(feature = "unsafe-rules"))]
    #[expect(clippy::unused_self, reason = "the other build reads it")]
    pub(crate) fn rules(&self) -> Rules {
        Rules::default()
    }
}

/// Safety rules. All of them hold, but in the test-only build that can switch them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A mirror is promoted in a planned switchover only when its data is equal.
    pub equality: bool,
    /// The primary lets writes wait while the mirror becomes equal.
    pub pause: bool,
    /// Nobody is promoted while a lease of the old epoch may live.
    pub lease_wait: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { equality: true, pause: true, lease_wait: true }
    }
}
