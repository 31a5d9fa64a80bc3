//! Values that TOML holds as strings.

use std::path::Path;

use foretoken_types::{Address, BlockId, EndpointId, Region, StoreId, Writers};
use serde_json::{Value, json};

use super::Mismatch;

/// A type that is written as a string.
pub(crate) trait Text: Sized {
    /// What it is, for "expected ..., found an integer".
    const EXPECTED: &'static str;
    /// JSON Schema of the string.
    fn json_schema() -> Value;
    /// Reads the string.
    fn parse(text: &str) -> Result<Self, Mismatch>;
    /// The string that reads back as this value.
    fn text(&self) -> String;
    /// See [`super::Setting::measure`].
    fn size(&self) -> Option<u128> {
        None
    }
    /// See [`super::Setting::based`].
    fn based(self, _base: &Path) -> Self {
        self
    }
}

/// Makes an enum a [`Text`] with a fixed word for each value.
macro_rules! choice {
    ($type:ty { $($word:literal => $value:path),+ $(,)? }) => {
        impl $crate::value::Text for $type {
            const EXPECTED: &'static str = "a string";

            fn json_schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),+] })
            }

            fn parse(text: &str) -> Result<Self, $crate::value::Mismatch> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err($crate::value::Mismatch::with_remedy(
                        format!("{text:?} is not a choice"),
                        format!("write one of: {}", [$(concat!("\"", $word, "\"")),+].join(", ")),
                    )),
                }
            }

            fn text(&self) -> String {
                match self { $($value => $word,)+ }.to_owned()
            }
        }
    };
}
pub(crate) use choice;

choice!(Writers { "others" => Writers::Others, "this-sidecar" => Writers::ThisSidecar });

impl Text for String {
    const EXPECTED: &'static str = "a string";

    fn json_schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.is_empty() {
            return Err(Mismatch::new("is empty"));
        }
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Text for Address {
    const EXPECTED: &'static str = "an address";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^(unix:/.+|.+:[0-9]+)$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.contains('@') {
            // Most likely a URL with a password in it, which is not to be printed.
            return Err(Mismatch::new("is not an address: it has an @ in it"));
        }
        text.parse().map_err(|_| {
            Mismatch::with_remedy(
                format!("{text:?} is not an address"),
                "write host:port, [v6]:port or unix:/path",
            )
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Longest name of a store, endpoint or region: that of a DNS label, and short enough for keys and metric labels.
const NAME_MAX: usize = 63;

/// Names stand in keys of the store, in URLs of the API and in metrics: nothing that needs quoting in any of them.
fn name(text: &str) -> Result<&str, Mismatch> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_well = text.bytes().next().is_some_and(allowed);
    if starts_well && text.len() <= NAME_MAX && text.bytes().all(|byte| allowed(byte) || byte == b'-') {
        Ok(text)
    } else {
        Err(Mismatch::with_remedy(
            format!("{text:?} is not a name"),
            format!("use 1 to {NAME_MAX} of a-z, 0-9 and -, the first not a -"),
        ))
    }
}

macro_rules! names {
    ($($type:ident),+) => {$(
        impl Text for $type {
            const EXPECTED: &'static str = "a name";

            fn json_schema() -> Value {
                json!({ "type": "string", "pattern": format!("^[a-z0-9][a-z0-9-]{{0,{}}}$", NAME_MAX - 1) })
            }

            fn parse(text: &str) -> Result<Self, Mismatch> {
                name(text).map(Self::from)
            }

            fn text(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

names!(StoreId, EndpointId, Region);

/// A block's name, or `*` for all of a store.
impl Text for BlockId {
    const EXPECTED: &'static str = "a name or *";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": format!("^([*]|[a-z0-9][a-z0-9-]{{0,{}}})$", NAME_MAX - 1) })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text == "*" { Ok(Self::from(text)) } else { name(text).map(Self::from) }
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// The beginning that the keys of a block have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Longest prefix in bytes: that of a token's block.
    pub const MAX: usize = 256;

    /// The prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for KeyPrefix {
    const EXPECTED: &'static str = "a key prefix";

    fn json_schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": Self::MAX })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        if text.is_empty() || text == "*" || text.len() > Self::MAX || text.chars().any(char::is_control) {
            return Err(Mismatch::with_remedy(
                format!("{text:?} is not a key prefix"),
                format!("write 1 to {} bytes without control characters, and no star at its end", Self::MAX),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// SHA-256 of a certificate in DER, as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateHash(String);

impl CertificateHash {
    /// The digits, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for CertificateHash {
    const EXPECTED: &'static str = "a SHA-256";

    fn json_schema() -> Value {
        json!({ "type": "string", "pattern": "^([0-9a-fA-F]{2}:?){32}$" })
    }

    fn parse(text: &str) -> Result<Self, Mismatch> {
        // With or without colons, as `openssl x509 -fingerprint -sha256` prints it.
        let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Mismatch::with_remedy(
                "is not the SHA-256 of a certificate",
                "write what `openssl x509 -in cert.pem -noout -fingerprint -sha256` prints behind the =",
            ));
        }
        Ok(Self(digits))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
