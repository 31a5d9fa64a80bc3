use super::*;
use crate::SigningKey;
use crate::testing::START;

fn key(form: Form, secret: u8) -> VerifyingKey {
    SigningKey::from_seed(form, &[secret; 32]).expect("a key").public()
}

fn keys() -> PublicKeys {
    let end = UnixMillis(START.0 + 10_000);
    PublicKeys::new(vec![
        PublicKey { key: key(Form::Compact, 1), not_before: START, not_after: Some(end) },
        PublicKey { key: key(Form::Paseto, 1), not_before: START, not_after: None },
    ])
}

#[test]
fn a_key_counts_from_its_begin_to_its_end_with_an_allowance_for_skew() {
    let (keys, id) = (keys(), key(Form::Compact, 1).id());
    let rows = [(-501, false), (-500, true), (0, true), (10_000, true), (10_499, true), (10_500, false)];
    for (offset, counts) in rows {
        let now = UnixMillis(START.0.checked_add_signed(offset).expect("after 1970"));
        assert_eq!(keys.find(Form::Compact, id, now).is_some(), counts, "{offset} ms");
    }
    let open_ended = key(Form::Paseto, 1).id();
    assert!(keys.find(Form::Paseto, open_ended, UnixMillis(u64::MAX)).is_some());
}

#[test]
fn a_key_is_found_by_its_own_name_and_form_only() {
    let keys = keys();
    assert_eq!(keys.find(Form::Compact, key(Form::Compact, 1).id(), START), Some(&key(Form::Compact, 1)));
    assert_eq!(keys.find(Form::Paseto, key(Form::Compact, 1).id(), START), None);
    assert_eq!(keys.find(Form::Compact, key(Form::Compact, 2).id(), START), None);
}

#[test]
fn what_is_published_can_be_read_again_and_holds_no_secret() {
    let published = keys().publish();
    let json = serde_json::to_string(&published).expect("JSON");
    let again: Vec<PublishedKey> = serde_json::from_str(&json).expect("our own");
    assert_eq!(PublicKeys::from_published(&again), Ok(keys()));
    let secret = Base64UrlUnpadded::encode_string(&[1; 32]);
    assert!(!json.contains(&secret), "{json}");
    for word in ["\"kid\"", "\"algorithm\":\"Ed25519\"", "\"notAfter\":null", "\"form\":\"compact\""] {
        assert!(json.contains(word), "{word} in {json}");
    }
}

#[test]
fn published_keys_that_can_not_be_are_refused() {
    let good = keys().publish().remove(0);
    type Change<'a> = &'a dyn Fn(&mut PublishedKey);
    let rows: [Change<'_>; 6] = [
        &|one| one.kid = KeyId([0; 8]),
        &|one| one.form = Form::Paseto,
        &|one| one.algorithm = "RS256".to_owned(),
        &|one| one.public_key.push('A'),
        &|one| one.public_key.truncate(40),
        &|one| one.public_key = Base64UrlUnpadded::encode_string(&[0; 32]),
    ];
    for (place, change) in rows.into_iter().enumerate() {
        let mut wrong = good.clone();
        change(&mut wrong);
        assert_eq!(PublicKeys::from_published(&[wrong]), Err(Error::BadKey), "row {place}");
    }
    let as_many_as_fit = vec![good.clone(); MAX_KEYS];
    assert!(PublicKeys::from_published(&as_many_as_fit).is_ok());
    let too_many = vec![good; MAX_KEYS + 1];
    let full = Error::KeysFull { form: Form::Compact, most: MAX_KEYS };
    assert_eq!(PublicKeys::from_published(&too_many), Err(full));
}
