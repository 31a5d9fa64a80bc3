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
    assert_eq!(read::<ByteSize>("64MiB"), Ok(ByteSize(64 << 20)));
    for text in ["", "5", "s", "-1s", "1 fortnight", "999999999999999999h"] {
        assert!(read::<Duration>(text).is_err(), "{text}");
        assert!(read::<ByteSize>(text).is_err(), "{text}");
    }
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
