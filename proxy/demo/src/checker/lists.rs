//! Lists of unique appends: each acknowledged one is there, once, at the place that the client was told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Findings;
use crate::history::{Action, Contents, Ending, Fault, Operation, Tag};

/// Checks lists. Gives the acknowledged appends that are there.
pub(super) fn check(
    history: &[Operation],
    contents: &Contents,
    fault: Option<Fault>,
    findings: &mut Findings,
) -> Vec<usize> {
    let mut appends: HashMap<(u8, Tag), usize> = HashMap::new();
    for (index, operation) in history.iter().enumerate() {
        if let Action::Append { list, tag } = operation.action {
            appends.insert((list, tag), index);
        }
    }
    let mut survivors = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    for (&list, values) in &contents.lists {
        // The latest start of an append among those before.
        let mut latest = Duration::ZERO;
        let mut numbers: BTreeMap<u16, u64> = BTreeMap::new();
        for (place, value) in values.iter().enumerate() {
            let known = value.as_ref().ok().and_then(|tag| Some((*tag, *appends.get(&(list, *tag))?)));
            let Some((tag, index)) = known else {
                findings.phantom.note(|| format!("{value:?} in list {list}, which nobody sent"));
                continue;
            };
            let operation = &history[index];
            if let Some(before) = places.insert(index, place) {
                findings.duplicated.note(|| format!("{tag} in list {list} at {before} and at {place}"));
                continue;
            }
            let previous = numbers.insert(tag.client, tag.number);
            if previous.is_some_and(|previous| previous > tag.number) {
                findings.reordered.note(|| format!("{tag} in list {list} after a later one of its client"));
            }
            match operation.ending {
                Ending::Done(length) => {
                    survivors.push(index);
                    if usize::try_from(length).ok() != Some(place + 1) {
                        findings.reordered.note(|| {
                            format!("{tag} is at {} of list {list}, and was told {length}", place + 1)
                        });
                    } else if operation.ended < latest {
                        findings.reordered.note(|| {
                            format!("{tag} in list {list} after one that began when it was acknowledged")
                        });
                    }
                }
                Ending::NotExecuted(_) => {
                    findings.phantom.note(|| format!("{tag} in list {list}, said not to be executed"));
                }
                Ending::InDoubt(_) => {}
            }
            latest = latest.max(operation.invoked);
        }
    }
    let mut lost_at: BTreeMap<u8, u64> = BTreeMap::new();
    for (&(list, _), &index) in &appends {
        if let Ending::Done(length) = history[index].ending
            && !places.contains_key(&index)
        {
            findings.lost.insert(index);
            let first = lost_at.entry(list).or_insert(length);
            *first = length.min(*first);
        }
    }
    if let Some(fault) = fault {
        for &index in &survivors {
            let operation = &history[index];
            if let (Action::Append { list, tag }, Ending::Done(length)) =
                (operation.action, &operation.ending)
                && operation.ended < fault.from
                && lost_at.get(&list).is_some_and(|first| length > first)
            {
                findings.not_a_suffix.note(|| format!("{tag} survived behind a lost one in list {list}"));
            }
        }
    }
    survivors
}
