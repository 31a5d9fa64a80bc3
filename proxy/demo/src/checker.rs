//! Holds a history against what the store holds in the end: what was lost, executed twice, reordered, read too old, or done
//! though the client was told that it was not.
//!
//! Every object is simple enough that the check is exact and fast: unique appends, registers with one writer, counters.
//! (Wing and Gong's search for a linearization, JPDC 17, 1993, is exponential in what overlaps; here order in real time is
//! compared directly.) The tests plant each kind of break and see it found.

mod counters;
mod lists;
mod registers;

use std::collections::BTreeSet;
use std::fmt;

use crate::history::{Contents, Ending, Fault, Operation};

/// How many of a kind were found, and the first ones in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many.
    pub count: u64,
    /// The first ones.
    pub examples: Vec<String>,
}

impl Kind {
    const EXAMPLES: usize = 5;

    fn note(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(words());
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        for example in &self.examples {
            write!(f, "; {example}")?;
        }
        Ok(())
    }
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Operations that ended as done.
    pub done: u64,
    /// Writes among them.
    pub acknowledged_writes: u64,
    /// Operations that ended as not executed.
    pub not_executed: Kind,
    /// Operations that ended in doubt.
    pub in_doubt: Kind,
    /// Acknowledged writes that are gone, as indices into the history.
    pub lost: BTreeSet<usize>,
    /// Their share of the change stream, in bytes.
    pub lost_bytes: u64,
    /// The first of them in words.
    pub lost_examples: Vec<String>,
    /// Written once, there twice.
    pub duplicated: Kind,
    /// In another order than in real time.
    pub reordered: Kind,
    /// There, though the client was told that it was not executed, or never sent.
    pub phantom: Kind,
    /// A read of an older state than one that was known to be in force.
    pub stale: Kind,
    /// A write survived a fault though an earlier one did not.
    pub not_a_suffix: Kind,
}

impl Findings {
    /// Whether every operation was done, and everything is there, once and in order.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.not_executed.count == 0 && self.in_doubt.count == 0 && self.lost.is_empty() && self.is_honest()
    }

    /// Whether the store never told anything false, loss aside.
    #[must_use]
    pub const fn is_honest(&self) -> bool {
        self.duplicated.count == 0
            && self.reordered.count == 0
            && self.phantom.count == 0
            && self.stale.count == 0
            && self.not_a_suffix.count == 0
    }

    /// Everything that is wrong, in words; empty when nothing is.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let kinds = [
            ("executed twice", &self.duplicated),
            ("out of order", &self.reordered),
            ("there, though said not to be executed", &self.phantom),
            ("read too old", &self.stale),
            ("lost before one that survived", &self.not_a_suffix),
        ];
        kinds
            .into_iter()
            .filter(|(_, kind)| kind.count > 0)
            .map(|(name, kind)| format!("{name}: {kind}"))
            .collect()
    }
}

/// Checks `history` against what the store holds at its end. `fault`: the one moment in which writes may have been lost;
/// losses are found with or without it, but only with it a read that goes back over it counts as loss and not as stale.
#[must_use]
pub fn check(history: &[Operation], contents: &Contents, fault: Option<Fault>) -> Findings {
    let mut findings = Findings::default();
    for operation in history {
        let words = |why: &str| format!("{:?} of client {}: {why}", operation.action, operation.client);
        match &operation.ending {
            Ending::Done(_) => {
                findings.done += 1;
                findings.acknowledged_writes += u64::from(operation.action.is_write());
            }
            Ending::NotExecuted(why) => findings.not_executed.note(|| words(why)),
            Ending::InDoubt(why) => findings.in_doubt.note(|| words(why)),
        }
    }
    let survivors = lists::check(history, contents, fault, &mut findings);
    registers::check(history, contents, fault, &mut findings);
    counters::check(history, contents, fault, &mut findings);
    suffix(history, &survivors, fault, &mut findings);
    for &lost in &findings.lost {
        let operation = &history[lost];
        findings.lost_bytes += u64::from(operation.bytes);
        if findings.lost_examples.len() < Kind::EXAMPLES {
            let (action, ended) = (operation.action, operation.ended);
            findings.lost_examples.push(format!("{action:?}, acknowledged at {ended:?}"));
        }
    }
    findings
}

/// Nothing that began after a lost write had been acknowledged may have survived the fault.
fn suffix(history: &[Operation], survivors: &[usize], fault: Option<Fault>, findings: &mut Findings) {
    let first_lost = findings.lost.iter().map(|&lost| history[lost].ended).min();
    let (Some(fault), Some(first_lost)) = (fault, first_lost) else { return };
    for &survivor in survivors {
        let operation = &history[survivor];
        if operation.ended < fault.from && operation.invoked > first_lost {
            findings.not_a_suffix.note(|| {
                format!("{:?} survived, and one acknowledged at {first_lost:?} did not", operation.action)
            });
        }
    }
}

#[cfg(test)]
mod tests;
