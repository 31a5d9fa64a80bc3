//! Registers with one writer and rising numbers: no read sees less than what was known to be in force when it began.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Findings;
use crate::history::{Action, Contents, Ending, Fault, Operation};

/// What is known of one register.
#[derive(Default)]
struct Register {
    /// Number, and index into the history.
    writes: BTreeMap<u64, usize>,
    reads: Vec<Read>,
}

struct Read {
    invoked: Duration,
    ended: Duration,
    number: u64,
}

/// That a number was in force at the latest then.
#[derive(Clone, Copy)]
struct Known {
    at: Duration,
    number: u64,
}

pub(super) fn check(
    history: &[Operation],
    contents: &Contents,
    fault: Option<Fault>,
    findings: &mut Findings,
) {
    let mut registers: BTreeMap<u16, Register> = BTreeMap::new();
    let mut end = Duration::ZERO;
    for (index, operation) in history.iter().enumerate() {
        end = end.max(operation.ended);
        match (&operation.action, &operation.ending) {
            (Action::Set { register, number }, _) => {
                registers.entry(*register).or_default().writes.insert(*number, index);
            }
            (Action::Read { register }, Ending::Done(number)) => {
                let (invoked, ended, number) = (operation.invoked, operation.ended, *number);
                registers.entry(*register).or_default().reads.push(Read { invoked, ended, number });
            }
            _ => {}
        }
    }
    // The last state is what a read after everything would see.
    let after = fault.map_or(end, |fault| end.max(fault.until)) + Duration::from_nanos(1);
    for (&id, register) in &mut registers {
        let number = contents.registers.get(&id).copied().unwrap_or(0);
        register.reads.push(Read { invoked: after, ended: after, number });
        check_one(id, register, history, fault, findings);
    }
}

fn check_one(
    id: u16,
    register: &mut Register,
    history: &[Operation],
    fault: Option<Fault>,
    findings: &mut Findings,
) {
    register.reads.sort_by_key(|read| read.invoked);
    let acknowledged = register.writes.iter().filter_map(|(&number, &index)| {
        let write = &history[index];
        matches!(write.ending, Ending::Done(_)).then_some(Known { at: write.ended, number })
    });
    let seen = register.reads.iter().map(|read| Known { at: read.ended, number: read.number });
    let mut known: Vec<Known> = acknowledged.chain(seen).collect();
    known.sort_by_key(|known| known.at);
    // The highest number that was known before, once for what a fault may have undone and once for what it may not.
    let (mut before_fault, mut after_fault) = (0, 0);
    let mut next = known.iter().peekable();
    for read in &register.reads {
        while let Some(known) = next.next_if(|known| known.at < read.invoked) {
            if fault.is_some_and(|fault| known.at <= fault.until) {
                before_fault = known.number.max(before_fault);
            } else {
                after_fault = known.number.max(after_fault);
            }
        }
        let number = read.number;
        let undone = number < before_fault && fault.is_some_and(|fault| read.ended >= fault.from);
        if number < after_fault || (number < before_fault && !undone) {
            let floor = after_fault.max(before_fault);
            findings.stale.note(|| format!("register {id} read as {number}, known to be {floor}"));
        } else if undone {
            for (_, &index) in register.writes.range(number + 1..) {
                let write = &history[index];
                let until = fault.map_or(Duration::ZERO, |fault| fault.until);
                if matches!(write.ending, Ending::Done(_))
                    && write.ended <= until
                    && write.ended < read.invoked
                {
                    findings.lost.insert(index);
                }
            }
        }
        if number == 0 {
            continue;
        }
        match register.writes.get(&number).map(|&index| &history[index]) {
            Some(write) if matches!(write.ending, Ending::NotExecuted(_)) => {
                findings.phantom.note(|| format!("{number} in register {id}, said not to be executed"));
            }
            Some(write) if write.invoked <= read.ended => {}
            Some(_) | None => {
                findings.phantom.note(|| format!("{number} in register {id}, which nobody had sent"));
            }
        }
    }
}
