//! Who may ask for tokens, and the keys that sign them.

use std::path::PathBuf;
use std::time::Duration;

use foretoken_types::{BlockId, StoreId};

use crate::section::section;
use crate::value::{CertificateHash, choice};

section! {
    /// The tokens that the API gives.
    Token {
        /// How long a key signs before the next one takes its turn. The next one is published 30 s before, and the last one
        /// is good for as long as its last token.
        /// Too low: whoever verifies tokens must read the keys often. Too high: a stolen key is good for long.
        /// Default 24h: a key that leaks unseen is worth a day at most.
        fixed key_life: Duration = default("24h") in "1min" to "8760h";
    }
}

section! {
    /// An application that may ask for tokens, how it is recognised and what it may have. Without this table, whoever may
    /// change things here (the socket's owner, the bearer secret) asks for any service, and may have all of every store.
    /// With it, such an operator acts for these services only, and each of them gets what stands here.
    Service {
        /// Its name, the serviceId of the API: 1 to 63 of a-z, 0-9 and -.
        live name: StoreId = required("checkout");
        /// File of the secret that it sends as `Authorization: Bearer ...`: one line of 32 or more printable characters,
        /// mode 0600.
        live secret_file: Option<PathBuf> = optional("checkout.secret");
        /// SHA-256 of the certificate that it shows on admin.listen, as `openssl x509 -noout -fingerprint -sha256` prints
        /// it. Needs admin.tls with a client_ca_file. Its tokens are bound to that certificate.
        live certificate_sha256: Option<CertificateHash> =
            optional("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
        /// The user that it runs as, recognised at the Unix socket, which is then open to all users of this machine
        /// (mode 0666): who is neither the operator nor a service is turned away there.
        live uid: Option<u32> = optional(1001);
        /// What it may have. At least one.
        live grant: Vec<ServiceGrant> = tables;
    }
}

section! {
    /// A part of a store, and what the service may do with it.
    ServiceGrant {
        /// Which store.
        live store: StoreId = required("cache");
        /// Which block of it; "*" is all of it. Default "*": a store of one application needs no blocks.
        live block: BlockId = default("*");
        /// What it may do: "read", "write", "admin" (commands that govern the store), "queue" (let writes wait while there
        /// is no primary). Default: what an application does.
        live access: Vec<Right> = default(["read", "write", "queue"]);
    }
}

/// One right to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Ask for data.
    Read,
    /// Change data.
    Write,
    /// Govern the store.
    Admin,
    /// Let writes wait.
    Queue,
}

choice!(Right {
    "read" => Right::Read,
    "write" => Right::Write,
    "admin" => Right::Admin,
    "queue" => Right::Queue,
});
