//! Sizes with their unit in the value: `"64MiB"`.

use std::fmt;

use serde_json::{Value, json};

use super::duration::{in_units, quantity};
use super::{Mismatch, Text};

/// Units and their bytes, from large to small.
const UNITS: [(&str, u128); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    /// As it is written in the file: `64MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(in_units(u128::from(self.0), &UNITS).as_deref().unwrap_or("0B"))
    }
}

impl Text for ByteSize {
    const EXPECTED: &'static str = "a string with a size and its unit";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+([.][0-9]+)?(B|KiB|MiB|GiB)$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        quantity(text, &UNITS).map(Self).ok_or_else(|| {
            Mismatch::with_remedy(
                format!("{text:?} is not a size"),
                "write a number and one of B, KiB, MiB, GiB, such as \"64MiB\"",
            )
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn size(&self) -> Option<u128> {
        Some(u128::from(self.0))
    }
}
