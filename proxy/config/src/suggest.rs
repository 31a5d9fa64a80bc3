//! What a key that does not exist was probably meant to be.

use crate::read::heads;
use crate::section::Spec;

/// Names longer than this are not compared: no key is as long, and comparing costs the product of the lengths.
const COMPARED_MAX: usize = 40;

/// The name that is nearest to `name`, if one is near: every third letter may be wrong.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > COMPARED_MAX {
        return None;
    }
    let (edits, near) = known.map(|known| (distance(name, known), known)).min()?;
    (edits <= (name.chars().count() / 3).max(1)).then_some(near)
}

/// The heads of the tables in `spec` that have a key `name`.
pub(crate) fn sections_with(name: &str, spec: Spec) -> Vec<String> {
    let mut found: Vec<_> = heads(spec)
        .into_iter()
        .filter(|(_, spec)| spec.keys.iter().any(|key| key.facts.name == name))
        .map(|(path, _)| match path.as_str() {
            "" => "no head, at the top".to_owned(),
            "store" | "store.endpoint" | "store.block" | "service" | "service.grant" => format!("[[{path}]]"),
            _ => format!("[{path}]"),
        })
        .collect();
    found.sort();
    found
}

/// Letters to add, remove or change to make one of the other (Levenshtein 1966).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Gate};
    use crate::section::Section as _;

    #[test]
    fn a_slip_of_the_pen_is_understood_and_another_word_is_not() {
        let known = ["hold_max", "hold_bytes", "reads"];
        for (name, meant) in [
            ("hold_maxx", Some("hold_max")),
            ("holdmax", Some("hold_max")),
            ("raeds", None),
            ("read", Some("reads")),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), meant, "{name}");
        }
        for (one, other, edits) in [("kitten", "sitting", 3), ("abc", "", 3), ("", "ab", 2), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
        let key = |length: usize| "k".repeat(length);
        let known = key(41);
        assert_eq!(nearest(&key(40), [known.as_str()].into_iter()), Some(known.as_str()));
        assert_eq!(nearest(&key(41), [known.as_str()].into_iter()), None, "longer than any key");
    }

    #[test]
    fn a_key_that_is_elsewhere_is_found_there() {
        for (name, heads) in [
            ("ttl", &["[store.lease]"][..]),
            ("state_dir", &["no head, at the top"]),
            ("advertise", &["[[store.endpoint]]"]),
            ("prefix", &["[[store.block]]"]),
            ("listen", &["[[store]]", "[admin]"]),
            ("uid", &["[[service]]"]),
            ("access", &["[[service.grant]]"]),
            ("nowhere", &[]),
        ] {
            assert_eq!(sections_with(name, Config::spec()), heads, "{name}");
        }
        assert_eq!(sections_with("ttl", Gate::spec()), ["[limits]"]);
        assert_eq!(sections_with("hold_max", Gate::spec()), [""; 0], "a gate's file has keys of its own");
    }
}
