//! What the data plane tells the control plane.

use crate::{Operation, Sample, StoreId};

/// An item of the one channel that leads up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What happened at one endpoint in one interval.
    Sample(Sample),
    /// A data thread obeys a hold: it admits nothing that the hold keeps, and nothing of that kind is outstanding.
    Held {
        /// The store that is held.
        store: StoreId,
        /// Which data thread answers, counted from 0.
        thread: usize,
        /// The order that is answered.
        operation: Operation,
        /// Writes that were outstanding and were declared in doubt (the fence of a failover); 0 after a drain.
        in_doubt: u64,
    },
}
