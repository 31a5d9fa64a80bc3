//! The properties that `make fuzz` looks for breaches of, over its corpus: seeds, and whatever once broke one.

use std::path::Path;

#[path = "../../../../tests/fuzz/properties.rs"]
mod properties;

fn replay(target: &str, property: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&directory).expect("the corpus is there") {
        let path = entry.expect("can be listed").path();
        let bytes = std::fs::read(&path).expect("can be read");
        println!("{}", path.display());
        property(&bytes);
        // Each seed in each cut, and each of its beginnings.
        for cut in 1..=u8::try_from(bytes.len().min(64)).unwrap_or(u8::MAX) {
            let mut other = bytes.clone();
            other[0] = cut;
            property(&other);
            property(&bytes[..usize::from(cut)]);
        }
        replayed += 1;
    }
    assert!(replayed > 0, "{target} has a corpus");
}

#[test]
fn requests() {
    replay("requests", properties::requests);
}

#[test]
fn replies() {
    replay("replies", properties::replies);
}

#[test]
fn sessions() {
    replay("session", properties::session);
}

#[test]
fn relays() {
    replay("relay", properties::relay);
}
