//! Tokens: what each tier may do, the two signed forms, keys, verifying and issuing (PROTOCOL 3.2 to 3.4).
//!
//! A token is a lease that can be shown to somebody: what its holder may do with which part of a store, in one epoch, for
//! seconds. T1 (temporary) is given in advance, so that there is one in hand when nobody is left to ask.
//! [`Issuer`] decides who gets which and remembers them, [`Keyring`] holds the keys that take turns, [`compact`] and
//! [`paseto`] write and read the two forms, and [`Verifier`] says whether a token is good here and now, or in a [`Refusal`]
//! why not and what to do.
//!
//! What this crate is *not* for: sockets, files and clocks (a [`Now`] is passed in, bytes are handed out), and the lease of
//! the data path, which is a `foretoken_types::Lease` and needs no signature.
//!
//! ```
//! use foretoken_token::*;
//! use foretoken_types::{BootInstant, Epoch, StoreId, StoreState};
//!
//! # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let now = Now { boot: BootInstant::from_nanos(1), wall: UnixMillis(1_760_000_000_000) };
//! let mut keys = Keyring::new(Rotation::default());
//! keys.ensure(now.wall)?;
//!
//! let orders = StoreId::from("orders");
//! let grant = Grant { store: orders.clone(), block: Block::ALL, access: Access::READ | Access::QUEUE };
//! let caller = Caller { service: ServiceId::from("checkout"), grants: vec![grant], holder: None };
//! let view = StoreView {
//!     store: orders.clone(),
//!     situation: Situation { state: StoreState::AtRisk, validated: false },
//!     epoch: Epoch(7),
//!     primary: Some("redis-a".into()),
//!     leadership: Some(Leadership { generation: 1, until: BootInstant::from_nanos(u64::MAX) }),
//! };
//! let request = Request { block: Block::ALL, access: Access::READ | Access::QUEUE, form: Form::Paseto };
//! let mut issuer = Issuer::new(Lives::default());
//! let claims = issuer.issue_predictive(&caller, &request, &view, now)?.ok_or("the store is healthy")?;
//! let token = paseto::seal(&claims, keys.signing(Form::Paseto, now.wall)?)?;
//!
//! let mut verifier = Verifier::new(orders, Epoch(7));
//! let read = Use { service: &caller.service, holder: None, target: Target::Key(b"order:17"), access: Access::READ };
//! let presented = Presented::Paseto(&token);
//! let public = keys.public();
//! assert!(verifier.verify(presented, &read, &public, issuer.revocations(), now.wall).is_ok());
//! issuer.revoke(claims.id, now);
//! let again = verifier.verify(presented, &read, &public, issuer.revocations(), now.wall);
//! assert_eq!(again, Err(Refusal::Revoked));
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: no token gives more than its tier may, nor more than its lineage was first promised; nothing but the id of the
//! key is read from a token before its signature is verified; a token of an epoch that is not in force is good for nothing;
//! an id is never a credential; everything that grows has a bound.
#![warn(missing_docs)]

mod access;
mod block;
mod caller;
mod claims;
pub mod compact;
mod error;
mod issue;
mod key;
mod keys;
mod names;
pub mod paseto;
mod public_keys;
mod random;
mod refusal;
mod revoked;
#[cfg(test)]
mod testing;
mod tier;
mod verify;
mod wall;

pub use access::{Access, UnknownRight};
pub use block::{BadBlock, Block, MAX_PREFIX};
pub use caller::{Caller, Grant};
pub use claims::{BadClaims, Claims, MAX_NAME, VERSION};
pub use error::{Error, Result};
pub use issue::{
    Denied, Issuer, Leadership, MAX_TOKENS, MAX_TOKENS_PER_SERVICE, Request, Saved, Status, StoreView,
};
pub use key::{Form, SigningKey, VerifyingKey};
pub use keys::{Keyring, Rotation};
pub use names::{Fingerprint, KeyId, NotHex, ServiceId, TokenId};
pub use public_keys::{MAX_KEYS, PublicKey, PublicKeys, PublishedKey};
pub use refusal::Refusal;
pub use revoked::{MAX_REVOCATIONS, Revocations};
pub use tier::{Lives, ReadsFrom, Situation, Tier, UnknownTier};
pub use verify::{CACHE_CAPACITY, Presented, Target, Use, Verifier};
pub use wall::{Now, SKEW, UnixMillis};
