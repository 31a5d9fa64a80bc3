use proptest::prelude::*;

use super::*;

#[test]
fn an_id_has_one_spelling() {
    let id = TokenId([0xab, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xff]);
    let text = "ab000102030405060708090a0b0c0dff";
    assert_eq!(id.to_string(), text);
    assert_eq!(text.parse(), Ok(id));
    let longer = format!("{text}00");
    for wrong in ["", &text[..30], &text[..31], &longer, &text.to_uppercase(), &text.replace('a', "g")] {
        assert_eq!(wrong.parse::<TokenId>(), Err(NotHex(32)), "{wrong}");
    }
    assert!("é".repeat(16).parse::<TokenId>().is_err(), "32 bytes that are no digits");
}

#[test]
fn a_service_shows_its_name_and_quotes_it_for_logs() {
    let service = ServiceId::from("check\"out");
    assert_eq!(
        (service.to_string().as_str(), format!("{service:?}").as_str()),
        ("check\"out", "\"check\\\"out\"")
    );
}

#[test]
fn a_fingerprint_is_the_sha_256_of_what_it_is_of() {
    // FIPS 180-2, the one-block example.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Fingerprint::of(b"abc").to_string(), known);
}

proptest! {
    #[test]
    fn ids_survive_text_and_bytes(bytes: [u8; 16]) {
        let id = TokenId(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).expect("an id is a string");
        prop_assert_eq!(json.len(), 34);
        prop_assert_eq!(serde_json::from_str::<TokenId>(&json).expect("our own"), id);
        let binary = postcard::to_allocvec(&id).expect("an id is bytes");
        prop_assert_eq!(&binary, &bytes);
        prop_assert_eq!(postcard::from_bytes::<TokenId>(&binary).expect("our own"), id);
    }
}
