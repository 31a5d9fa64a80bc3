use proptest::prelude::*;

use super::*;
use crate::testing::{any_claims, claims, longest_claims};

fn key() -> SigningKey {
    SigningKey::from_seed(Form::Paseto, &[1; 32]).expect("a key")
}

fn token() -> String {
    seal(&claims(), &key()).expect("claims that can be")
}

/// Signs anything, as a wrong signer would.
fn sign(payload: &str, footer: &str) -> String {
    let secret = AsymmetricSecretKey::<V4>::from(key().pair().as_slice()).expect("a key");
    PublicToken::sign(&secret, payload.as_bytes(), Some(footer.as_bytes()), None).expect("a message")
}

fn footer() -> String {
    format!(r#"{{"kid":"{}"}}"#, key().id())
}

fn payload_text(claims: &Claims) -> String {
    serde_json::to_string(&payload(claims).expect("dates")).expect("JSON")
}

#[test]
fn what_was_sealed_is_what_is_opened() {
    let token = token();
    assert_eq!(open(&token, &key().public()), Ok(claims()));
    assert_eq!(key_id(&token), Ok(key().id()));
    assert!(token.len() < 600, "{} bytes", token.len());
    let anybody = Claims { holder: None, block: Block::ALL, ..claims() };
    let token = seal(&anybody, &key()).expect("claims that can be");
    assert_eq!(open(&token, &key().public()), Ok(anybody));
}

#[test]
fn the_longest_claims_fit_and_what_is_longer_is_no_token() {
    let token = seal(&longest_claims(), &key()).expect("claims that can be");
    assert!(token.len() <= MAX_LEN, "{} bytes", token.len());
    let text = |bytes: usize| (4 * bytes).div_ceil(3);
    let of_length = |length: usize| {
        let mut sizes = (26..=64).flat_map(|footer| (0..MAX_LEN).map(move |payload| (payload, footer)));
        let fits = |(payload, footer): &(usize, usize)| {
            HEADER.len() + text(payload + 64) + 1 + text(*footer) == length
        };
        let (payload, padding) = sizes.find(fits).expect("sizes that give that length");
        let token = sign(&" ".repeat(payload), &format!("{:<padding$}", footer()));
        assert_eq!(token.len(), length);
        token
    };
    assert_eq!(key_id(&of_length(MAX_LEN)), Ok(key().id()));
    let longer = of_length(MAX_LEN + 1);
    assert_eq!(key_id(&longer), Err(Refusal::Malformed("longer than a token can be")));
}

#[test]
fn a_footer_has_a_greatest_length() {
    let padded = |length: usize| sign("{}", &format!("{:<length$}", footer()));
    assert_eq!(key_id(&padded(64)), Ok(key().id()));
    assert_eq!(key_id(&padded(65)), Err(Refusal::Malformed("a footer that is not ours")));
}

/// The whole token as other libraries see it. Ed25519 signs without chance, so it is always the same.
#[test]
fn the_text_is_what_the_documentation_says() {
    let token = token();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts[..2], ["v4", "public"]);
    let decode = |part: &str| Base64UrlUnpadded::decode_vec(part).expect("base64url");
    let message = decode(parts[2]);
    let payload = String::from_utf8(message[..message.len() - 64].to_vec()).expect("UTF-8");
    let cnf = Base64UrlUnpadded::encode_string(&Fingerprint::of(b"connection 1").0);
    assert_eq!(
        payload,
        format!(
            r#"{{"v":1,"jti":"7369787465656e206279746573206964","sub":"checkout","aud":"orders","iat":"2025-10-09T08:53:20.123Z","nbf":"2025-10-09T08:53:20.123Z","exp":"2025-10-09T08:53:22.123Z","blk":"order:","ep":"redis-a","tier":3,"acc":["read","write"],"e":7,"g":3,"cnf":"{cnf}"}}"#
        )
    );
    assert_eq!(String::from_utf8(decode(parts[3])).expect("UTF-8"), footer());
    assert_eq!(sign(&payload, &footer()), token);
}

/// Vectors 4-S-1 and 4-S-2 of <https://github.com/paseto-standard/test-vectors> (v4.json): the key, the bytes that are
/// signed and the text around them are the standard's.
#[test]
fn the_official_vectors_are_met() {
    let hex = |text: &str| text.parse::<Fingerprint>().expect("32 bytes in hexadecimal").0;
    let seed = hex("b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774");
    let public = hex("1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2");
    let key = SigningKey::from_seed(Form::Paseto, &seed).expect("a key");
    assert_eq!(key.public().as_bytes(), &public);

    let payload = r#"{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}"#;
    let rows = [
        (
            "",
            "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA",
        ),
        (
            r#"{"kid":"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN"}"#,
            "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9",
        ),
    ];
    let secret = AsymmetricSecretKey::<V4>::from(key.pair().as_slice()).expect("a key");
    let public = AsymmetricPublicKey::<V4>::from(&public).expect("a key");
    for (footer, token) in rows {
        let signed = PublicToken::sign(&secret, payload.as_bytes(), Some(footer.as_bytes()), None);
        assert_eq!(signed.expect("a message"), token);
        let untrusted = Untrusted::try_from(token).expect("a token");
        let trusted = PublicToken::verify(&public, &untrusted, None, None).expect("the standard's signature");
        assert_eq!(trusted.payload(), payload);
        // It is PASETO, and none of ours.
        assert_eq!(key_id(token), Err(Refusal::Malformed("a footer that is not ours")));
    }
}

#[test]
fn every_truncation_is_refused() {
    let (token, key) = (token(), key().public());
    for length in 0..token.len() {
        let refused = open(&token[..length], &key).expect_err("it was cut");
        assert!(matches!(refused, Refusal::Malformed(_)), "{length}: {refused}");
    }
}

#[test]
fn every_altered_character_is_refused() {
    let (token, key) = (token(), key().public());
    for place in 0..token.len() {
        for other in ['A', 'B', '-', '9', '.', '=', ' ', '\n', '\0'] {
            let mut altered = token.clone();
            altered.replace_range(place..=place, &other.to_string());
            let opened = open(&altered, &key);
            assert_eq!(opened.is_ok(), altered == token, "{place} {other:?}");
        }
        // Every bit of the text that leaves it ASCII; what base64 does not tell apart would show here.
        for bit in 0..7 {
            let mut altered = token.clone().into_bytes();
            altered[place] ^= 1 << bit;
            let altered = String::from_utf8(altered).expect("still ASCII");
            assert!(open(&altered, &key).is_err(), "{place} bit {bit}");
        }
    }
}

#[test]
fn another_key_another_form_and_a_stolen_name_are_refused() {
    let token = token();
    let other = SigningKey::from_seed(Form::Paseto, &[2; 32]).expect("a key");
    let same_secret = SigningKey::from_seed(Form::Compact, &[1; 32]).expect("a key");
    for wrong in [&other, &same_secret] {
        assert_eq!(open(&token, &wrong.public()), Err(Refusal::UnknownKey(key().id())));
    }
    assert_eq!(seal(&claims(), &same_secret), Err(Error::OtherForm { found: Form::Compact }));
    // The footer is signed too: a token can't be moved to the name of another key.
    let theirs = seal(&claims(), &other).expect("claims that can be");
    let (body, _) = theirs.rsplit_once('.').expect("a footer");
    let forged = format!("{body}.{}", Base64UrlUnpadded::encode_string(footer().as_bytes()));
    assert_eq!(key_id(&forged), Ok(key().id()));
    assert_eq!(open(&forged, &key().public()), Err(Refusal::Forged));
}

/// A token of the right key for another purpose, as the implicit assertion tells them apart.
#[test]
fn an_implicit_assertion_is_refused() {
    let secret = AsymmetricSecretKey::<V4>::from(key().pair().as_slice()).expect("a key");
    let (payload, footer) = (payload_text(&claims()), footer());
    let token = PublicToken::sign(&secret, payload.as_bytes(), Some(footer.as_bytes()), Some(b"other"));
    assert_eq!(open(&token.expect("a message"), &key().public()), Err(Refusal::Forged));
}

#[test]
fn signed_claims_that_can_not_be_are_refused() {
    let good = payload_text(&claims());
    assert_eq!(open(&sign(&good, &footer()), &key().public()), Ok(claims()), "the way of the test is right");
    let rows = [
        (r#""v":1"#, r#""v":2"#, "of a version that is not known here"),
        (r#""v":1"#, r#""v":1,"v":1"#, "claims that can't be read"),
        (r#""v":1"#, r#""v":1,"new":1"#, "claims that can't be read"),
        (r#""tier":3"#, r#""tier":0"#, "claims that can't be read"),
        (r#""tier":3"#, r#""tier":1"#, "claims that can't be"),
        (r#""acc":["read","write"]"#, r#""acc":["read","all"]"#, "claims that can't be"),
        (r#""acc":["read","write"]"#, r#""acc":[]"#, "claims that can't be"),
        (r#""ep":"redis-a","#, "", "claims that can't be"),
        (r#""blk":"order:""#, r#""blk":"""#, "claims that can't be read"),
        (r#""e":7"#, r#""e":-7"#, "claims that can't be read"),
        (r#""exp":"2025"#, r#""exp":"2024"#, "claims that can't be"),
        (r#""exp":"2025"#, r#""exp":"1925"#, "claims that can't be"),
        ("2025-10-09T08:53:22.123Z", "2025-10-09", "claims that can't be"),
        (r#""cnf":""#, r#""cnf":"AA"#, "claims that can't be"),
        (r#""cnf":""#, r#""cnf":"=="#, "claims that can't be"),
        (r#""sub":"checkout""#, r#""sub":"""#, "claims that can't be"),
    ];
    for (from, to, why) in rows {
        let altered = good.replacen(from, to, 1);
        assert_ne!(altered, good, "{from}");
        assert_eq!(open(&sign(&altered, &footer()), &key().public()), Err(Refusal::Malformed(why)), "{to}");
    }
    let padded = footer().replace("{\"", "{ \"");
    assert_eq!(
        open(&sign(&good, &padded), &key().public()),
        Ok(claims()),
        "the signature covers it as it is"
    );
    let more = footer().replace('}', r#","x":1}"#);
    for wrong in [more, String::new(), footer() + &" ".repeat(64)] {
        assert_eq!(
            key_id(&sign(&good, &wrong)),
            Err(Refusal::Malformed("a footer that is not ours")),
            "{wrong}"
        );
    }
}

#[test]
fn the_longest_claims_fit_and_longer_text_is_not_looked_at() {
    // The worst that JSON does to printable text.
    let name = "\"".repeat(crate::MAX_NAME);
    let longest = Claims {
        service: ServiceId::new(name.as_str()),
        store: StoreId::new(name.as_str()),
        endpoint: Some(EndpointId::new(name.as_str())),
        block: "\\".repeat(crate::MAX_PREFIX).parse().expect("a block"),
        epoch: Epoch(u64::MAX),
        generation: u64::MAX,
        ..claims()
    };
    let token = seal(&longest, &key()).expect("it fits");
    assert_eq!(open(&token, &key().public()), Ok(longest));
    let longer = format!("{HEADER}{}", "A".repeat(MAX_LEN));
    assert_eq!(key_id(&longer), Err(Refusal::Malformed("longer than a token can be")));
}

#[test]
fn dates_end_with_the_year_9999() {
    let last = UnixMillis(253_402_300_799_999);
    assert_eq!(date(last), Ok("9999-12-31T23:59:59.999Z".to_owned()));
    let after = UnixMillis(last.0 + 1);
    assert_eq!(date(after), Err(Error::NoDate(after)));
    assert_eq!(date(UnixMillis(u64::MAX)), Err(Error::NoDate(UnixMillis(u64::MAX))));
    assert_eq!(moment("2022-01-01T02:00:00+02:00"), Some(UnixMillis(1_640_995_200_000)));
    assert_eq!(moment("1969-12-31T23:59:59Z"), None);
}

proptest! {
    #[test]
    fn any_claims_survive(claims in any_claims()) {
        let token = seal(&claims, &key()).expect("claims that can be");
        prop_assert_eq!(open(&token, &key().public()), Ok(claims));
    }

    #[test]
    fn random_text_is_refused(text in "(v4\\.public\\.)?[A-Za-z0-9_-]{0,300}(\\.[A-Za-z0-9_-]{0,60})?|\\PC{0,60}") {
        prop_assert!(open(&text, &key().public()).is_err());
    }

    /// What stands behind the signature must not panic either, should a key ever be stolen.
    #[test]
    fn reading_never_panics(place in 0..300_usize, byte in 0..128_u8) {
        let mut text = payload_text(&claims()).into_bytes();
        if let Some(place) = text.get_mut(place) {
            *place = byte;
        }
        let read = read(&String::from_utf8(text).expect("ASCII"));
        prop_assert!(read.is_err() || read.is_ok_and(|claims| claims.check().is_ok()));
    }
}
