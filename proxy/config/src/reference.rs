//! The reference file, the table of a gate's keys and the JSON Schema, from the table of keys.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::model::{Config, Gate};
use crate::section::{Key, Kind, Presence, Section, Spec};

const HEAD: &str = "\
# The reference of every key. Lines that begin with `#name =` show defaults and examples; uncomment to change.
# Durations and sizes carry their units: \"250ms\", \"2s\", \"10min\", \"64MiB\". Unknown keys are refused.
# Keys marked (reload) are applied by SIGHUP or a change of the file, the others by a restart.
# Written by the tests from the code (FORETOKEN_BLESS=1 cargo test -p foretoken-config); edit the code instead.
";

/// The text of `config/foretoken.toml`.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, &Config::spec(), "");
    text
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        let line = line.trim_end();
        writeln!(text, "#{}{line}", if line.is_empty() || line.starts_with(' ') { "" } else { " " })
            .expect("a String takes every write");
    }
}

fn section(text: &mut String, spec: &Spec, head: &str) {
    for key in &spec.keys {
        let name = key.facts.name;
        let path = if head.is_empty() { name.to_owned() } else { format!("{head}.{name}") };
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(String::new());
        match &key.kind {
            Kind::Value(presence, _) => {
                let shown = plain(key.facts.text);
                comment(text, key.facts.doc);
                if key.facts.live {
                    text.push_str("# (reload)\n");
                }
                let off = if *presence == Presence::Required { "" } else { "#" };
                writeln!(text, "{off}{name} = {shown}").expect("a String takes every write");
            }
            Kind::Table(inner) => table(text, key, inner, &format!("[{path}]"), &path),
            Kind::OptionalTable(inner) => absent(text, key, inner, &format!("[{path}]"), &path),
            Kind::OptionalTables(inner) => absent(text, key, inner, &format!("[[{path}]]"), &path),
            Kind::Tables(inner) => table(text, key, inner, &format!("[[{path}]]"), &path),
        }
    }
}

fn table(text: &mut String, key: &Key, inner: &Spec, header: &str, path: &str) {
    comment(text, key.facts.doc);
    text.push_str(header);
    text.push('\n');
    section(text, inner, path);
}

/// A table that is absent as a whole unless it is wanted.
fn absent(text: &mut String, key: &Key, inner: &Spec, header: &str, path: &str) {
    comment(text, key.facts.doc);
    let mut body = String::new();
    section(&mut body, inner, path);
    for line in std::iter::once(header).chain(body.lines()) {
        let off = if line.is_empty() || line.starts_with('#') { "" } else { "#" };
        writeln!(text, "{off}{line}").expect("a String takes every write");
    }
}

/// The table of a gate's keys in `docs/gate.md`.
#[must_use]
pub fn gate_keys() -> String {
    let mut text = "| key | when it is unset | meaning |\n| --- | --- | --- |\n".to_owned();
    rows(&mut text, &Gate::spec(), "");
    text
}

fn rows(text: &mut String, spec: &Spec, head: &str) {
    for key in &spec.keys {
        let name = key.facts.name;
        let path = if head.is_empty() { name.to_owned() } else { format!("{head}.{name}") };
        let shown = plain(key.facts.text);
        let (key_or_head, unset, inner) = match &key.kind {
            Kind::Value(Presence::Default, _) => (path.clone(), format!("`{shown}`"), None),
            Kind::Value(Presence::Required, _) => {
                (path.clone(), format!("refused; write e.g. `{shown}`"), None)
            }
            Kind::Value(Presence::Optional, _) => (path.clone(), format!("none; e.g. `{shown}`"), None),
            Kind::Table(inner) => (format!("[{path}]"), String::new(), Some(inner)),
            Kind::OptionalTable(inner) => (format!("[{path}]"), "none".to_owned(), Some(inner)),
            Kind::Tables(inner) | Kind::OptionalTables(inner) => {
                (format!("[[{path}]]"), String::new(), Some(inner))
            }
        };
        let meaning: Vec<_> = key.facts.doc.iter().map(|line| line.trim()).collect();
        writeln!(text, "| `{key_or_head}` | {unset} | {} |", meaning.join(" "))
            .expect("a String takes every write");
        if let Some(inner) = inner {
            rows(text, inner, &path);
        }
    }
}

/// Numbers as people write them in a file, without Rust's separators.
fn plain(text: &str) -> String {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        text.replace('_', "")
    } else {
        text.to_owned()
    }
}

/// The JSON Schema of the file (draft 2020-12).
#[must_use]
pub fn schema() -> String {
    let mut root = object(&Config::spec());
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("Foretoken configuration"));
    let mut text = serde_json::to_string_pretty(&Value::Object(root)).expect("a tree of strings is JSON");
    text.push('\n');
    text
}

fn array(inner: &Spec) -> Map<String, Value> {
    let mut list = Map::new();
    list.insert("type".to_owned(), json!("array"));
    list.insert("items".to_owned(), Value::Object(object(inner)));
    list
}

fn object(spec: &Spec) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in &spec.keys {
        let mut shape = match &key.kind {
            Kind::Value(presence, schema) => {
                if *presence == Presence::Required {
                    required.push(json!(key.facts.name));
                }
                schema.as_object().cloned().unwrap_or_default()
            }
            Kind::Table(inner) | Kind::OptionalTable(inner) => object(inner),
            Kind::Tables(inner) => {
                required.push(json!(key.facts.name));
                let mut list = array(inner);
                list.insert("minItems".to_owned(), json!(1));
                list
            }
            Kind::OptionalTables(inner) => array(inner),
        };
        let text: Vec<_> = key.facts.doc.iter().map(|line| line.trim()).collect();
        shape.insert("description".to_owned(), json!(text.join(" ")));
        properties.insert(key.facts.name.to_owned(), Value::Object(shape));
    }
    let mut whole = Map::new();
    whole.insert("type".to_owned(), json!("object"));
    whole.insert("additionalProperties".to_owned(), json!(false));
    if !spec.about.is_empty() {
        let about: Vec<_> = spec.about.iter().map(|line| line.trim()).collect();
        whole.insert("description".to_owned(), json!(about.join(" ")));
    }
    if !required.is_empty() {
        whole.insert("required".to_owned(), Value::Array(required));
    }
    whole.insert("properties".to_owned(), Value::Object(properties));
    whole
}
