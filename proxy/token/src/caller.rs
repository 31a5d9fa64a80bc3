//! Who asks for a token, and what the configuration lets them have.

use foretoken_types::StoreId;

use crate::{Access, Block, Fingerprint, ServiceId};

/// What a service may have of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Of which store.
    pub store: StoreId,
    /// Of which part of it.
    pub block: Block,
    /// To do what. Without `queue` writes are refused at once while there is no primary.
    pub access: Access,
}

/// A caller as the edge recognised it: by the uid of a Unix socket's peer, by a certificate or by a bearer secret. Never by
/// the id of a token, which stands in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Which service it is.
    pub service: ServiceId,
    /// What the configuration gives that service.
    pub grants: Vec<Grant>,
    /// What its tokens are bound to: its certificate or its connection. `None`: its tokens are good for whoever has them.
    pub holder: Option<Fingerprint>,
}

impl Caller {
    /// What it may do with all of `block`.
    #[must_use]
    pub fn may(&self, store: &StoreId, block: &Block) -> Access {
        self.grants
            .iter()
            .filter(|grant| grant.store == *store && grant.block.covers(block))
            .fold(Access::NONE, |access, grant| access | grant.access)
    }
}

#[cfg(test)]
mod tests;
