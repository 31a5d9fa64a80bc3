//! The form inside the fleet: about 160 bytes, for streams and preambles.
//!
//! ```text
//! version (1) | key id (8) | claims, postcard | Ed25519 signature of all before it, behind CONTEXT (64)
//! ```
//!
//! Nothing but the key id is read before the signature has been verified, and what is verified are the received bytes.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{Claims, Error, Form, KeyId, Refusal, Result, SigningKey, VerifyingKey, claims};

/// The longest compact token. Claims that can be ([`Claims::check`]) stay below it.
pub const MAX_LEN: usize = 1024;

/// What the signature covers first, so that it fits nothing else that is signed with Ed25519 anywhere.
const CONTEXT: &[u8] = b"foretoken compact token v1\0";

const HEADER_LEN: usize = 1 + 8;
const SIGNATURE_LEN: usize = 64;

/// Writes and signs a token.
///
/// # Errors
/// [`Error::Claims`], [`Error::NoHolder`] or [`Error::OtherForm`].
pub fn seal(claims: &Claims, key: &SigningKey) -> Result<Vec<u8>> {
    let key = key.for_form(Form::Compact)?;
    claims.check()?;
    if claims.holder.is_none() {
        return Err(Error::NoHolder);
    }
    let mut token = Vec::with_capacity(256);
    token.push(claims::VERSION);
    token.extend_from_slice(&key.id().0);
    let token = postcard::to_extend(claims, token).map_err(|_| Error::Signing)?;
    let signature = key.sign(&signed(&token));
    Ok([token.as_slice(), &signature].concat())
}

/// As text, for where bytes can't stand: base64url without padding.
#[must_use]
pub fn to_text(token: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(token)
}

/// The key that a token says it was signed with. To be used for looking up that key, and for nothing else.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn key_id(token: &[u8]) -> Result<KeyId, Refusal> {
    if token.len() > MAX_LEN {
        return Err(Refusal::Malformed("longer than a compact token can be"));
    }
    let (header, rest) =
        token.split_first_chunk::<HEADER_LEN>().ok_or(Refusal::Malformed("shorter than its header"))?;
    if header[0] != claims::VERSION {
        return Err(Refusal::Malformed("of a version that is not known here"));
    }
    if rest.len() <= SIGNATURE_LEN {
        return Err(Refusal::Malformed("shorter than its signature"));
    }
    let mut id = [0; 8];
    id.copy_from_slice(&header[1..]);
    Ok(KeyId(id))
}

/// Verifies the signature, then reads the claims. Whether they are good here and now is for [`crate::Verifier`] to say.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::UnknownKey`] when `key` is not the one that the token names, [`Refusal::Forged`].
pub fn open(token: &[u8], key: &VerifyingKey) -> Result<Claims, Refusal> {
    let id = key_id(token)?;
    if key.form() != Form::Compact || key.id() != id {
        return Err(Refusal::UnknownKey(id));
    }
    let (body, signature) =
        token.split_last_chunk::<SIGNATURE_LEN>().ok_or(Refusal::Malformed("shorter than its signature"))?;
    if !key.verifies(&signed(body), signature) {
        return Err(Refusal::Forged);
    }
    let body = body.get(HEADER_LEN..).ok_or(Refusal::Malformed("shorter than its header"))?;
    read(body)
}

fn read(body: &[u8]) -> Result<Claims, Refusal> {
    let (claims, rest) = postcard::take_from_bytes::<Claims>(body)
        .map_err(|_| Refusal::Malformed("claims that can't be read"))?;
    if !rest.is_empty() {
        return Err(Refusal::Malformed("more bytes than claims"));
    }
    if claims.check().is_err() || claims.holder.is_none() {
        return Err(Refusal::Malformed("claims that can't be"));
    }
    Ok(claims)
}

fn signed(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

#[cfg(test)]
mod tests;
