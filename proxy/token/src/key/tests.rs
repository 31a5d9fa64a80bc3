use super::*;

#[test]
fn a_key_verifies_what_its_secret_signed_and_nothing_else() {
    let (key, other) = (SigningKey::generate(Form::Compact), SigningKey::generate(Form::Compact));
    let (key, other) = (key.expect("random bytes"), other.expect("random bytes"));
    let signature = key.sign(b"message");
    assert!(key.public().verifies(b"message", &signature));
    assert!(!key.public().verifies(b"massage", &signature));
    assert!(!other.public().verifies(b"message", &signature));
    assert_ne!(key.id(), other.id());
}

#[test]
fn a_form_has_a_name() {
    assert_eq!(Form::BOTH.map(Form::as_str), ["compact", "paseto"]);
    assert_eq!(Form::BOTH.map(|form| form.to_string()), ["compact", "paseto"]);
}

/// RFC 8032, 7.1, TEST 2.
#[test]
fn a_seed_gives_the_public_key_of_the_standard() {
    let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let bytes = |hex: &str| hex.parse::<crate::Fingerprint>().expect("32 bytes in hexadecimal").0;
    let key = SigningKey::from_seed(Form::Paseto, &bytes(seed)).expect("a key");
    assert_eq!(key.public().as_bytes(), &bytes(public));
    let again = VerifyingKey::from_bytes(Form::Paseto, &bytes(public)).expect("a key");
    assert_eq!(again, key.public());
}

#[test]
fn the_same_secret_has_another_name_in_the_other_form() {
    let [compact, paseto] =
        Form::BOTH.map(|form| SigningKey::from_seed(form, &[7; 32]).expect("a key").public());
    assert_eq!(compact.as_bytes(), paseto.as_bytes());
    assert_ne!(compact.id(), paseto.id());
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    assert_eq!(SigningKey::from_seed(Form::Compact, &[0; 32]).err(), Some(Error::BadKey));
    // The neutral point: every message has a valid signature under it unless one looks.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(VerifyingKey::from_bytes(Form::Compact, &neutral).err(), Some(Error::BadKey));
    let mut off_the_curve = [0; 32];
    off_the_curve[0] = 2;
    assert_eq!(VerifyingKey::from_bytes(Form::Compact, &off_the_curve).err(), Some(Error::BadKey));
}

#[test]
fn a_secret_does_not_print() {
    let key = SigningKey::from_seed(Form::Compact, &[0xab; 32]).expect("a key");
    let printed = format!("{key:?}");
    assert!(!printed.contains("abab") && !printed.contains("171"), "{printed}");
    assert!(printed.contains(&key.id().to_string()), "{printed}");
}
