//! Read your writes: which mirror is known to have all that a session has written.

use std::cell::Cell;
use std::rc::Rc;

use crate::durable::Asker;

/// The writes of one session.
#[derive(Default)]
pub(crate) struct OwnWrites {
    /// How many there were.
    count: Cell<u64>,
    /// So many of them are at the mirror of this number.
    at: Cell<Option<(u64, usize)>>,
    /// A mirror is being waited for.
    asking: Cell<bool>,
}

impl OwnWrites {
    /// One is about to be sent.
    pub(crate) fn wrote(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// Whether the mirror `endpoint` is known to have all of them.
    pub(crate) fn are_at(&self, endpoint: usize) -> bool {
        self.count.get() == 0 || self.at.get() == Some((self.count.get(), endpoint))
    }

    /// A mirror was found to have the first `count`.
    fn arrived(&self, count: u64, endpoint: usize) {
        self.at.set(Some((count, endpoint)));
    }

    /// One has been executed: finds out when a mirror has it, one question at a time, until one has or the session ends. In
    /// another epoch that is a mirror of the other primary, and the session sees what that one has.
    pub(crate) fn follow(self: &Rc<Self>, asker: &Rc<Asker>) {
        if self.asking.replace(true) {
            return;
        }
        let (own, asker) = (Rc::clone(self), Rc::clone(asker));
        tokio::task::spawn_local(async move {
            while Rc::strong_count(&own) > 1 {
                let (count, epoch) = (own.count.get(), asker.epoch());
                match asker.mirror_with_all(epoch).await {
                    Some(endpoint) => own.arrived(count, endpoint),
                    // That was the change to wait for.
                    None if asker.epoch() != epoch => {}
                    None if asker.another_posture().await => {}
                    None => break,
                }
                if own.at.get().is_some_and(|(at, _)| at == own.count.get()) {
                    break;
                }
            }
            own.asking.set(false);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_them_only_up_to_the_next_write() {
        let own = OwnWrites::default();
        assert!(own.are_at(0) && own.are_at(1), "there are none");
        own.wrote();
        assert!(!own.are_at(0));
        own.arrived(1, 1);
        assert!(own.are_at(1) && !own.are_at(0), "only that mirror was asked");
        own.wrote();
        assert!(!own.are_at(1));
        own.arrived(1, 1);
        assert!(!own.are_at(1), "an old answer");
    }
}
