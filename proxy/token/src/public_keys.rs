//! The keys that tokens are verified with; what `GET /v1/keys` lists, and what a gate without secrets holds.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};

use crate::{Error, Form, KeyId, Result, SKEW, UnixMillis, VerifyingKey};

/// The most keys of one form: the current one, the next one, and old ones whose tokens still live.
pub const MAX_KEYS: usize = 8;

/// The one algorithm, as it is published.
const ALGORITHM: &str = "Ed25519";

/// A key, and when tokens of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The key.
    pub key: VerifyingKey,
    /// From when it signs.
    pub not_before: UnixMillis,
    /// When its last token has ended; `None` as long as no key is to follow it.
    pub not_after: Option<UnixMillis>,
}

impl PublicKey {
    /// Whether tokens of it count at `now`, with the same allowance for skew as for the tokens.
    fn counts(&self, now: UnixMillis) -> bool {
        now.after(SKEW) >= self.not_before && self.not_after.is_none_or(|end| now < end.after(SKEW))
    }
}

/// One key as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedKey {
    /// Its name.
    pub kid: KeyId,
    /// Which form of tokens it signs.
    pub form: Form,
    /// `Ed25519`.
    pub algorithm: String,
    /// The 32 bytes, in base64url without padding.
    pub public_key: String,
    /// From when it signs, in milliseconds since 1970.
    pub not_before: UnixMillis,
    /// When its last token has ended, in milliseconds since 1970; none as long as no key is to follow it.
    pub not_after: Option<UnixMillis>,
}

/// A bounded set of public keys of both forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    pub(crate) fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// The key of that name, when its tokens count at `now`.
    #[must_use]
    pub fn find(&self, form: Form, id: KeyId, now: UnixMillis) -> Option<&VerifyingKey> {
        let named = |key: &&PublicKey| key.key.form() == form && key.key.id() == id;
        self.0.iter().find(named).filter(|key| key.counts(now)).map(|key| &key.key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    /// As they are published.
    #[must_use]
    pub fn publish(&self) -> Vec<PublishedKey> {
        self.0
            .iter()
            .map(|key| PublishedKey {
                kid: key.key.id(),
                form: key.key.form(),
                algorithm: ALGORITHM.to_owned(),
                public_key: Base64UrlUnpadded::encode_string(key.key.as_bytes()),
                not_before: key.not_before,
                not_after: key.not_after,
            })
            .collect()
    }

    /// The keys that somebody else published.
    ///
    /// # Errors
    /// [`Error::BadKey`] when one is no Ed25519 key, or not the one that its name is made of, and [`Error::KeysFull`] when
    /// there are more than [`MAX_KEYS`] of a form.
    pub fn from_published(published: &[PublishedKey]) -> Result<Self> {
        let mut keys = Vec::new();
        for one in published {
            let mut bytes = [0; 32];
            let decoded =
                Base64UrlUnpadded::decode(&one.public_key, &mut bytes).map_err(|_| Error::BadKey)?;
            if decoded.len() != 32 || one.algorithm != ALGORITHM {
                return Err(Error::BadKey);
            }
            let key = VerifyingKey::from_bytes(one.form, &bytes)?;
            if key.id() != one.kid {
                return Err(Error::BadKey);
            }
            keys.push(PublicKey { key, not_before: one.not_before, not_after: one.not_after });
            if keys.iter().filter(|key| key.key.form() == one.form).count() > MAX_KEYS {
                return Err(Error::KeysFull { form: one.form, most: MAX_KEYS });
            }
        }
        Ok(Self(keys))
    }
}

#[cfg(test)]
mod tests;
