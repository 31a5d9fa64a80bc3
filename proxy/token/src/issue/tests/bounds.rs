//! Nothing grows without end, and what is full says so.

use super::*;
use crate::issue::ledger::REMEMBERED;

fn caller_named(service: &str) -> Caller {
    Caller { service: ServiceId::from(service), ..caller() }
}

fn ask(issuer: &mut Issuer, service: &str, at: u64) -> Result<Arc<Claims>, Denied> {
    issuer.issue(&caller_named(service), &request(), &view(StoreState::Healthy), after(at))
}

#[test]
fn one_service_can_not_use_up_the_room_of_the_others() {
    let mut issuer = Issuer::default();
    for _ in 0..MAX_TOKENS_PER_SERVICE {
        ask(&mut issuer, "greedy", 0).expect("room");
    }
    let full = Err(Denied::Full { most: MAX_TOKENS_PER_SERVICE });
    assert_eq!(ask(&mut issuer, "greedy", 1999), full);
    assert!(ask(&mut issuer, "modest", 1999).is_ok());
    assert!(ask(&mut issuer, "greedy", 2000).is_ok(), "what has ended makes room");
}

#[test]
fn all_services_together_are_bounded() {
    let mut issuer = Issuer::default();
    for number in 0..MAX_TOKENS {
        ask(&mut issuer, ["a", "b", "c", "d"][number % 4], 0).expect("room");
    }
    assert_eq!(ask(&mut issuer, "e", 1), Err(Denied::Full { most: MAX_TOKENS }));
    let healthy = view(StoreState::Healthy);
    assert_eq!(issuer.list(None, &healthy.store, Epoch(7), after(1)).len(), MAX_TOKENS);
    assert!(ask(&mut issuer, "e", 2000).is_ok());
    assert_eq!(issuer.list(None, &healthy.store, Epoch(7), after(2000)).len(), 1);
}

#[test]
fn a_token_that_has_ended_is_remembered_for_a_while_and_then_forgotten() {
    let mut issuer = Issuer::default();
    let id = ask(&mut issuer, "checkout", 0).expect("room").id;
    let forgotten = 2000 + u64::try_from(REMEMBERED.as_millis()).expect("a minute");
    issuer.sweep(after(forgotten - 1));
    assert!(matches!(reason(&issuer, id, 7, forgotten - 1), Some(Refusal::Expired(_))));
    issuer.sweep(after(forgotten));
    assert_eq!(issuer.status(id, Epoch(7), after(forgotten)), None);
}

#[test]
fn a_sweep_forgets_revocations_that_nobody_needs() {
    let mut issuer = Issuer::default();
    let id = ask(&mut issuer, "checkout", 0).expect("room").id;
    assert_eq!(issuer.revoke(id, after(0)), 1);
    issuer.sweep(after(2499));
    assert_eq!(issuer.revocations().iter().count(), 1);
    issuer.sweep(after(2500));
    assert_eq!(issuer.revocations().iter().count(), 0);
}
