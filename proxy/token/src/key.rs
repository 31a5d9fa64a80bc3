//! One Ed25519 key and what it is for.

use std::fmt;

use ed25519_dalek::ed25519::signature::Signer as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{Error, KeyId, Result, random};

/// Which of the two forms a token has. Each has keys of its own, so that no signature of the one can pass for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// [`crate::compact`], between our own processes.
    Compact,
    /// [`crate::paseto`], for everybody else.
    Paseto,
}

impl Form {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Compact, Self::Paseto];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Paseto => "paseto",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret key. It prints as its id, and its bytes are wiped when it goes.
pub struct SigningKey {
    form: Form,
    id: KeyId,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn generate(form: Form) -> Result<Self> {
        let seed = Zeroizing::new(random::bytes()?);
        Self::from_seed(form, &seed)
    }

    /// The key of this seed (RFC 8032, 5.1.5).
    ///
    /// # Errors
    /// [`Error::BadKey`] for 32 zeros, which are nobody's secret.
    pub fn from_seed(form: Form, seed: &[u8; 32]) -> Result<Self> {
        if seed == &[0; 32] {
            return Err(Error::BadKey);
        }
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        Ok(Self { form, id: id(form, key.verifying_key().as_bytes()), key })
    }

    /// What it is for.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey { form: self.form, id: self.id, key: self.key.verifying_key() }
    }

    pub(crate) fn for_form(&self, form: Form) -> Result<&Self> {
        if self.form == form { Ok(self) } else { Err(Error::OtherForm { found: self.form }) }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// Seed and public key, as PASETO wants them.
    pub(crate) fn pair(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.key.to_keypair_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {}, ***)", self.form, self.id)
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    form: Form,
    id: KeyId,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`] when they are no point of the curve, or one under which anybody can sign.
    pub fn from_bytes(form: Form, bytes: &[u8; 32]) -> Result<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Error::BadKey)?;
        if key.is_weak() {
            return Err(Error::BadKey);
        }
        Ok(Self { form, id: id(form, bytes), key })
    }

    /// What it is for.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Strict: no signature has a second spelling, and no weak key passes.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

fn id(form: Form, public: &[u8; 32]) -> KeyId {
    let hash = Sha256::new()
        .chain_update(b"foretoken key id v1\0")
        .chain_update([form as u8])
        .chain_update(public)
        .finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    KeyId(id)
}

#[cfg(test)]
mod tests;
