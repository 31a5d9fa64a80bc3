//! Values of keys: how each type reads from TOML, how it is written, and how JSON Schema describes it.

mod duration;
mod size;
mod text;
mod url;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::de::DeValue;

pub(crate) use self::duration::display as show;
pub use self::text::{CertificateHash, KeyPrefix};
pub(crate) use self::text::{Text, choice};

pub use self::size::ByteSize;
pub use self::url::{EndpointUrl, HttpUrl};

/// Why a value is none of its key's type. The reader adds where, and what one looks like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What is wrong; never quotes what could be a credential.
    pub(crate) problem: String,
    /// What to do, where there is better advice than an example.
    pub(crate) remedy: Option<String>,
}

impl Mismatch {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: None }
    }

    pub(crate) fn with_remedy(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: Some(remedy.into()) }
    }
}

/// The type of a key's value.
pub(crate) trait Setting: Sized {
    /// JSON Schema of the value.
    fn schema() -> Value;
    /// Takes the value from TOML.
    fn read(value: &DeValue<'_>) -> Result<Self, Mismatch>;
    /// The value as TOML.
    fn write(&self) -> String;
    /// Its size on a scale that orders all values of the type, where there is one: for the ranges of keys.
    fn measure(&self) -> Option<u128> {
        None
    }
    /// The value, with relative paths counted from `base`.
    fn based(self, _base: &Path) -> Self {
        self
    }
}

/// The value that the text of a declaration in this crate stands for.
pub(crate) fn declared<T: Setting>(text: &'static str) -> T {
    let value = DeValue::parse(text).expect("declared values are TOML: a test reads each of them");
    T::read(value.get_ref()).expect("declared values are of their key's type: a test reads each of them")
}

/// `expected X, found Y`, for a value that is not of the right TOML type.
pub(crate) fn unexpected(expected: &str, value: &DeValue<'_>) -> Mismatch {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Mismatch::new(format!("expected {expected}, found {found}"))
}

impl<T: Text> Setting for T {
    fn schema() -> Value {
        T::json_schema()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Mismatch> {
        value.as_str().ok_or_else(|| unexpected(T::EXPECTED, value)).and_then(T::parse)
    }

    fn write(&self) -> String {
        toml::Value::String(self.text()).to_string()
    }

    fn measure(&self) -> Option<u128> {
        self.size()
    }

    fn based(self, base: &Path) -> Self {
        Text::based(self, base)
    }
}

impl Setting for bool {
    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Mismatch> {
        value.as_bool().ok_or_else(|| unexpected("true or false", value))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn schema() -> Value {
        json!({ "type": "integer" })
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Mismatch> {
        let number = value.as_integer().ok_or_else(|| unexpected("an integer", value))?;
        Self::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| Mismatch::new(format!("{number} is not an integer from 0 to {}", Self::MAX)))
    }

    fn write(&self) -> String {
        self.to_string()
    }

    fn measure(&self) -> Option<u128> {
        Some(u128::from(*self))
    }
}

/// Longest list that a key takes. More listeners than any machine needs, few enough to keep.
const LIST_MAX: usize = 64;

impl<T: Text> Setting for Vec<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::json_schema(), "minItems": 1, "maxItems": LIST_MAX })
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Mismatch> {
        let items = value.as_array().ok_or_else(|| unexpected("an array", value))?;
        if items.is_empty() || items.len() > LIST_MAX {
            return Err(Mismatch::new(format!("has {} items, not 1 to {LIST_MAX}", items.len())));
        }
        items.iter().map(|item| T::read(item.get_ref())).collect()
    }

    fn write(&self) -> String {
        format!("[{}]", self.iter().map(Setting::write).collect::<Vec<_>>().join(", "))
    }
}

impl Text for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn json_schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.is_empty() || text.contains('\0') {
            return Err(Mismatch::new("is not a path: empty, or with a NUL in it"));
        }
        Ok(text.into())
    }

    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }

    fn based(self, base: &Path) -> Self {
        base.join(self)
    }
}

#[cfg(test)]
mod tests;
