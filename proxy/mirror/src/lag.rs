//! How far a mirror is behind, in bytes and in time.
//!
//! Bytes are a difference of positions. Time needs memory: a mirror that has reached what the primary had at an instant holds
//! all that was written until then, so its data is no older than that instant. Nothing is asked of the store's own clock.

use std::collections::VecDeque;
use std::time::Duration;

use foretoken_types::{BootInstant, Position};

/// Positions that are kept; at [`RESOLUTION`] they reach back for 100 s at least.
const KEPT: usize = 1024;
/// Finer steps are not kept: they are no finer than the looks that they come from.
const RESOLUTION: Duration = Duration::from_millis(100);

/// Distance of a mirror to its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the change stream that it had not received when it was last looked at.
    pub bytes: u64,
    /// Age of its data, at most; time since the last look at the primary is part of it. `None`: older than is remembered.
    pub time: Option<Duration>,
}

/// Where the primary was when. Bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    seen: VecDeque<(BootInstant, Position)>,
}

impl Trail {
    /// The primary was at `position` at `now`. One that went back has lost its past, and the trail begins anew.
    pub(crate) fn push(&mut self, position: Position, now: BootInstant) {
        if let Some((at, last)) = self.seen.back().copied() {
            if position < last || now < at {
                self.seen.clear();
            } else {
                let before = self.seen.len().checked_sub(2).and_then(|index| self.seen.get(index));
                // The younger one replaces the last: a mirror between the two then counts as older than it is, never younger.
                if position == last || before.is_some_and(|(at, _)| now.since(*at) < RESOLUTION) {
                    self.seen.pop_back();
                }
            }
        }
        self.seen.push_back((now, position));
        if self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.seen.clear();
    }

    /// Where the primary was at `at`, between two looks by the mean rate between them: under steady writes a position that
    /// is only a quarter of a second younger would make every mirror look megabytes behind.
    fn at(&self, at: BootInstant) -> Option<Position> {
        let later = self.seen.partition_point(|(seen, _)| *seen <= at);
        let before = later.checked_sub(1).and_then(|index| self.seen.get(index));
        Some(match (before, self.seen.get(later)) {
            (Some((from, low)), Some((to, high))) => {
                let share = at.since(*from).as_secs_f64() / to.since(*from).as_secs_f64();
                let grown = low.lag_behind(*high);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of a distance is no more than the distance"
                )]
                let grown = (grown as f64 * share) as u64;
                Position(low.0.saturating_add(grown))
            }
            (Some((_, position)), None) | (None, Some((_, position))) => *position,
            (None, None) => return None,
        })
    }

    /// The lag of a mirror that was at `position` when it was looked at; `None` when the primary was never seen.
    pub(crate) fn lag(&self, position: Position, looked: BootInstant, now: BootInstant) -> Option<Lag> {
        let bytes = position.lag_behind(self.at(looked)?);
        let reached = self.seen.partition_point(|(_, at)| *at <= position).checked_sub(1);
        let time = reached.and_then(|index| self.seen.get(index)).map(|(at, _)| now.since(*at));
        Some(Lag { bytes, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn lag_in_time_is_the_age_of_the_newest_position_reached() {
        let mut trail = Trail::default();
        assert_eq!(trail.lag(Position(5), at(0), at(0)), None, "no primary was seen");
        for second in 1..=5 {
            trail.push(Position(second * 100), at(second * 1000));
        }
        let lag =
            |position, now| trail.lag(Position(position), at(now), at(now)).map(|lag| (lag.bytes, lag.time));
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(lag(500, 5000), Some((0, ms(0))));
        assert_eq!(lag(501, 5000), Some((0, ms(0))), "ahead of the last look at the primary");
        assert_eq!(lag(499, 5000), Some((1, ms(1000))), "lag 0 -> 1");
        assert_eq!(lag(100, 5000), Some((400, ms(4000))));
        assert_eq!(lag(99, 5000), Some((401, None)), "older than is remembered");
        assert_eq!(lag(500, 65_000), Some((0, ms(60_000))), "the primary was not seen for a minute");
    }

    #[test]
    fn bytes_are_counted_as_of_the_look_at_the_mirror() {
        let mut trail = Trail::default();
        trail.push(Position(1000), at(1000));
        trail.push(Position(2000), at(2000));
        let bytes =
            |position, looked| trail.lag(Position(position), at(looked), at(2000)).map(|lag| lag.bytes);
        assert_eq!(bytes(1500, 1500), Some(0), "it was where the primary was then");
        assert_eq!(bytes(1400, 1500), Some(100));
        assert_eq!(bytes(1500, 2000), Some(500));
        assert_eq!(bytes(900, 500), Some(100), "before the first look at the primary");
        assert_eq!(bytes(1500, 2500), Some(500), "after the last one");
    }

    #[test]
    fn an_idle_primary_does_not_age_its_mirrors() {
        let mut trail = Trail::default();
        for look in 0..100_000 {
            trail.push(Position(7), at(look * 250));
        }
        assert_eq!(trail.seen.len(), 1);
        let lag = trail.lag(Position(7), at(100_000 * 250), at(100_000 * 250)).and_then(|lag| lag.time);
        assert_eq!(lag, Some(Duration::from_millis(250)));
    }

    #[test]
    fn the_trail_is_bounded_whatever_the_rate_of_looks() {
        let mut trail = Trail::default();
        for look in 0..200_000 {
            trail.push(Position(look), at(look));
        }
        assert!(trail.seen.len() <= KEPT);
        let oldest = trail.seen.front().map_or(0, |(_, position)| position.0);
        assert!(oldest < 200_000 - 50_000, "it reaches back for most of a minute and more: {oldest}");
        // Never younger than the truth, which is one millisecond a byte here, and older by the resolution at most.
        for behind in [1, 99, 100, 1234, 40_000] {
            let lag =
                trail.lag(Position(199_999 - behind), at(199_999), at(199_999)).and_then(|lag| lag.time);
            let lag = lag.map_or(u128::MAX, |lag| lag.as_millis());
            assert!((u128::from(behind)..=u128::from(behind) + 101).contains(&lag), "{behind}: {lag}");
        }
    }

    #[test]
    fn a_primary_that_went_back_is_another_past() {
        let mut trail = Trail::default();
        trail.push(Position(1000), at(0));
        trail.push(Position(10), at(1000));
        assert_eq!(trail.lag(Position(1000), at(1000), at(1000)).map(|lag| lag.bytes), Some(0));
        assert_eq!(trail.lag(Position(9), at(1000), at(1000)).and_then(|lag| lag.time), None);
    }
}
