//! Each rule broken and kept: the checks that all other tests rest on must notice.

use foretoken_types::{Hold, InstanceId, Lease};

use super::*;
use crate::Cause;

/// What a machine would tell, step by step.
struct Account {
    invariants: Invariants,
    params: Params,
    authority: Authority,
    phase: &'static str,
    deadline: Option<BootInstant>,
    operations: u64,
}

/// Not the very beginning, from which nothing can be taken away.
fn start() -> BootInstant {
    BootInstant::from_nanos(100_000_000_000)
}

fn record(epoch: u64) -> Record {
    Record {
        epoch: Epoch(epoch),
        primary: "a".into(),
        previous: None,
        history: "h".to_owned(),
        descends: None,
        position: Position(0),
        cause: Cause::Found,
        owned: true,
        intent: None,
    }
}

fn posture(epoch: u64, primary: &str) -> Posture {
    Posture { epoch: Epoch(epoch), primary: Some(primary.into()), ..Posture::closed("cache".into()) }
}

impl Account {
    /// Of the one in charge of a store with two data threads, with epoch 1 in the registry.
    fn new() -> Self {
        let params = Params::new("cache".into(), InstanceId::new("one"), vec!["a".into(), "b".into()], 2);
        let mut invariants = Invariants::default();
        invariants.heard(&Event::Loaded(Some(record(1))));
        let deadline = Some(start());
        Self { invariants, params, authority: Authority::Owner, phase: "serving", deadline, operations: 0 }
    }

    fn does(&mut self, effect: Effect, now: BootInstant) -> String {
        let facts = Facts {
            params: &self.params,
            now,
            authority: &self.authority,
            next_deadline: self.deadline,
            phase: self.phase,
        };
        self.invariants.did(&[effect], &facts).map_or_else(|broken| broken.to_string(), |()| String::new())
    }

    fn publishes(&mut self, posture: Posture) -> String {
        self.does(Effect::Publish(posture), start())
    }

    /// Serves from `a` in epoch 1 by a lease that is granted now; `hold` is in force.
    fn leased(&self, hold: Option<Hold>) -> Posture {
        let lease = Lease::grant(Epoch(1), start(), &self.params.lease);
        Posture { lease: Some(lease), hold, ..posture(1, "a") }
    }

    fn orders(&mut self, endpoint: &str, order: Order, now: BootInstant) -> String {
        self.operations += 1;
        let operation = Operation(self.operations);
        self.does(Effect::Order { operation, endpoint: endpoint.into(), order }, now)
    }

    fn reads(&mut self, endpoint: &str, position: u64) {
        assert_eq!(self.orders(endpoint, Order::Position, start()), "");
        let result = Ok(Answer::Position(Position(position)));
        self.invariants.heard(&Event::Answered { operation: Operation(self.operations), result });
    }

    fn holds(&mut self, threads: usize) {
        for thread in 0..threads {
            self.invariants.heard(&Event::Held { operation: Operation(70), thread, in_doubt: 0 });
        }
    }
}

fn hold(scope: HoldScope) -> Option<Hold> {
    Some(Hold { operation: Operation(70), scope, fence: false })
}

#[test]
fn the_epoch_never_falls_and_has_one_primary() {
    // Epoch and primary before and after.
    for (before, after, told) in [
        ((2, "a"), (1, "a"), "the epoch fell from 2 to 1"),
        ((2, "a"), (2, "a"), ""),
        ((2, "a"), (3, "b"), ""),
        ((2, "a"), (2, "b"), "two primaries in epoch 2"),
        // Before the first epoch nothing is served.
        ((0, "a"), (0, "b"), ""),
    ] {
        let mut account = Account::new();
        assert_eq!(account.publishes(posture(before.0, before.1)), "");
        let broken = account.publishes(posture(after.0, after.1));
        assert_eq!(
            broken.strip_prefix("invariant broken: ").unwrap_or_default(),
            told,
            "{before:?} {after:?}"
        );
    }
    let mut account = Account::new();
    assert_eq!(account.publishes(Posture { primary: None, ..posture(2, "a") }), "");
    assert_eq!(account.publishes(posture(2, "a")), "", "who the primary is was not known");
}

#[test]
fn a_lease_is_of_the_epoch_in_force_which_is_durable_and_has_a_primary() {
    let leased = |epoch: u64| {
        let lease = Lease::grant(Epoch(epoch), start(), &Account::new().params.lease);
        Posture { lease: Some(lease), ..posture(epoch, "a") }
    };
    assert_eq!(Account::new().publishes(leased(1)), "");
    assert_eq!(
        Account::new().publishes(Posture { epoch: Epoch(0), ..leased(1) }),
        "invariant broken: a lease of epoch 1 in epoch 0"
    );
    assert_eq!(
        Account::new().publishes(Posture { primary: None, ..leased(1) }),
        "invariant broken: a lease without a primary"
    );
    let early = "invariant broken: epoch 2 is served before it is durable";
    assert_eq!(Account::new().publishes(leased(2)), early);
    for (result, told) in [(Ok(()), ""), (Err(crate::SaveFailure::Conflict(None)), early)] {
        let mut account = Account::new();
        let save = Effect::Save { operation: Operation(9), expected: None, record: record(2) };
        assert_eq!(account.does(save, start()), "");
        account.invariants.heard(&Event::Saved { operation: Operation(9), result });
        assert_eq!(account.publishes(leased(2)), told);
    }
}

#[test]
fn nobody_is_promoted_while_a_lease_may_live() {
    let alive = "invariant broken: b is promoted while a lease may live";
    let nanosecond = std::time::Duration::from_nanos(1);
    let mut account = Account::new();
    let end = start() + account.params.fence_wait();
    assert_eq!(account.orders("b", Order::Promote, start()), "", "there was none");
    assert_eq!(account.publishes(account.leased(None)), "");
    assert_eq!(account.orders("b", Order::Promote, end - nanosecond), alive);
    assert_eq!(account.orders("b", Order::Promote, end), "");

    // Scope of a hold, how many data threads obey it, and the phase.
    for (scope, threads, phase, told) in [
        (HoldScope::All, 2, "down", ""),
        (HoldScope::All, 1, "down", alive),
        (HoldScope::Writes, 2, "down", alive),
        (HoldScope::Writes, 2, "planned", ""),
        (HoldScope::Writes, 1, "planned", alive),
    ] {
        let mut account = Account::new();
        account.phase = phase;
        assert_eq!(account.publishes(account.leased(hold(scope))), "");
        account.holds(threads);
        assert_eq!(
            account.orders("b", Order::Promote, end - nanosecond),
            told,
            "{scope:?} {threads} {phase}"
        );
    }
}

#[test]
fn a_lease_that_was_taken_back_is_dead_once_everybody_obeys_a_hold_of_everything() {
    let alive = "invariant broken: b is promoted while a lease may live";
    for (scope, threads, taken_back, told) in [
        (HoldScope::All, 2, true, ""),
        (HoldScope::All, 1, true, alive),
        (HoldScope::Writes, 2, true, alive),
        (HoldScope::All, 2, false, alive),
    ] {
        let mut account = Account::new();
        assert_eq!(account.publishes(account.leased(hold(scope))), "");
        account.holds(threads);
        let next = if taken_back { posture(1, "a") } else { account.leased(None) };
        assert_eq!(account.publishes(next), "");
        let now = start();
        assert_eq!(account.orders("b", Order::Promote, now), told, "{scope:?} {threads} {taken_back}");
    }
}

#[test]
fn who_obeyed_another_hold_has_not_obeyed_this_one() {
    let mut account = Account::new();
    assert_eq!(account.publishes(account.leased(hold(HoldScope::All))), "");
    account.holds(2);
    let next = Hold { operation: Operation(71), scope: HoldScope::All, fence: true };
    assert_eq!(account.publishes(account.leased(Some(next))), "");
    // Late words about the one before.
    account.holds(2);
    let now = start();
    let alive = "invariant broken: b is promoted while a lease may live";
    assert_eq!(account.orders("b", Order::Promote, now), alive);
}

#[test]
fn who_follows_changes_no_roles() {
    let orders = [
        Order::Promote,
        Order::Demote { of: "a".into() },
        Order::Fence { of: "a".into() },
        Order::DisconnectClients,
    ];
    for order in orders {
        let mut account = Account::new();
        let now = start();
        assert_eq!(account.orders("b", order.clone(), now), "");
        account.authority = Authority::Follower("another sidecar is in charge".to_owned());
        let told = account.orders("b", order.clone(), now);
        let role = order != Order::DisconnectClients;
        assert_eq!(told == "invariant broken: a follower changes the role of b", role, "{order:?} {told}");
    }
}

#[test]
fn a_planned_switchover_demotes_only_when_the_mirror_is_equal() {
    let demote = || Order::Demote { of: "b".into() };
    let now = start();
    for (old, new, phase, kept) in [
        (Some(10), Some(10), "planned", true),
        (Some(10), Some(11), "planned", true),
        (Some(10), Some(9), "planned", false),
        (Some(10), None, "planned", false),
        (None, Some(10), "planned", false),
        (None, None, "planned", false),
        (Some(10), Some(9), "serving", true),
    ] {
        let mut account = Account::new();
        account.phase = phase;
        for (endpoint, position) in [("a", old), ("b", new)] {
            if let Some(position) = position {
                account.reads(endpoint, position);
            }
        }
        let told = account.orders("a", demote(), now);
        assert_eq!(told.is_empty(), kept, "{old:?} {new:?} {phase}: {told}");
    }
    // What was read before the hold in force tells nothing.
    let mut account = Account::new();
    account.phase = "planned";
    assert_eq!(account.publishes(account.leased(None)), "");
    account.reads("a", 10);
    account.reads("b", 10);
    assert_eq!(account.publishes(account.leased(hold(HoldScope::Writes))), "");
    assert!(account.orders("a", demote(), now).contains("is demoted at None while b is at None"));
}

#[test]
fn a_hold_never_waits_without_a_deadline() {
    let mut account = Account::new();
    account.deadline = None;
    assert_eq!(account.publishes(account.leased(None)), "");
    assert_eq!(
        account.publishes(account.leased(hold(HoldScope::All))),
        "invariant broken: a hold without a deadline in phase serving"
    );
}
