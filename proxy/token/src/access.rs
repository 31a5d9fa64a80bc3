//! What a token lets its holder do.

use std::fmt;
use std::ops::{BitAnd, BitOr};

use serde::{Deserialize, Serialize};

/// A set of rights: read, write, admin, queue.
///
/// Not to be mixed up with [`foretoken_types::Access`], which says what *one request* does; [`Access::for_request`] leads
/// from there to here.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Access(u8);

impl Access {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Ask for data.
    pub const READ: Self = Self(1);
    /// Change data, and have it acknowledged.
    pub const WRITE: Self = Self(2);
    /// Commands that govern the store itself.
    pub const ADMIN: Self = Self(4);
    /// Let writes wait in the sidecar until there is a primary.
    pub const QUEUE: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    const WORDS: [(Self, &'static str); 4] =
        [(Self::READ, "read"), (Self::WRITE, "write"), (Self::ADMIN, "admin"), (Self::QUEUE, "queue")];

    /// What a request of the data path needs.
    #[must_use]
    pub const fn for_request(request: foretoken_types::Access) -> Self {
        match request {
            foretoken_types::Access::Read => Self::READ,
            foretoken_types::Access::Write => Self::WRITE,
        }
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The rights as words, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(right, _)| self.contains(*right)).map(|(_, word)| word)
    }

    /// The right that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, known)| *known == word).map(|(right, _)| right)
    }
}

impl BitOr for Access {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitAnd for Access {
    type Output = Self;
    fn bitand(self, rhs: Self) -> Self {
        self.intersection(rhs)
    }
}

/// Bits that no right has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#04x} has bits that no right has")]
pub struct UnknownRight(u8);

impl TryFrom<u8> for Access {
    type Error = UnknownRight;
    fn try_from(bits: u8) -> Result<Self, UnknownRight> {
        if bits & !Self::ALL.0 == 0 { Ok(Self(bits)) } else { Err(UnknownRight(bits)) }
    }
}

impl From<Access> for u8 {
    fn from(access: Access) -> Self {
        access.0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (place, word) in self.words().enumerate() {
            if place > 0 {
                f.write_str("+")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
