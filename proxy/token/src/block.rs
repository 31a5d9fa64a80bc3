//! Which part of a store a token is for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest prefix, in bytes; with the other names it keeps the compact form below its bound.
pub const MAX_PREFIX: usize = 256;

/// A data block: all of a store, or the keys that begin with a prefix.
///
/// As text it is `*` or the prefix itself; a prefix is no pattern, so `user:*` means keys that contain a star.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block(Option<Arc<str>>);

/// Text that names no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block is * or a key prefix of 1 to 256 bytes without control characters")]
pub struct BadBlock;

impl Block {
    /// All of the store.
    pub const ALL: Self = Self(None);

    /// The prefix; `None` for all of the store.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether `key` lies in it.
    #[must_use]
    pub fn covers_key(&self, key: &[u8]) -> bool {
        self.prefix().is_none_or(|prefix| key.starts_with(prefix.as_bytes()))
    }

    /// Whether every key of `other` lies in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.prefix(), other.prefix()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => theirs.starts_with(ours),
        }
    }
}

impl FromStr for Block {
    type Err = BadBlock;
    fn from_str(text: &str) -> Result<Self, BadBlock> {
        match text {
            "*" => Ok(Self::ALL),
            "" => Err(BadBlock),
            _ if text.len() > MAX_PREFIX || text.chars().any(char::is_control) => Err(BadBlock),
            prefix => Ok(Self(Some(prefix.into()))),
        }
    }
}

impl TryFrom<String> for Block {
    type Error = BadBlock;
    fn try_from(text: String) -> Result<Self, BadBlock> {
        text.parse()
    }
}

impl From<Block> for String {
    fn from(block: Block) -> Self {
        block.to_string()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix().unwrap_or("*"))
    }
}

#[cfg(test)]
mod tests;
