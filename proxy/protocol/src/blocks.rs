//! Data blocks: named parts of a store, chosen by the beginning of their keys.

use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

/// A set of a store's data blocks, by number: 0 is `*`, the named ones follow in the order of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Blocks(u64);

impl Blocks {
    /// Most named blocks of a store.
    pub const NAMED_MOST: usize = 63;
    /// Nobody has looked: the store has no named blocks.
    pub const NONE: Self = Self(0);
    /// `*` alone: keys in no named block, or no keys at all.
    pub const REST: Self = Self(1);
    /// `*` as all of the store: the keys can't be told, so they may lie in any block.
    pub const ALL: Self = Self(u64::MAX);

    /// The named block at `place` of the configuration, counted from 0. One beyond [`Self::NAMED_MOST`] can't be told from
    /// the others.
    #[must_use]
    pub const fn named(place: usize) -> Self {
        if place < Self::NAMED_MOST { Self(2 << place) } else { Self::ALL }
    }

    /// Whether `*` is in it.
    #[must_use]
    pub const fn has_rest(self) -> bool {
        self.0 & Self::REST.0 != 0
    }

    /// Whether the named block at `place` of the configuration is in it.
    #[must_use]
    pub const fn has_named(self, place: usize) -> bool {
        self.0 & Self::named(place).0 != 0
    }
}

impl BitOr for Blocks {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitOrAssign for Blocks {
    fn bitor_assign(&mut self, rhs: Self) {
        self.0 |= rhs.0;
    }
}

/// Which block a key lies in. There is none for a store without named blocks: then nobody looks at keys.
#[derive(Debug)]
pub struct BlockMap {
    /// The longest prefix first: it wins. So few that a search is no faster than trying each.
    prefixes: Vec<(Box<[u8]>, Blocks)>,
}

impl BlockMap {
    /// The map of blocks with these prefixes, in the order of the configuration; `None` when there are none.
    #[must_use]
    pub fn new<'a>(prefixes: impl IntoIterator<Item = &'a [u8]>) -> Option<Arc<Self>> {
        let numbered = prefixes.into_iter().enumerate();
        let mut prefixes: Vec<_> =
            numbered.map(|(place, prefix)| (Box::from(prefix), Blocks::named(place))).collect();
        prefixes.sort_by_key(|(prefix, _): &(Box<[u8]>, Blocks)| std::cmp::Reverse(prefix.len()));
        (!prefixes.is_empty()).then(|| Arc::new(Self { prefixes }))
    }

    /// The block of `key`.
    #[must_use]
    pub fn block_of(&self, key: &[u8]) -> Blocks {
        let mut holding = self.prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix));
        holding.next().map_or(Blocks::REST, |(_, block)| *block)
    }
}

#[cfg(test)]
mod tests;
