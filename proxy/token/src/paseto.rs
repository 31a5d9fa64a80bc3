//! The form outside: PASETO v4.public, for HTTP headers and for verifiers that are not ours.
//!
//! One algorithm and no header that names another. Any library verifies it: the implicit assertion is empty, the footer is
//! `{"kid":"..."}`, and the registered claims are the registered ones: `jti` (id), `sub` (service), `aud` (store), `iat`,
//! `nbf`, `exp` (RFC 3339). Own ones: `v`, `blk`, `ep`, `tier` (1 to 3), `acc` (words), `e`, `g`, `cnf` (base64url).
//! The received bytes are verified, never bytes that were written anew from what was read.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use foretoken_types::{EndpointId, Epoch, StoreId};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{
    Access, Block, Claims, Error, Fingerprint, Form, KeyId, Refusal, Result, ServiceId, SigningKey, Tier,
    TokenId, UnixMillis, VERSION, VerifyingKey,
};

/// The longest token; well below what HTTP servers accept as one header. Claims that can be ([`Claims::check`]) stay below it.
pub const MAX_LEN: usize = 4096;

/// What every token begins with.
pub const HEADER: &str = PublicToken::HEADER;

/// The longest footer: one key id.
const MAX_FOOTER: usize = 64;

type Untrusted = UntrustedToken<pasetors::Public, V4>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: KeyId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    v: u8,
    jti: TokenId,
    sub: ServiceId,
    aud: StoreId,
    iat: String,
    nbf: String,
    exp: String,
    blk: Block,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ep: Option<EndpointId>,
    tier: Tier,
    acc: Vec<String>,
    e: Epoch,
    g: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<String>,
}

/// Writes and signs a token.
///
/// # Errors
/// [`Error::Claims`], [`Error::NoDate`], [`Error::OtherForm`] or [`Error::Signing`].
pub fn seal(claims: &Claims, key: &SigningKey) -> Result<String> {
    let key = key.for_form(Form::Paseto)?;
    claims.check()?;
    let footer = serde_json::to_vec(&Footer { kid: key.id() }).map_err(|_| Error::Signing)?;
    let payload = serde_json::to_vec(&payload(claims)?).map_err(|_| Error::Signing)?;
    let secret = AsymmetricSecretKey::<V4>::from(key.pair().as_slice()).map_err(|_| Error::Signing)?;
    PublicToken::sign(&secret, &payload, Some(&footer), None).map_err(|_| Error::Signing)
}

/// The key that a token says it was signed with. To be used for looking up that key, and for nothing else.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn key_id(token: &str) -> Result<KeyId, Refusal> {
    parse(token).map(|(_, id)| id)
}

/// Verifies the signature, then reads the claims. Whether they are good here and now is for [`crate::Verifier`] to say.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::UnknownKey`] when `key` is not the one that the token names, [`Refusal::Forged`].
pub fn open(token: &str, key: &VerifyingKey) -> Result<Claims, Refusal> {
    let (untrusted, id) = parse(token)?;
    if key.form() != Form::Paseto || key.id() != id {
        return Err(Refusal::UnknownKey(id));
    }
    let public = AsymmetricPublicKey::<V4>::from(key.as_bytes()).map_err(|_| Refusal::UnknownKey(id))?;
    let trusted = PublicToken::verify(&public, &untrusted, None, None).map_err(|_| Refusal::Forged)?;
    read(trusted.payload())
}

fn parse(token: &str) -> Result<(Untrusted, KeyId), Refusal> {
    if token.len() > MAX_LEN {
        return Err(Refusal::Malformed("longer than a token can be"));
    }
    let untrusted = Untrusted::try_from(token).map_err(|_| Refusal::Malformed("not PASETO v4.public"))?;
    let footer = untrusted.untrusted_footer();
    if footer.len() > MAX_FOOTER {
        return Err(Refusal::Malformed("a footer that is not ours"));
    }
    let Footer { kid } =
        serde_json::from_slice(footer).map_err(|_| Refusal::Malformed("a footer that is not ours"))?;
    Ok((untrusted, kid))
}

fn payload(claims: &Claims) -> Result<Payload> {
    Ok(Payload {
        v: VERSION,
        jti: claims.id,
        sub: claims.service.clone(),
        aud: claims.store.clone(),
        iat: date(claims.issued_at)?,
        nbf: date(claims.not_before)?,
        exp: date(claims.expires_at)?,
        blk: claims.block.clone(),
        ep: claims.endpoint.clone(),
        tier: claims.tier,
        acc: claims.access.words().map(str::to_owned).collect(),
        e: claims.epoch,
        g: claims.generation,
        cnf: claims.holder.map(|holder| Base64UrlUnpadded::encode_string(&holder.0)),
    })
}

fn read(text: &str) -> Result<Claims, Refusal> {
    let payload: Payload =
        serde_json::from_str(text).map_err(|_| Refusal::Malformed("claims that can't be read"))?;
    if payload.v != VERSION {
        return Err(Refusal::Malformed("of a version that is not known here"));
    }
    claims(payload).filter(|claims| claims.check().is_ok()).ok_or(Refusal::Malformed("claims that can't be"))
}

fn claims(payload: Payload) -> Option<Claims> {
    let access = payload
        .acc
        .iter()
        .try_fold(Access::NONE, |set, word| Access::from_word(word).map(|right| set | right))?;
    let holder = match payload.cnf {
        None => None,
        Some(text) => {
            let mut bytes = [0; 32];
            let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
            Some((decoded == bytes.len()).then_some(Fingerprint(bytes))?)
        }
    };
    Some(Claims {
        id: payload.jti,
        service: payload.sub,
        store: payload.aud,
        block: payload.blk,
        endpoint: payload.ep,
        tier: payload.tier,
        access,
        epoch: payload.e,
        generation: payload.g,
        issued_at: moment(&payload.iat)?,
        not_before: moment(&payload.nbf)?,
        expires_at: moment(&payload.exp)?,
        holder,
    })
}

fn date(at: UnixMillis) -> Result<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .ok_or(Error::NoDate(at))
}

fn moment(date: &str) -> Option<UnixMillis> {
    let nanos = OffsetDateTime::parse(date, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok().map(UnixMillis)
}

#[cfg(test)]
mod tests;
