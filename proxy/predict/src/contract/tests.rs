//! Goal: the table in Rust and the file that Python reads are the same contract.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    window: usize,
    step_seconds: u32,
    horizons: Vec<u16>,
    missing: f32,
    feature: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    unit: String,
    source: String,
    kind: String,
    low: f32,
    high: f32,
    resource: Option<String>,
    limit: Option<f32>,
}

fn file() -> File {
    toml::from_str(TEXT).expect("the contract is TOML in the shape that its head describes")
}

#[test]
fn the_table_says_what_the_file_says() {
    let file = file();
    assert_eq!(file.version, 1);
    assert_eq!(file.window, WINDOW);
    assert_eq!(file.step_seconds, 60);
    assert_eq!(file.horizons, HORIZONS);
    assert_eq!(file.missing.to_bits(), MISSING.to_bits());
    assert_eq!(file.feature.len(), FEATURES);
    for (entry, feature) in file.feature.iter().zip(Feature::ALL) {
        let spec = feature.spec();
        assert_eq!((entry.name.as_str(), entry.unit.as_str()), (spec.name, spec.unit));
        assert_eq!((entry.low, entry.high), (spec.low, spec.high), "{}", entry.name);
        let resource = entry.resource.as_deref().zip(entry.limit);
        assert_eq!(resource, spec.resource.map(|(r, limit)| (r.as_str(), limit)), "{}", entry.name);
    }
}

#[test]
fn places_follow_the_order_of_the_list() {
    for (place, feature) in Feature::ALL.into_iter().enumerate() {
        assert_eq!(feature.index(), place);
    }
}

#[test]
fn every_word_of_the_file_is_one_that_its_head_explains() {
    for entry in file().feature {
        assert!(["traffic", "store", "host"].contains(&entry.source.as_str()), "{}", entry.name);
        assert!(["level", "magnitude", "flag"].contains(&entry.kind.as_str()), "{}", entry.name);
        assert!(entry.low >= 0.0 && entry.low < entry.high, "{}: missing is -1", entry.name);
    }
}

#[test]
fn the_digest_is_sha_256() {
    // FIPS 180-2, the example "abc".
    let abc = ring::digest::digest(&ring::digest::SHA256, b"abc");
    assert_eq!(hex(abc.as_ref()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digest().len(), 64);
}

#[test]
fn the_sweep_in_the_documentation_is_the_one_that_training_wrote() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("it is in the repository");
    let sweep: serde_json::Value = serde_json::from_str(&read("models/risk/sweep.json")).expect("is JSON");
    let table = sweep["table"].as_str().expect("a table");
    let page = read("docs/risk.md");
    let begin = page.find("<!-- sweep:").and_then(|at| Some(at + page[at..].find('\n')? + 1));
    let (begin, end) = (begin.expect("a mark"), page.find("<!-- /sweep -->").expect("a mark"));
    if std::env::var_os("FORETOKEN_BLESS").is_some() {
        let page = format!("{}{table}\n{}", &page[..begin], &page[end..]);
        return std::fs::write(root.join("docs/risk.md"), page).expect("it is ours");
    }
    let stale = "docs/risk.md is stale: FORETOKEN_BLESS=1 cargo test -p foretoken-predict";
    assert_eq!(page[begin..end].trim(), table, "{stale}");
    // The table is made of the rows, and the longer a store is at risk the more is covered.
    let rows = sweep["blend"].as_array().expect("rows");
    assert_eq!(table.lines().count(), rows.len() + 2);
    let number = |row: &serde_json::Value, name: &str| row[name].as_f64().expect("a number");
    for pair in rows[..rows.len() - 1].windows(2) {
        for name in ["steps_at_risk_a_day", "covered"] {
            assert!(number(&pair[0], name) >= number(&pair[1], name), "{name}: {pair:?}");
        }
    }
}
