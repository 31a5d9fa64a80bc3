//! Counters: each increment is told another number, later ones greater ones, and the sum is right.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use crate::history::{Action, Contents, Ending, Fault, Operation};

pub(super) fn check(
    history: &[Operation],
    contents: &Contents,
    fault: Option<Fault>,
    findings: &mut Findings,
) {
    let mut counters: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (index, operation) in history.iter().enumerate() {
        if let Action::Increment { counter } = operation.action {
            counters.entry(counter).or_default().push(index);
        }
    }
    for (&id, increments) in &counters {
        let total = contents.counters.get(&id).copied().unwrap_or(0);
        check_one(id, increments, total, history, fault, findings);
    }
}

fn told(operation: &Operation) -> Option<u64> {
    match operation.ending {
        Ending::Done(number) => Some(number),
        Ending::NotExecuted(_) | Ending::InDoubt(_) => None,
    }
}

fn check_one(
    id: u8,
    increments: &[usize],
    total: u64,
    history: &[Operation],
    fault: Option<Fault>,
    findings: &mut Findings,
) {
    let acknowledged: Vec<usize> =
        increments.iter().copied().filter(|&index| told(&history[index]).is_some()).collect();
    let number = |index: usize| told(&history[index]).unwrap_or(0);
    let lost_before = findings.lost.len();

    // The lowest number told after the fault: what was told before it and is not below it was undone.
    let lowest_after = fault.and_then(|fault| {
        let after = acknowledged.iter().filter(|&&index| history[index].invoked >= fault.from);
        after.map(|&index| number(index)).min()
    });
    let lost = |index: usize| {
        let undone = lowest_after.is_some_and(|lowest| number(index) >= lowest) || number(index) > total;
        undone && fault.is_some_and(|fault| history[index].invoked < fault.from)
    };
    let (gone, kept): (Vec<usize>, Vec<usize>) = acknowledged.iter().partition(|&&index| lost(index));
    findings.lost.extend(gone);

    let mut by_end = kept.clone();
    by_end.sort_by_key(|&index| history[index].ended);
    let mut by_start = kept.clone();
    by_start.sort_by_key(|&index| history[index].invoked);
    let mut ended = by_end.into_iter().peekable();
    let mut highest = 0;
    let mut holders: HashMap<u64, usize> = HashMap::new();
    for index in by_start {
        while let Some(before) = ended.next_if(|&before| history[before].ended < history[index].invoked) {
            highest = number(before).max(highest);
        }
        if let Some(other) = holders.insert(number(index), index) {
            let (a, b) = (history[other].client, history[index].client);
            findings
                .duplicated
                .note(|| format!("counter {id} told {} to clients {a} and {b}", number(index)));
        } else if number(index) <= highest {
            findings
                .reordered
                .note(|| format!("counter {id} told {} after {highest} was known", number(index)));
        }
    }

    let doubtful =
        increments.iter().filter(|&&index| matches!(history[index].ending, Ending::InDoubt(_))).count();
    let (kept, doubtful) = (kept.len() as u64, doubtful as u64);
    if total < kept {
        // Which ones is not told by the sum: the last ones are as good as any.
        let mut by_number = acknowledged;
        by_number.sort_by_key(|&index| number(index));
        let missing = usize::try_from(kept - total).unwrap_or(usize::MAX);
        findings.lost.extend(by_number.into_iter().rev().take(missing));
    } else if total > kept + doubtful + (findings.lost.len() - lost_before) as u64 {
        findings
            .duplicated
            .note(|| format!("counter {id} is {total}, with {kept} increments done and {doubtful} in doubt"));
    }
}
