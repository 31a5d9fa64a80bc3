use std::time::Duration;

use super::*;

fn read<T: Setting>(text: &str) -> Result<T, Mismatch> {
    let toml = format!("\"{text}\"");
    let value = DeValue::parse(&toml).expect("TOML").get_ref().to_owned();
    T::read(&value)
}

#[test]
fn durations_and_sizes_carry_their_units() {
    for (text, expected) in
        [("250ms", 250), ("2s", 2000), ("1.5s", 1500), ("10min", 600_000), ("1h", 3_600_000)]
    {
        assert_eq!(read::<Duration>(text), Ok(Duration::from_millis(expected)), "{text}");
    }
    for (text, expected) in [("1us", 1), ("0us", 0), ("1.5ms", 1500), ("0.250s", 250_000), ("0.001ms", 1)] {
        assert_eq!(read::<Duration>(text), Ok(Duration::from_micros(expected)), "{text}");
    }
    for (text, expected) in
        [("64MiB", 64 << 20), ("1.5KiB", 1536), ("0.125GiB", 128 << 20), ("7B", 7), ("0B", 0)]
    {
        assert_eq!(read::<ByteSize>(text), Ok(ByteSize(expected)), "{text}");
    }
    // Parts of a microsecond, parts of a byte, more than can be counted.
    for text in ["0.5us", "1.0005ms", "1.2.3s", "1.s", ".5s", "6000000h"] {
        assert!(read::<Duration>(text).is_err(), "{text}");
    }
    for text in ["0.5B", "0.3KiB", "1.MiB", "17179869184GiB", "1.5"] {
        assert!(read::<ByteSize>(text).is_err(), "{text}");
    }
    for text in ["", "5", "s", "-1s", "1 fortnight", "999999999999999999h"] {
        assert!(read::<Duration>(text).is_err(), "{text}");
        assert!(read::<ByteSize>(text).is_err(), "{text}");
    }
}

#[test]
fn durations_and_sizes_are_written_in_the_largest_unit_that_holds_them() {
    for text in ["0us", "1us", "1500us", "250ms", "999ms", "1s", "90s", "2min", "25h"] {
        assert_eq!(read::<Duration>(text).map(show), Ok(text.to_owned()));
    }
    assert_eq!(show(Duration::from_millis(60_000)), "1min");
    for text in ["0B", "1023B", "1KiB", "1536B", "64MiB", "3GiB"] {
        assert_eq!(read::<ByteSize>(text).map(|size| size.to_string()), Ok(text.to_owned()));
    }
    assert_eq!(ByteSize(1 << 30).to_string(), "1GiB");
}

#[test]
fn a_value_of_another_type_is_told_apart() {
    fn problem<T: Setting + std::fmt::Debug>(toml: &str) -> String {
        let value = DeValue::parse(toml).expect("TOML");
        T::read(value.get_ref()).expect_err(toml).problem
    }
    for (toml, found) in [
        ("1", "an integer"),
        ("1.5", "a float"),
        ("true", "a boolean"),
        ("2026-01-01", "a date"),
        ("[]", "an array"),
        ("{}", "a table"),
    ] {
        assert_eq!(
            problem::<Duration>(toml),
            format!("expected a string with a duration and its unit, found {found}")
        );
    }
    assert_eq!(problem::<bool>("\"true\""), "expected true or false, found a string");
    assert_eq!(problem::<u32>("1.5"), "expected an integer, found a float");
    assert_eq!(problem::<u32>("-1"), "-1 is not an integer from 0 to 4294967295");
    assert_eq!(problem::<u32>("4294967296"), "4294967296 is not an integer from 0 to 4294967295");
    assert_eq!(problem::<Vec<String>>("\"x\""), "expected an array, found a string");
    assert_eq!(problem::<Vec<String>>("[]"), "has 0 items, not 1 to 64");
    assert_eq!(problem::<Vec<String>>("[1]"), "expected a string, found an integer");
    let list = |length: usize| format!("[{}]", vec!["\"x\""; length].join(","));
    assert_eq!(problem::<Vec<String>>(&list(65)), "has 65 items, not 1 to 64");
    let longest = list(64);
    let value = DeValue::parse(&longest).expect("TOML");
    assert_eq!(Vec::<String>::read(value.get_ref()).map(|list| list.len()), Ok(64));
    assert_eq!((true.measure(), "x".to_owned().measure()), (None, None), "they have no range");
    let hexadecimal = DeValue::parse("0x10").expect("TOML");
    assert_eq!(u32::read(hexadecimal.get_ref()), Ok(16));
}

#[test]
fn names_prefixes_hashes_and_paths_have_their_bounds() {
    use foretoken_types::{BlockId, StoreId};
    for text in ["a", "9", "a-b", &"a".repeat(63)] {
        assert_eq!(read::<StoreId>(text), Ok(StoreId::from(text)), "{text}");
        assert_eq!(read::<BlockId>(text), Ok(BlockId::from(text)), "{text}");
    }
    for text in ["", "-a", "A", "a_b", "ä", &"a".repeat(64)] {
        assert!(read::<StoreId>(text).is_err(), "{text}");
        assert!(read::<BlockId>(text).is_err(), "{text}");
    }
    assert!(read::<BlockId>("*").is_ok() && read::<StoreId>("*").is_err());
    for text in ["k", "user:*", &"k".repeat(256)] {
        assert_eq!(read::<KeyPrefix>(text).map(|prefix| prefix.as_str().to_owned()), Ok(text.to_owned()));
    }
    for text in ["", "*", "a\\tb", &"k".repeat(257)] {
        assert!(read::<KeyPrefix>(text).is_err(), "{text}");
    }
    let digits = "ab".repeat(32);
    for text in [digits.clone(), digits.to_uppercase(), vec!["AB"; 32].join(":")] {
        assert_eq!(read::<CertificateHash>(&text).map(|hash| hash.as_str().to_owned()), Ok(digits.clone()));
    }
    for text in ["", &digits[1..], &"g".repeat(64)] {
        assert!(read::<CertificateHash>(text).is_err(), "{text}");
    }
    assert!(read::<PathBuf>("a/b").is_ok());
    assert!(read::<PathBuf>("").is_err() && read::<PathBuf>("a\\u0000b").is_err());
    assert!(read::<String>("").is_err());
}

#[test]
fn urls_name_a_server_and_nothing_more() {
    for (text, shown) in [
        ("redis://h", "redis://h:6379"),
        ("redis://h:1/", "redis://h:1"),
        ("rediss://[::1]:7", "rediss://[::1]:7"),
        ("redis://[::1]", "redis://[::1]:6379"),
        ("redis+unix:///run/s", "redis+unix:///run/s"),
    ] {
        assert_eq!(read::<EndpointUrl>(text).map(|url| url.to_string()), Ok(shown.to_owned()));
    }
    for text in [
        "redis+unix://run/s",
        "redis+unix:///s?x",
        "redis://h:0",
        "redis://h:65536",
        "redis://h?x",
        "redis://h#x",
    ] {
        assert!(read::<EndpointUrl>(text).is_err(), "{text}");
    }
    for (text, shown) in [
        ("http://h", "http://h:80/metrics"),
        ("http://h:9100/", "http://h:9100/"),
        ("http://[::1]/x", "http://[::1]:80/x"),
    ] {
        assert_eq!(read::<HttpUrl>(text).map(|url| url.to_string()), Ok(shown.to_owned()));
    }
    for text in ["https://h", "http://", "http://h:0/", "http://h/a b", "http://h/#a"] {
        assert!(read::<HttpUrl>(text).is_err(), "{text}");
    }
    let refused = read::<HttpUrl>("http://u:hunter2@h").expect_err("credentials");
    assert!(!refused.problem.contains("hunter2"), "{}", refused.problem);
}

#[test]
fn urls_with_credentials_paths_or_other_schemes_are_refused_and_not_quoted() {
    for text in ["redis://u:hunter2@h:1", "redis://h:1/3", "http://h:1", "h:1", "redis://"] {
        let refused = read::<EndpointUrl>(text).expect_err(text);
        assert!(!refused.problem.contains("hunter2"), "{}", refused.problem);
    }
    let tls = read::<EndpointUrl>("rediss://h:1").expect("reads");
    assert!(tls.tls && tls.to_string() == "rediss://h:1");
}
