//! Who is known beside the owner of the socket and the bearer of the admin secret.

use foretoken_token::Fingerprint;

use crate::secret::Secret;

/// Those whom the configuration names. Replaced as a whole when the configuration is read again.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Applications that get tokens, each for itself.
    pub services: Vec<ServiceDoor>,
    /// Certificates of operators. Where neither these nor services are named, every certificate of the clients' CA is one.
    pub operators: Vec<Fingerprint>,
}

/// How a service of the configuration is recognised; by any of these.
#[derive(Clone, Debug, Default)]
pub struct ServiceDoor {
    /// Its name.
    pub name: String,
    /// What it sends as `Authorization: Bearer ...`.
    pub secret: Option<Secret>,
    /// Its certificate.
    pub certificate: Option<Fingerprint>,
    /// The user that it runs as, at the Unix socket.
    pub uid: Option<u32>,
}

impl Doors {
    /// Whether nobody is named: then there is no difference between certificates of the clients' CA.
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.operators.is_empty()
    }

    pub(super) fn service(&self, is: impl Fn(&ServiceDoor) -> bool) -> Option<&ServiceDoor> {
        self.services.iter().find(|door| is(door))
    }
}
