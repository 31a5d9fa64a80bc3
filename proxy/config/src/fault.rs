//! What is wrong with a configuration: all of it at once.

use std::fmt;

/// Faults that are listed; more are only counted. More than anybody mends before trying again, and a bound on what a
/// file of nothing but mistakes makes us keep.
const LISTED: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, counted from 1; `None` when it is not in a file, or is the file as a whole.
    pub line: Option<usize>,
    /// Path of the key, such as `store.cache.lease.guard`; empty when it is not about a key.
    pub key: String,
    /// The relation that is broken, with its values. Never holds a credential.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with one configuration, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    origin: String,
    listed: Vec<Fault>,
    unlisted: usize,
}

impl Faults {
    /// `None` when nothing is wrong.
    pub(crate) fn of(origin: &str, mut faults: Vec<Fault>) -> Option<Self> {
        if faults.is_empty() {
            return None;
        }
        faults.sort_by_key(|fault| fault.line);
        faults.dedup();
        let unlisted = faults.len().saturating_sub(LISTED);
        faults.truncate(LISTED);
        Some(Self { origin: origin.to_owned(), listed: faults, unlisted })
    }

    /// The one fault of something that could not be looked into.
    pub(crate) fn whole(origin: &str, problem: String, remedy: &str) -> Self {
        let fault = Fault { line: None, key: String::new(), problem, remedy: remedy.to_owned() };
        Self { origin: origin.to_owned(), listed: vec![fault], unlisted: 0 }
    }

    /// The same without lines, for a text that nobody has written.
    pub(crate) fn without_lines(mut self) -> Self {
        self.listed.iter_mut().for_each(|fault| fault.line = None);
        self
    }

    /// Each of them; the first 100 when there are more.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.listed.iter()
    }
}

impl fmt::Display for Faults {
    /// One line each: `file:line: key: problem; remedy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.listed.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.origin)?;
            if let Some(line) = fault.line {
                write!(f, ":{line}")?;
            }
            if !fault.key.is_empty() {
                write!(f, ": {}", fault.key)?;
            }
            write!(f, ": {}; {}", fault.problem, fault.remedy)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n{}: {} more faults", self.origin, self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests;
