//! Round after round, each from a seed of its own, for as long as there is time.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// `FORETOKEN_SEED` is the first seed, `FORETOKEN_SECONDS` how long rounds begin.
pub(crate) struct Rounds {
    first: u64,
    seed: u64,
    until: Instant,
}

/// What `make test` has time for.
const SECONDS: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

impl Rounds {
    pub(crate) fn begin() -> Self {
        let first = number("FORETOKEN_SEED").unwrap_or(1);
        let time = Duration::from_secs(number("FORETOKEN_SECONDS").unwrap_or(SECONDS));
        Self { first, seed: first, until: Instant::now() + time }
    }

    /// The seed of the next round.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let seed = self.seed;
        self.seed += 1;
        // One is always run, so that a test can't pass without having done anything.
        (seed == self.first || Instant::now() < self.until).then_some(seed)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, seeds {} to {}",
            self.seed - self.first - 1,
            self.first,
            self.seed.saturating_sub(2)
        )
    }
}
