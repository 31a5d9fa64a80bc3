//! Names and numbers that identify things. Bare integers and strings stay inside functions.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes the name as it is; what may be in it is checked where it enters (the configuration).
            #[must_use]
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name!(
    /// One logical data store: a primary and its mirrors.
    StoreId
);
name!(
    /// One server of a store, by the name that the configuration gives it.
    EndpointId
);
name!(
    /// A named part of a store, chosen by key prefix; `*` is all of it.
    BlockId
);
name!(
    /// Where an endpoint stands; a label, compared for equality only.
    Region
);
name!(
    /// One running sidecar, as it signs its owner record. Kept on disk, so a restart is the same instance.
    InstanceId
);

/// A number that grows by one or more with each new primary, and never goes back (PROTOCOL 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one order from the control plane to the data threads (a hold, a fence), so that its answers can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operation(pub u64);

/// A place in a store's change stream, in bytes: `master_repl_offset` of Redis, an LSN of PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Bytes by which `self` is behind `ahead`; 0 when it is not behind.
    #[must_use]
    pub fn lag_behind(self, ahead: Self) -> u64 {
        ahead.0.saturating_sub(self.0)
    }
}
