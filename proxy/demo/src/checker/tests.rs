use std::time::Duration;

use super::{Findings, check};
use crate::history::{Action, Contents, Ending, Fault, Operation, Tag};

/// Builds a history: each operation takes a millisecond and begins when the one before has ended.
#[derive(Default)]
struct Story {
    history: Vec<Operation>,
    contents: Contents,
    numbers: u64,
}

impl Story {
    fn add(&mut self, client: u16, action: Action, ending: Ending) -> usize {
        let at = Duration::from_millis(2 * self.history.len() as u64);
        let ended = at + Duration::from_millis(1);
        self.history.push(Operation { client, action, invoked: at, ended, ending, bytes: 10 });
        self.history.len() - 1
    }

    /// An append that is done, and there.
    fn append(&mut self, client: u16) -> Tag {
        self.numbers += 1;
        let tag = Tag { client, number: self.numbers };
        let list = self.contents.lists.entry(0).or_default();
        list.push(Ok(tag));
        let length = list.len() as u64;
        self.add(client, Action::Append { list: 0, tag }, Ending::Done(length));
        tag
    }

    fn list(&mut self) -> &mut Vec<Result<Tag, String>> {
        self.contents.lists.entry(0).or_default()
    }

    fn set(&mut self, number: u64) {
        self.contents.registers.insert(0, number);
        self.add(0, Action::Set { register: 0, number }, Ending::Done(0));
    }

    fn read(&mut self, number: u64) {
        self.add(1, Action::Read { register: 0 }, Ending::Done(number));
    }

    fn increment(&mut self, number: u64) {
        let total = self.contents.counters.entry(0).or_default();
        *total = number.max(*total);
        self.add(2, Action::Increment { counter: 0 }, Ending::Done(number));
    }

    /// A fault that begins now.
    fn fault(&self) -> Fault {
        let from = Duration::from_millis(2 * self.history.len() as u64);
        Fault { from, until: from }
    }

    fn check(&self, fault: Option<Fault>) -> Findings {
        check(&self.history, &self.contents, fault)
    }
}

fn good() -> Story {
    let mut story = Story::default();
    for round in 1..=5 {
        story.append(0);
        story.append(1);
        story.set(round);
        story.read(round);
        story.increment(round);
    }
    story
}

#[test]
fn a_good_history_is_flawless() {
    let findings = good().check(None);
    assert!(findings.is_flawless(), "{findings:?}");
    assert_eq!((findings.done, findings.acknowledged_writes), (25, 20));
}

#[test]
fn a_lost_append_is_found() {
    let mut story = good();
    drop(story.list().remove(3));
    let findings = story.check(None);
    assert_eq!(findings.lost.len(), 1);
    assert_eq!(findings.lost_bytes, 10);
    assert!(!findings.is_flawless());
}

#[test]
fn a_lost_write_of_a_register_is_found() {
    let mut story = good();
    story.contents.registers.insert(0, 3);
    assert!(story.check(None).stale.count > 0, "without a fault it is a state that went back");
    let fault = story.fault();
    let findings = story.check(Some(fault));
    assert_eq!(findings.lost.len(), 2, "{findings:?}");
}

#[test]
fn a_lost_increment_is_found() {
    let mut story = good();
    story.contents.counters.insert(0, 4);
    assert_eq!(story.check(None).lost.len(), 1);
    let fault = story.fault();
    assert_eq!(story.check(Some(fault)).lost.len(), 1);
}

#[test]
fn a_duplicate_is_found() {
    let mut story = good();
    let first = story.list()[0].clone();
    story.list().push(first);
    assert_eq!(story.check(None).duplicated.count, 1);

    let mut story = good();
    story.contents.counters.insert(0, 6);
    assert_eq!(story.check(None).duplicated.count, 1, "an increment that was executed twice");

    let mut story = good();
    story.increment(5);
    assert_eq!(story.check(None).duplicated.count, 1, "two were told the same number");
}

#[test]
fn a_reorder_is_found() {
    let mut story = good();
    story.list().swap(2, 3);
    assert!(story.check(None).reordered.count > 0);

    let mut story = good();
    story.increment(8);
    story.increment(7);
    story.contents.counters.insert(0, 7);
    assert_eq!(story.check(None).reordered.count, 1);
}

#[test]
fn a_stale_read_is_found() {
    let mut story = good();
    story.read(4);
    assert_eq!(story.check(None).stale.count, 1);
}

#[test]
fn a_read_that_goes_back_behind_another_read_is_found() {
    let mut story = good();
    // In doubt, seen once, and then not any more.
    story.add(0, Action::Set { register: 0, number: 6 }, Ending::InDoubt("cut".to_owned()));
    story.read(6);
    story.read(5);
    assert_eq!(story.check(None).stale.count, 2, "the second read, and the state at the end");
}

#[test]
fn what_was_said_not_to_be_executed_must_not_be_there() {
    let mut story = good();
    let tag = Tag { client: 3, number: 99 };
    story.list().push(Ok(tag));
    story.add(3, Action::Append { list: 0, tag }, Ending::NotExecuted("loading".to_owned()));
    assert_eq!(story.check(None).phantom.count, 1);

    let mut story = good();
    story.add(0, Action::Set { register: 0, number: 6 }, Ending::NotExecuted("loading".to_owned()));
    story.contents.registers.insert(0, 6);
    assert_eq!(story.check(None).phantom.count, 1);
}

#[test]
fn what_nobody_sent_is_found() {
    let mut story = good();
    story.list().push(Err("rubbish".to_owned()));
    assert_eq!(story.check(None).phantom.count, 1);
}

#[test]
fn in_doubt_may_be_there_or_not() {
    for executed in [false, true] {
        let mut story = good();
        let tag = Tag { client: 3, number: 99 };
        story.add(3, Action::Append { list: 0, tag }, Ending::InDoubt("cut".to_owned()));
        story.add(3, Action::Increment { counter: 0 }, Ending::InDoubt("cut".to_owned()));
        if executed {
            story.list().push(Ok(tag));
            story.contents.counters.insert(0, 6);
        }
        let findings = story.check(None);
        assert!(findings.is_honest() && findings.lost.is_empty(), "{findings:?}");
        assert_eq!(findings.in_doubt.count, 2);
        assert!(!findings.is_flawless());
    }
}

#[test]
fn a_lost_suffix_is_a_loss_and_nothing_else() {
    let mut story = good();
    story.append(0);
    story.append(1);
    story.increment(6);
    let fault = story.fault();
    // The last two appends and the last increment never got to the mirror.
    let length = story.list().len();
    story.list().truncate(length - 2);
    story.contents.counters.insert(0, 5);
    story.increment(6);
    let tag = story.append(1);
    assert_eq!(story.contents.lists[&0].last(), Some(&Ok(tag)));
    let findings = story.check(Some(fault));
    assert_eq!(findings.lost.len(), 3, "{findings:?}");
    assert!(findings.is_honest(), "{findings:?}");
}

#[test]
fn a_hole_is_no_suffix() {
    let mut story = good();
    let fault = story.fault();
    let length = story.list().len();
    drop(story.list().remove(length - 2));
    let findings = story.check(Some(fault));
    assert_eq!(findings.lost.len(), 1);
    assert!(findings.not_a_suffix.count > 0, "{findings:?}");
}

#[test]
fn a_read_after_the_fault_shows_what_was_lost() {
    let mut story = good();
    let fault = story.fault();
    story.contents.registers.insert(0, 4);
    story.read(4);
    let findings = story.check(Some(fault));
    assert_eq!((findings.lost.len(), findings.stale.count), (1, 0), "{findings:?}");
    // A fault excuses nothing that was known after it.
    story.set(6);
    story.read(5);
    assert_eq!(story.check(Some(fault)).stale.count, 1);
}

#[test]
fn tags_read_what_they_write() {
    let tag = Tag { client: 7, number: 42 };
    assert_eq!(Tag::parse(&tag.to_string()), Some(tag));
    for bad in ["", "c", "c1", "1-2", "c1-", "cx-2", "c1-2-3"] {
        assert_eq!(Tag::parse(bad), None, "{bad}");
    }
}
