use foretoken_types::{EndpointId, StoreId};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_claims, claims, longest_claims};
use crate::{Block, Fingerprint, ServiceId, Tier};

fn key() -> SigningKey {
    SigningKey::from_seed(Form::Compact, &[1; 32]).expect("a key")
}

fn token() -> Vec<u8> {
    seal(&claims(), &key()).expect("claims that can be")
}

#[test]
fn what_was_sealed_is_what_is_opened_and_it_is_short() {
    let token = token();
    assert_eq!(open(&token, &key().public()), Ok(claims()));
    assert_eq!(key_id(&token), Ok(key().id()));
    assert!(token.len() < 200, "{} bytes", token.len());
}

#[test]
fn the_longest_claims_fit_and_what_is_longer_is_no_token() {
    let token = seal(&longest_claims(), &key()).expect("claims that can be");
    assert!(token.len() <= MAX_LEN, "{} bytes", token.len());
    let mut bytes = token.clone();
    bytes.resize(MAX_LEN, 0);
    assert_eq!(key_id(&bytes), Ok(key().id()));
    bytes.push(0);
    assert_eq!(key_id(&bytes), Err(Refusal::Malformed("longer than a compact token can be")));
}

#[test]
fn as_text_it_is_base64url_without_padding() {
    assert_eq!(to_text(&[0xfb, 0xff]), "-_8");
}

/// Two builds of a fleet run beside each other, so the bytes must not change without a new version.
#[test]
fn the_wire_is_pinned() {
    let mut token = token();
    token.truncate(token.len() - SIGNATURE_LEN);
    let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "01f7ae2c71163174617369787465656e20627974657320696408636865636b6f7574066f7264657273066f726465723a010772656469732d6103030703fb80b3c19c33fb80b3c19c33cb90b3c19c33016f52adb04cf24130e8959017fa9bd6dacddc306ae5a963037b7a1a48f3019499"
    );
}

#[test]
fn every_truncation_is_refused() {
    let (token, key) = (token(), key().public());
    for length in 0..token.len() {
        let refused = open(&token[..length], &key).expect_err("it was cut");
        assert!(matches!(refused, Refusal::Malformed(_) | Refusal::Forged), "{length}: {refused}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (token, key) = (token(), key().public());
    for bit in 0..token.len() * 8 {
        let mut altered = token.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = open(&altered, &key).expect_err("it was altered");
        match bit / 8 {
            0 => assert!(matches!(refused, Refusal::Malformed(_)), "bit {bit}: {refused}"),
            1..HEADER_LEN => assert!(matches!(refused, Refusal::UnknownKey(_)), "bit {bit}: {refused}"),
            _ => assert_eq!(refused, Refusal::Forged, "bit {bit}"),
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut token = token();
    token.push(0);
    assert_eq!(open(&token, &key().public()), Err(Refusal::Forged));
    // Also when they are signed: one content has one spelling.
    let mut body = postcard::to_allocvec(&claims()).expect("claims");
    assert_eq!(read(&body), Ok(claims()));
    body.push(0);
    assert_eq!(read(&body), Err(Refusal::Malformed("more bytes than claims")));
}

#[test]
fn another_key_and_another_form_are_refused() {
    let token = token();
    let other = SigningKey::from_seed(Form::Compact, &[2; 32]).expect("a key");
    let same_secret = SigningKey::from_seed(Form::Paseto, &[1; 32]).expect("a key");
    for wrong in [&other, &same_secret] {
        assert_eq!(open(&token, &wrong.public()), Err(Refusal::UnknownKey(key().id())));
    }
    assert_eq!(seal(&claims(), &same_secret), Err(Error::OtherForm { found: Form::Paseto }));
    // A forger who knows the name of the key, and has another.
    let mut forged = seal(&claims(), &other).expect("claims that can be");
    forged[1..HEADER_LEN].copy_from_slice(&key().id().0);
    assert_eq!(open(&forged, &key().public()), Err(Refusal::Forged));
}

#[test]
fn a_signature_without_our_context_is_refused() {
    let (mut token, key) = (token(), key());
    let body = token.len() - SIGNATURE_LEN;
    let bare = key.sign(&token[..body]);
    token[body..].copy_from_slice(&bare);
    assert_eq!(open(&token, &key.public()), Err(Refusal::Forged));
}

/// A signer that is wrong must not make a verifier wrong.
#[test]
fn signed_claims_that_can_not_be_are_refused() {
    let sign = |claims: &Claims| {
        let mut body = vec![claims::VERSION];
        body.extend_from_slice(&key().id().0);
        body.extend_from_slice(&postcard::to_allocvec(claims).expect("claims"));
        [body.as_slice(), &key().sign(&signed(&body))].concat()
    };
    assert_eq!(open(&sign(&claims()), &key().public()), Ok(claims()), "the way of the test is right");
    let impossible = Refusal::Malformed("claims that can't be");
    let writing = Claims { tier: Tier::Temporary, endpoint: None, ..claims() };
    assert_eq!(open(&sign(&writing), &key().public()), Err(impossible.clone()));
    let anybody = Claims { holder: None, ..claims() };
    assert_eq!(open(&sign(&anybody), &key().public()), Err(impossible));
    assert_eq!(seal(&anybody, &key()), Err(Error::NoHolder));
    assert!(matches!(seal(&writing, &key()), Err(Error::Claims(_))));
}

/// The bounds of the names are such that whatever passes the check also fits, even with numbers of full length.
#[test]
fn the_longest_claims_fit() {
    let name = "n".repeat(claims::MAX_NAME);
    let most = u64::MAX;
    let longest = Claims {
        service: ServiceId::new(name.as_str()),
        store: StoreId::new(name.as_str()),
        endpoint: Some(EndpointId::new(name.as_str())),
        block: "p".repeat(crate::MAX_PREFIX).parse::<Block>().expect("a block"),
        epoch: foretoken_types::Epoch(most),
        generation: most,
        issued_at: crate::UnixMillis(most - 1),
        not_before: crate::UnixMillis(most - 1),
        expires_at: crate::UnixMillis(most),
        holder: Some(Fingerprint([0xff; 32])),
        ..claims()
    };
    let token = seal(&longest, &key()).expect("it fits");
    assert!(token.len() <= MAX_LEN);
    assert_eq!(open(&token, &key().public()), Ok(longest));
    let too_long = [token, vec![0; MAX_LEN]].concat();
    assert_eq!(key_id(&too_long), Err(Refusal::Malformed("longer than a compact token can be")));
}

proptest! {
    #[test]
    fn any_claims_survive(claims in any_claims()) {
        let key = key();
        match seal(&claims, &key) {
            Ok(token) => prop_assert_eq!(open(&token, &key.public()), Ok(claims)),
            Err(error) => prop_assert!(error == Error::NoHolder && claims.holder.is_none(), "{}", error),
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..1200), headed: bool) {
        let key = key().public();
        let mut bytes = bytes;
        if headed && bytes.len() > HEADER_LEN {
            bytes[0] = claims::VERSION;
            bytes[1..HEADER_LEN].copy_from_slice(&key.id().0);
        }
        prop_assert!(open(&bytes, &key).is_err());
    }

    /// What stands behind the signature must not panic either, should a key ever be stolen.
    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), place in 0..200_usize, byte: u8) {
        let of_bytes = read(&bytes);
        prop_assert!(of_bytes.is_err() || of_bytes.is_ok_and(|claims| claims.check().is_ok()));
        let mut body = postcard::to_allocvec(&claims()).expect("claims");
        if let Some(place) = body.get_mut(place) {
            *place = byte;
        }
        let altered = read(&body);
        prop_assert!(altered.is_err() || altered.is_ok_and(|claims| claims.check().is_ok()));
    }
}
