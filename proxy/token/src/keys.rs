//! The keys that sign, how they take turns, and how they are written down.
//!
//! Time is the wall clock's, since what is published is for others. A clock that was set back may leave no key that signs;
//! [`Keyring::ensure`] then makes one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    Error, Form, KeyId, Lives, MAX_KEYS, PublicKey, PublicKeys, Result, SKEW, SigningKey, UnixMillis,
    VerifyingKey,
};

/// The format of the file. Higher ones are refused.
const FORMAT: u8 = 1;
const MAGIC: &[u8] = b"foretoken keys\0";
/// More than the file can need; the buffer must not move while secrets are written into it.
const FILE_CAPACITY: usize = 4096;

/// The lengths of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long the next key is published before it signs: every verifier must have read the list in that time.
    pub wait: Duration,
    /// How long a key that signs no more still verifies: the longest life of a token.
    pub overlap: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { wait: Duration::from_secs(30), overlap: Lives::default().longest() }
    }
}

#[derive(Debug)]
struct Slot {
    /// Gone when the key signs no more.
    secret: Option<SigningKey>,
    public: VerifyingKey,
    not_before: UnixMillis,
    signs_until: Option<UnixMillis>,
    not_after: Option<UnixMillis>,
}

impl Slot {
    fn signs(&self, now: UnixMillis) -> Option<&SigningKey> {
        let begun = self.not_before <= now && self.signs_until.is_none_or(|end| now < end);
        self.secret.as_ref().filter(|_| begun)
    }
}

/// Signing and verifying keys of both forms. No more than [`MAX_KEYS`] of each.
#[derive(Debug)]
pub struct Keyring {
    rotation: Rotation,
    slots: Vec<Slot>,
}

impl Keyring {
    /// A ring without keys; [`Keyring::ensure`] makes the first ones.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        Self { rotation, slots: Vec::new() }
    }

    /// Sees to it that each form has a key that signs at `now`. Says whether one was made: then the ring has to be written
    /// down and published.
    ///
    /// # Errors
    /// [`Error::NoRandomness`] or [`Error::KeysFull`].
    pub fn ensure(&mut self, now: UnixMillis) -> Result<bool> {
        self.sweep(now);
        let mut made = false;
        for form in Form::BOTH {
            if self.signing(form, now).is_err() {
                let key = self.make(form, now)?;
                self.slots.push(key);
                made = true;
            }
        }
        Ok(made)
    }

    /// Whether [`Keyring::take_turns`] has something to do.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis, life: Duration) -> bool {
        Form::BOTH
            .into_iter()
            .any(|form| self.signing(form, now).is_err() || self.has_signed(form, now, life))
    }

    /// The one rule by which keys of any ring take turns: a form without a key that signs gets one, and a key that has
    /// signed for `life` is followed by the next, which is published for [`Rotation::wait`] before. Says whether anything
    /// was changed: then the ring has to be written down and published.
    ///
    /// # Errors
    /// [`Error::NoRandomness`] or [`Error::KeysFull`].
    pub fn take_turns(&mut self, now: UnixMillis, life: Duration) -> Result<bool> {
        let mut changed = self.ensure(now)?;
        for form in Form::BOTH {
            if self.has_signed(form, now, life) {
                self.rotate(form, now)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The key that signs tokens of `form` at `now`.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn signing(&self, form: Form, now: UnixMillis) -> Result<&SigningKey> {
        self.of(form)
            .filter_map(|slot| slot.signs(now).map(|key| (slot.not_before, key)))
            .max_by_key(|(begun, _)| *begun)
            .map(|(_, key)| key)
            .ok_or(Error::NoKey { form })
    }

    /// Makes the next key of `form`, and returns when it begins to sign. Until then the current one signs, and after that it
    /// verifies until its last token has ended. The ring has to be written down and published before that time.
    ///
    /// # Errors
    /// [`Error::RotationPending`], [`Error::KeysFull`] or [`Error::NoRandomness`]; nothing is changed then.
    pub fn rotate(&mut self, form: Form, now: UnixMillis) -> Result<UnixMillis> {
        self.sweep(now);
        // A key that begins later than any rotation could have set it is left over from a clock that ran ahead.
        let latest = now.after(self.rotation.wait);
        let pending = |slot: &&Slot| slot.not_before > now && slot.not_before <= latest;
        if let Some(pending) = self.of(form).find(pending) {
            return Err(Error::RotationPending { form, from: pending.not_before });
        }
        // Nothing to wait for when nothing signs.
        let begin = if self.signing(form, now).is_ok() { latest } else { now };
        let next = self.make(form, begin)?;
        let end = begin.after(self.rotation.overlap);
        for slot in self.slots.iter_mut().filter(|slot| slot.public.form() == form) {
            slot.signs_until.get_or_insert(begin);
            slot.not_after.get_or_insert(end);
        }
        self.slots.push(next);
        Ok(begin)
    }

    /// Removes a key at once, with all tokens that it signed: for one that is no secret any more. Says whether it was there.
    /// [`Keyring::ensure`] makes another, if it was the one that signs.
    pub fn forget(&mut self, id: KeyId) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.public.id() != id);
        self.slots.len() < before
    }

    /// Wipes secrets that sign no more, and drops keys whose last token has ended.
    pub fn sweep(&mut self, now: UnixMillis) {
        self.slots.retain(|slot| slot.not_after.is_none_or(|end| now < end.after(SKEW)));
        for slot in &mut self.slots {
            if slot.signs_until.is_some_and(|end| end <= now) {
                slot.secret = None;
            }
        }
    }

    /// The public halves, those of keys that do not sign yet or any more included.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        let public = |slot: &Slot| PublicKey {
            key: slot.public,
            not_before: slot.not_before,
            not_after: slot.not_after,
        };
        PublicKeys::new(self.slots.iter().map(public).collect())
    }

    /// The ring with its secrets, for a file that nobody else may read (mode 0600).
    ///
    /// # Errors
    /// [`Error::Signing`] when the keys can't be encoded, which no ring that was made here meets.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(FILE_CAPACITY);
        bytes.extend_from_slice(MAGIC);
        bytes.push(FORMAT);
        let stored: Vec<Stored> = self.slots.iter().map(Stored::of).collect();
        let mut bytes = Zeroizing::new(postcard::to_extend(&stored, bytes).map_err(|_| Error::Signing)?);
        let sum = Sha256::digest(bytes.as_slice());
        bytes.extend_from_slice(&sum);
        Ok(bytes)
    }

    /// The ring that [`Keyring::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Newer`].
    pub fn from_bytes(bytes: &[u8], rotation: Rotation) -> Result<Self> {
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or(Error::Damaged("it was cut"))?;
        let rest = body.strip_prefix(MAGIC).ok_or(Error::Damaged("it is no key file"))?;
        let (format, rest) = rest.split_first().ok_or(Error::Damaged("it was cut"))?;
        if *format > FORMAT {
            return Err(Error::Newer { found: *format, known: FORMAT });
        }
        if sum.as_slice() != Sha256::digest(body).as_slice() {
            return Err(Error::Damaged("its check sum is wrong"));
        }
        let (stored, left) = postcard::take_from_bytes::<Vec<Stored>>(rest)
            .map_err(|_| Error::Damaged("its keys can't be read"))?;
        if !left.is_empty() {
            return Err(Error::Damaged("it is longer than its keys"));
        }
        let slots = stored.iter().map(Stored::slot).collect::<Result<Vec<_>>>()?;
        let ring = Self { rotation, slots };
        if Form::BOTH.iter().any(|form| ring.of(*form).count() > MAX_KEYS) {
            return Err(Error::Damaged("it has too many keys"));
        }
        Ok(ring)
    }

    /// Whether the key that is to be followed by none has signed for so long that the next one must be published.
    fn has_signed(&self, form: Form, now: UnixMillis, life: Duration) -> bool {
        let ahead = life.saturating_sub(self.rotation.wait);
        let last = self.of(form).find(|slot| slot.signs_until.is_none() && slot.not_before <= now);
        last.is_some_and(|slot| slot.not_before.until(now) >= ahead)
    }

    fn of(&self, form: Form) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.public.form() == form)
    }

    fn make(&self, form: Form, not_before: UnixMillis) -> Result<Slot> {
        if self.of(form).count() >= MAX_KEYS {
            return Err(Error::KeysFull { form, most: MAX_KEYS });
        }
        let key = SigningKey::generate(form)?;
        let public = key.public();
        Ok(Slot { secret: Some(key), public, not_before, signs_until: None, not_after: None })
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    form: Form,
    seed: Option<[u8; 32]>,
    public: [u8; 32],
    not_before: UnixMillis,
    signs_until: Option<UnixMillis>,
    not_after: Option<UnixMillis>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl Stored {
    fn of(slot: &Slot) -> Self {
        Self {
            form: slot.public.form(),
            seed: slot.secret.as_ref().map(|key| *key.seed()),
            public: *slot.public.as_bytes(),
            not_before: slot.not_before,
            signs_until: slot.signs_until,
            not_after: slot.not_after,
        }
    }

    fn slot(&self) -> Result<Slot> {
        let wrong = |_| Error::Damaged("one of its keys is none");
        let secret = self.seed.as_ref().map(|seed| SigningKey::from_seed(self.form, seed));
        let secret = secret.transpose().map_err(wrong)?;
        let public = VerifyingKey::from_bytes(self.form, &self.public).map_err(wrong)?;
        if secret.as_ref().is_some_and(|key| key.public() != public) {
            return Err(Error::Damaged("a secret and its public key do not fit"));
        }
        Ok(Slot {
            secret,
            public,
            not_before: self.not_before,
            signs_until: self.signs_until,
            not_after: self.not_after,
        })
    }
}

#[cfg(test)]
mod tests;
