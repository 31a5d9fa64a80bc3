//! What is wrong, said once: why a store is not served, why an endpoint can't be looked at, what it needs help with, and who
//! is in charge.
//!
//! All are found anew with every look, four times a second. The log has them when they begin, when they change and when
//! they are over.

use std::time::Duration;

use foretoken_protocol::Refused;
use foretoken_types::{Authority, BootInstant, EndpointId, Failure, HoldScope, StoreId};

use super::engine::Engine;
use super::status;
use crate::check::trouble;

/// A store that is not served for a shorter time is told by the changes of its state: a failover, a start.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two lines about the same thing, at least.
const AGAIN: Duration = Duration::from_secs(5);

/// What was said of one thing.
#[derive(Debug)]
pub(super) struct Trouble {
    /// How long it must last to be news.
    settle: Duration,
    /// Since when it lasts.
    since: Option<BootInstant>,
    /// What was said last, and when.
    told: Option<(String, BootInstant)>,
    /// Whether its end would be news.
    open: bool,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// That is wrong, or something else than before is.
    Wrong,
    /// Nothing is any more.
    Over,
}

impl Trouble {
    /// Of a store, which is not served at first: that it is will be news.
    pub(super) const fn of_store() -> Self {
        Self { settle: SETTLE, since: None, told: None, open: true }
    }

    /// Of an endpoint, which is well until a look says otherwise.
    pub(super) const fn of_endpoint() -> Self {
        Self { settle: Duration::ZERO, since: None, told: None, open: false }
    }

    /// Takes in what is wrong `now`; `None`: nothing.
    fn news(&mut self, why: Option<&str>, now: BootInstant) -> Option<News> {
        let Some(why) = why else {
            self.since = None;
            return std::mem::take(&mut self.open).then_some(News::Over);
        };
        let since = *self.since.get_or_insert(now);
        let due = self.told.as_ref().is_none_or(|(told, at)| {
            let is_new = !self.open || told != why;
            is_new && now.since(*at) >= AGAIN
        });
        if !due || now.since(since) < self.settle {
            return None;
        }
        self.told = Some((why.to_owned(), now));
        self.open = true;
        Some(News::Wrong)
    }

    /// Logs what keeps an endpoint from being looked at, where a verdict on its health does not tell it.
    pub(super) fn looked(
        &mut self,
        store: &StoreId,
        id: &EndpointId,
        refused: Option<&Refused>,
        now: BootInstant,
    ) {
        let why = match refused {
            None => None,
            Some(refused) => match refused.failure {
                Failure::Credentials | Failure::OpenFiles | Failure::Other => Some(trouble(refused)),
                _ => return,
            },
        };
        match (self.news(why.as_deref(), now), why) {
            (Some(News::Wrong), Some(why)) => {
                tracing::warn!(%store, endpoint = %id, %why, "an endpoint can't be looked at");
            }
            (Some(News::Over), _) => {
                tracing::info!(%store, endpoint = %id, "the endpoint can be looked at again");
            }
            _ => {}
        }
    }

    /// Logs what an endpoint needs help with.
    pub(super) fn warned(&mut self, store: &StoreId, id: &EndpointId, why: Option<String>, now: BootInstant) {
        match (self.news(why.as_deref(), now), why) {
            (Some(News::Wrong), Some(why)) => {
                tracing::warn!(%store, endpoint = %id, %why, "an endpoint needs help");
            }
            (Some(News::Over), _) => {
                tracing::info!(%store, endpoint = %id, "the endpoint needs no help any more");
            }
            _ => {}
        }
    }
}

impl Engine {
    /// Logs who is in charge when that is another than before. It is not known for a moment whenever roles are found out.
    pub(super) fn tell_authority(&mut self) {
        let authority = self.machine.authority();
        if *authority == Authority::Undecided || *authority == self.in_charge {
            return;
        }
        let before = std::mem::replace(&mut self.in_charge, authority.clone());
        let store = &self.params.store;
        match (&self.in_charge, before) {
            (Authority::Follower(why), _) => tracing::info!(%store, %why, "this sidecar follows"),
            (_, Authority::Follower(before)) => {
                tracing::info!(%store, %before, "this sidecar is in charge from now on");
            }
            _ => tracing::info!(%store, "this sidecar is in charge"),
        }
    }

    /// Logs why the store is not served, and that it is.
    pub(super) fn tell_trouble(&mut self, now: BootInstant) {
        let posture = self.machine.posture();
        // Where only writes wait, a switchover is under way, which says itself how it ends.
        let only_writes = posture.lease.is_some()
            && posture.hold.is_some_and(|hold| hold.scope == HoldScope::Writes && !hold.fence);
        let why = (!status::is_served(posture) && !only_writes)
            .then(|| status::why_not_served(self).unwrap_or_else(|| status::PLANNED.to_owned()));
        let store = &self.params.store;
        match (self.unserved.news(why.as_deref(), now), why) {
            (Some(News::Wrong), Some(why)) => tracing::warn!(
                %store,
                %why,
                help = "`foretoken status` shows each endpoint, `foretoken check --config FILE` tries each and says \
                        what to change; how to promote a mirror by hand stands in docs/operations.md",
                "the store is not served"
            ),
            (Some(News::Over), _) => tracing::info!(
                %store,
                primary = posture.primary.as_ref().map(tracing::field::display),
                epoch = %posture.epoch,
                "the store is served"
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootInstant {
        BootInstant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn a_store_that_is_not_served_for_a_while_is_told_once_and_again_when_the_reason_is_another() {
        let mut trouble = Trouble::of_store();
        let looks = [
            (0, Some("starting"), None),
            (500, Some("two primaries"), None),
            (1999, Some("two primaries"), None),
            (2000, Some("two primaries"), Some(News::Wrong)),
            (2250, Some("two primaries"), None),
            (6999, Some("none answers"), None),
            (7000, Some("none answers"), Some(News::Wrong)),
            (60_000, Some("none answers"), None),
            (60_250, None, Some(News::Over)),
            (60_500, None, None),
            (61_000, Some("none answers"), None),
            (62_999, Some("none answers"), None),
            (63_000, Some("none answers"), Some(News::Wrong)),
        ];
        for (ms, why, expected) in looks {
            assert_eq!(trouble.news(why, at(ms)), expected, "after {ms} ms");
        }
    }

    #[test]
    fn a_store_that_is_served_at_once_says_so_and_a_short_hold_is_no_news() {
        let mut trouble = Trouble::of_store();
        for (ms, why, expected) in [
            (0, Some("starting"), None),
            (300, None, Some(News::Over)),
            (1000, Some("a switchover"), None),
            (2900, Some("a switchover"), None),
            (2950, None, None),
        ] {
            assert_eq!(trouble.news(why, at(ms)), expected, "after {ms} ms");
        }
    }

    #[test]
    fn an_endpoint_that_comes_and_goes_is_told_now_and_then() {
        let mut trouble = Trouble::of_endpoint();
        assert_eq!(trouble.news(None, at(0)), None, "it was well");
        let mut lines = 0;
        for look in 0..240 {
            let why = (look % 2 == 0).then_some("NOAUTH");
            lines += u32::from(trouble.news(why, at(look * 250)).is_some());
        }
        // Each 5 s it begins and is over.
        assert_eq!(lines, 24);
    }
}
