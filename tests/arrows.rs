//! Holds the crates to the table of allowed arrows: a new arrow is a decision, and not an accident.
//!
//! Method: what each manifest of the workspace states, as `cargo metadata` tells it, against the table below. Only
//! normal dependencies count; tests may use what they need.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const PREFIX: &str = "foretoken-";

/// Crate, without the prefix; what it may use of ours; what it must not use of others'. The root is `foretoken`.
///
/// To draw a new arrow, change the table in the same commit and say why there.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    // The nouns: no runtime, no I/O, and no clock but the trait.
    ("types", &[], &["tokio", "tower"]),
    // Layers that stay true for any service.
    ("stack", &[], &[]),
    ("config", &["types"], &["tokio"]),
    // The engines: functions of values. Whoever needs a runtime there wants to do something, not to decide it.
    ("health", &["types"], &["tokio"]),
    ("failover", &["types"], &["tokio"]),
    ("predict", &["health", "types"], &["tokio"]),
    ("transport", &["types"], &[]),
    ("registry", &["types"], &[]),
    ("token", &["types"], &["tokio"]),
    ("protocol", &["transport", "types"], &[]),
    ("protocol-redis", &["protocol", "transport", "types"], &[]),
    ("mirror", &["protocol", "types"], &[]),
    // The data path knows no engine, and no protocol by name.
    ("outbound", &["protocol", "stack", "transport", "types"], &[]),
    // It speaks TLS with callers, knows them by what their tokens are bound to, and gives tokens over the wire.
    ("admin", &["registry", "token", "transport", "types"], &[]),
    // The one room that knows them all.
    (
        "app",
        &[
            "admin",
            "config",
            "failover",
            "health",
            "mirror",
            "outbound",
            "predict",
            "protocol",
            "protocol-redis",
            "registry",
            "stack",
            "token",
            "transport",
            "types",
        ],
        &[],
    ),
    ("demo", &["app", "config", "types"], &[]),
    ("foretoken", &["app", "config", "demo"], &[]),
];

/// Crate, without the prefix, to the full names of its normal dependencies.
type Crates = BTreeMap<String, Vec<String>>;

#[test]
fn crates_use_only_what_the_table_allows() {
    let faults = faults(&workspace());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_row_of_the_table_is_a_crate() {
    let crates = workspace();
    let gone: Vec<_> =
        TABLE.iter().map(|(name, ..)| *name).filter(|name| !crates.contains_key(*name)).collect();
    assert!(gone.is_empty(), "rows without a crate: {gone:?}");
}

#[test]
fn an_arrow_too_many_and_a_crate_without_a_row_are_found() {
    let found = |name: &str, uses: &[&str]| {
        let uses = uses.iter().map(|name| (*name).to_owned()).collect();
        faults(&Crates::from([(name.to_owned(), uses)]))
    };
    assert_eq!(found("health", &["foretoken-types", "serde", "registry"]), [""; 0]);
    assert_eq!(
        found("health", &["foretoken-registry"]),
        ["health uses registry, which the table does not allow"]
    );
    assert_eq!(found("failover", &["tokio"]), ["failover uses tokio, which the table forbids"]);
    assert_eq!(found("cellar", &[]), ["cellar has no row in the table"]);
}

fn faults(crates: &Crates) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, uses) in crates {
        let Some((_, allowed, forbidden)) = TABLE.iter().find(|(row, ..)| row == name) else {
            faults.push(format!("{name} has no row in the table"));
            continue;
        };
        for used in uses {
            match used.strip_prefix(PREFIX) {
                Some(ours) if !allowed.contains(&ours) => {
                    faults.push(format!("{name} uses {ours}, which the table does not allow"));
                }
                None if forbidden.contains(&used.as_str()) => {
                    faults.push(format!("{name} uses {used}, which the table forbids"));
                }
                _ => {}
            }
        }
    }
    faults
}

fn workspace() -> Crates {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let short = |name: String| name.strip_prefix(PREFIX).map_or(name.clone(), str::to_owned);
    let normal = |dependency: &Value| dependency["kind"].is_null();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let uses = list(&package["dependencies"]).iter().filter(|d| normal(d)).map(name).collect();
            (short(name(package)), uses)
        })
        .collect()
}
