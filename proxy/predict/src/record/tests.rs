use proptest::prelude::*;

use super::*;

fn entry() -> Entry {
    let mut row = Row::default();
    row.set(Feature::MemoryRatio, Some(0.75));
    row.set(Feature::LatencyP99, Some(0.1));
    let mut uses = [None; Resource::ALL.len()];
    uses[Resource::Memory as usize] = Some(Use { used: 48.0 * 1024.0 * 1024.0, limit: Some(67_108_864.0) });
    uses[Resource::Disk as usize] = Some(Use { used: 12.5, limit: None });
    Entry {
        unix_ms: 1_700_000_000_123,
        step: Duration::from_secs(60),
        store: "cart".into(),
        endpoint: "a-1".into(),
        role: "primary".into(),
        state: "at_risk".into(),
        epoch: 7,
        row,
        uses,
        rule: Risk::new([0.1, 0.25, 0.5]),
        model: None,
        risk: Risk::new([0.1, 0.25, 0.5]),
        raised: true,
        action: "stay".into(),
        would: "switch".into(),
        why: "lasts".into(),
        verdict: "up".into(),
        change: "".into(),
    }
}

fn line(entry: &Entry) -> String {
    let mut text = String::new();
    entry.write(&mut text);
    text
}

#[test]
fn a_line_has_a_field_for_each_column_and_comes_back_as_it_was() {
    let text = line(&entry());
    assert_eq!(text.trim_end().split(',').count(), columns().len());
    let columns = columns();
    let field = |name: &str| {
        let place = columns.iter().position(|column| column == name).unwrap();
        text.trim_end().split(',').nth(place).unwrap()
    };
    let expected = [
        ("unix_ms", "1700000000123"),
        ("step_ms", "60000"),
        ("endpoint", "a-1"),
        ("epoch", "7"),
        ("memory_ratio", "0.75"),
        ("latency_p99", "0.1"),
        ("disk_ratio", ""),
        ("memory_used", "50331648"),
        ("memory_limit", "67108864"),
        ("disk_limit", ""),
        ("rule_30", "0.5"),
        ("model_5", ""),
        ("risk_15", "0.25"),
        ("raised", "1"),
        ("why", "lasts"),
        ("change", ""),
    ];
    for (name, value) in expected {
        assert_eq!(field(name), value, "{name}");
    }
    let back = Entry::read(&text).unwrap();
    assert_eq!(line(&back), text);
    assert_eq!(format!("{back:?}"), format!("{:?}", entry()));
}

#[test]
fn the_columns_are_those_of_the_documentation() {
    let docs = include_str!("../../../../docs/record.md");
    let told: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(name, _)| name))
        .collect();
    assert_eq!(told, columns());
}

#[test]
fn names_of_columns_are_not_used_twice() {
    let mut names = columns();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_torn_last_line_is_left_out_and_a_bad_one_in_the_middle_is_told() {
    let (header, good) = (header(), line(&entry()));
    for cut in 0..good.len() {
        let text = format!("{header}{good}{}", &good[..cut]);
        assert_eq!(entries(&text).filter(Result::is_ok).count(), 1, "{cut}");
        assert_eq!(entries(&text).count(), 1, "{cut}");
    }
    let text = format!("{header}{good}{},\n{good}", &good[..20]);
    let found: Vec<_> = entries(&text).collect();
    assert_eq!((found.len(), found.iter().filter(|entry| entry.is_ok()).count()), (3, 2));
    assert_eq!(entries("").count(), 0);
    assert_eq!(entries(&header).count(), 0);
}

#[test]
fn what_no_field_may_hold_is_refused_with_the_fields_name() {
    let good = line(&entry());
    let changed = |from: &str, to: &str| Entry::read(&good.replacen(from, to, 1)).unwrap_err();
    assert_eq!(changed("1700000000123", "now"), BadLine::Field("unix_ms"));
    assert_eq!(changed("cart", "Cart"), BadLine::Field("store"));
    assert_eq!(changed("at_risk", "at risk"), BadLine::Field("state"));
    assert_eq!(changed("0.75", "-1"), BadLine::Field("memory_ratio"));
    assert_eq!(changed("0.75", "NaN"), BadLine::Field("memory_ratio"));
    assert_eq!(changed("0.25", "1.5"), BadLine::Field("rule"));
    assert_eq!(changed("0.25", ""), BadLine::Field("rule"), "two of three");
    assert_eq!(changed(&short_digest(), "0123456789ab"), BadLine::Contract);
    assert_eq!(
        changed("cart,", ""),
        BadLine::Fields { found: columns().len() - 1, expected: columns().len() }
    );
    assert_eq!(Entry::read(&"x".repeat(LINE_MOST + 1)).unwrap_err(), BadLine::Long);
    let longest = Entry::read(&"x".repeat(LINE_MOST)).unwrap_err();
    assert_eq!(longest, BadLine::Fields { found: 1, expected: columns().len() });
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(text in "\\PC*", at in 0..600_usize, with in "[-0-9a-zA-Z.,_]{0,5}") {
        Entry::read(&text).ok();
        let mut good = line(&entry());
        let at = at.min(good.len());
        good.insert_str(at, &with);
        if let Ok(read) = Entry::read(&good) {
            prop_assert!(Entry::read(&line(&read)).is_ok());
        }
    }
}

#[test]
fn the_first_line_of_a_file_has_the_names_of_the_columns() {
    let header = header();
    assert!(header.starts_with("unix_ms,contract,step_ms,") && header.ends_with(",change\n"), "{header}");
    assert_eq!(header.trim_end().split(',').count(), columns().len());
}

#[test]
fn a_line_bears_the_beginning_of_the_digest_of_its_contract() {
    let text = line(&entry());
    let bears = text.split(',').nth(1).unwrap();
    assert_eq!(bears.len(), 12);
    assert!(contract::digest().starts_with(bears), "{bears}");
}

#[test]
fn an_alarm_that_is_not_raised_is_read_as_such() {
    let calm = Entry { raised: false, ..entry() };
    assert!(!Entry::read(&line(&calm)).unwrap().raised);
}
