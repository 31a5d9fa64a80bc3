//! The wall clock, which third parties share with us, and which may step.

use std::time::Duration;

use foretoken_types::BootInstant;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// So much later.
    #[must_use]
    pub fn after(self, life: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time left until `later`; zero when it has passed.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// One moment on both clocks, read together by the caller: our own deadlines rest on `boot`, which never steps; what
/// third parties check rests on `wall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// This machine's clock.
    pub boot: BootInstant,
    /// Everybody's clock.
    pub wall: UnixMillis,
}

/// By how much the wall clocks of two machines may differ before a token is misjudged (PROTOCOL 3.4, rule 2).
///
/// Nothing that must not happen rests on it: a right to write ends by the holder's own clock and by the epoch.
pub const SKEW: Duration = Duration::from_millis(500);
