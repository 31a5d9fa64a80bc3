//! Tokens: what each tier may do, the two signed forms, keys, verifying and issuing.
#![warn(missing_docs)]

mod access;
mod block;
mod claims;
pub mod compact;
mod error;
mod key;
mod keys;
mod names;
pub mod paseto;
mod public_keys;
mod random;
mod refusal;
#[cfg(test)]
mod testing;
mod tier;
mod wall;

pub use access::{Access, UnknownRight};
pub use block::{BadBlock, Block, MAX_PREFIX};
pub use claims::{BadClaims, Claims, MAX_NAME, VERSION};
pub use error::{Error, Result};
pub use key::{Form, SigningKey, VerifyingKey};
pub use keys::{Keyring, Rotation};
pub use names::{Fingerprint, KeyId, NotHex, ServiceId, TokenId};
pub use public_keys::{MAX_KEYS, PublicKey, PublicKeys, PublishedKey};
pub use refusal::Refusal;
pub use tier::{Lives, ReadsFrom, Situation, Tier, UnknownTier};
pub use wall::{Now, SKEW, UnixMillis};
