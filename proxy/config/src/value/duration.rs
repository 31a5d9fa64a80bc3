//! Durations with their unit in the value: `"250ms"`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Mismatch, Text};

/// Units and their nanoseconds, from large to small.
const UNITS: [(&str, u128); 5] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// Parses `<digits>[.<digits>]<unit>` exactly; `None` if it is not that, if its unit is not in `units`, or if it is not a
/// whole number of the base unit or above `u64::MAX` of them.
pub(super) fn quantity(text: &str, units: &[(&str, u128)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, "0"),
    };
    // What stands behind the point, as so many of `parts` of the unit.
    let fraction = fraction.trim_end_matches('0');
    let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let behind = digits.checked_mul(*scale)?;
    if !behind.is_multiple_of(parts) {
        return None;
    }
    let total = u128::from(whole.parse::<u64>().ok()?) * scale + behind / parts;
    u64::try_from(total).ok()
}

/// Writes `amount` in the largest unit that holds it as a whole number.
pub(super) fn in_units(amount: u128, units: &[(&str, u128)]) -> Option<String> {
    let (unit, scale) = units.iter().find(|(_, scale)| amount >= *scale && amount.is_multiple_of(*scale))?;
    Some(format!("{}{unit}", amount / scale))
}

/// As it is written in the file.
pub(crate) fn display(duration: Duration) -> String {
    in_units(duration.as_nanos(), &UNITS).unwrap_or_else(|| {
        // Zero; what is finer than a microsecond can't be written, and so doesn't come up.
        format!("{}us", duration.as_micros())
    })
}

impl Text for Duration {
    const EXPECTED: &'static str = "a string with a duration and its unit";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+([.][0-9]+)?(us|ms|s|min|h)$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        let nanos = quantity(text, &UNITS).filter(|nanos| nanos % 1_000 == 0);
        nanos.map(Self::from_nanos).ok_or_else(|| {
            Mismatch::with_remedy(
                format!("{text:?} is not a duration"),
                "write a number and one of us, ms, s, min, h, such as \"250ms\"",
            )
        })
    }

    fn text(&self) -> String {
        display(*self)
    }

    fn size(&self) -> Option<u128> {
        Some(self.as_nanos())
    }
}
