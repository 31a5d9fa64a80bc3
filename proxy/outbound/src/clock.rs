//! Time as one data thread sees it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use foretoken_types::{BootInstant, Clock};

/// The clock, and when it was last looked at.
///
/// What a right is used for, sending and acknowledging, looks at the clock itself. Everything else on the way of a batch lies
/// between two such moments and takes the earlier one.
pub(crate) struct ThreadClock {
    clock: Arc<dyn Clock>,
    last: Cell<BootInstant>,
}

impl ThreadClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Rc<Self> {
        let last = Cell::new(clock.now());
        Rc::new(Self { clock, last })
    }

    /// The present instant.
    pub(crate) fn now(&self) -> BootInstant {
        let now = self.clock.now();
        self.last.set(now);
        now
    }

    /// When this thread last looked: for who has been preceded by a look without having waited since.
    pub(crate) fn just_now(&self) -> BootInstant {
        self.last.get()
    }
}
